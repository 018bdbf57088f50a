package keyswitch

import (
	"context"
	"fmt"
	"strings"

	"keyswitchd/gpio"
)

// act carries out the decision for the present facts. It only starts things; what takes time runs beside
// the loop and comes back as an outcome. The order is the safety of it: opening grants the permit before
// the start, closing revokes it before the stop.
func (l *loop) act() error {
	d := l.decide()
	if d.Permit {
		l.pingSeldom(false) // first: from the permit on, a freeze has to be noticed soon
	}
	if err := l.permit(&d); err != nil {
		return err
	}
	l.LED.Show(d.LED)
	if err := l.move(d); err != nil {
		return err
	}
	l.settleOrder(d)
	l.countSessions(d)
	l.countOthers(d)
	l.tell(d)
	if !l.ready && l.inForce(d) {
		l.ready = true
		l.Ready()
	}
	// After READY: the units are ordered after keyswitchd.service, so until then a start job would wait
	// for us while we wait for it.
	if l.ready {
		l.start(d)
		l.startOthers(d)
		l.endSessions(d)
	}
	l.warnOfEnd(d)
	l.pingSeldom(l.shut(d))
	l.ping()
	return nil
}

// decide brings the facts up to the moment, and decides.
func (l *loop) decide() Decision {
	f := &l.facts
	if l.settleAt > 0 && f.Now >= l.settleAt {
		// The start job went well, yet nothing runs: sshd ended at once, or somebody stopped it at once.
		l.settleAt = 0
		f.StoppedByHand = f.Door.Down
	}
	if l.reportBy > 0 && f.Now >= l.reportBy {
		l.reportBy = 0
	}
	if f.PermitErr != nil && f.Now >= l.permitAt {
		f.PermitErr = nil
	}
	f.Starting = l.cancelStart != nil || l.others.cancel != nil || l.reportBy > 0
	l.overrideOver()
	d := Decide(*f)
	if l.leaving {
		d = Decision{Kind: d.Kind, Reason: "keyswitchd is being stopped", LED: gpio.Dark}
		if !f.Door.Closed || f.Starting {
			d.LED = gpio.SlowBlink
		}
	}
	return d
}

// permit makes the permit file what the decision says. Not being able to revoke it is fatal: only the
// end of the daemon takes it away then.
func (l *loop) permit(d *Decision) error {
	switch {
	case d.Permit && !l.granted:
		if err := l.Permit.Grant(); err != nil {
			l.facts.PermitErr, l.permitAt = err, l.facts.Now+lastRetry
			if err := l.Permit.Revoke(); err != nil {
				return fmt.Errorf("keyswitch: removing a permit that was half written: %w", err)
			}
			*d = l.decide()
			return nil
		}
		l.granted = true
	case !d.Permit && l.granted:
		if err := l.Permit.Revoke(); err != nil {
			return fmt.Errorf("keyswitch: removing the permit: %w; exiting, so that systemd closes SSH", err)
		}
		l.granted, l.wasOpen, l.settleAt = false, false, 0
	}
	return nil
}

// move stops what must not run.
func (l *loop) move(d Decision) error {
	f := &l.facts
	if d.Permit {
		l.closeBy, l.stopSent, l.stopErr = 0, false, nil
		return nil
	}
	if l.cancelStart != nil {
		l.cancelStart()
	}
	if l.others.cancel != nil {
		l.others.cancel()
	}
	if f.DoorKnown && f.Door.Closed && !f.Starting {
		l.closeBy, l.stopAt, l.stopErr = 0, 0, nil
		return nil
	}
	if l.stopErr != nil && (f.Door.Interlocked || f.Door.Err != nil && (l.active || f.Starting)) {
		// The bus is away, or polkit says no. Trying again would leave SSH open meanwhile; this daemon's end closes it at once.
		return fmt.Errorf("keyswitch: SSH can't be stopped (%s): %w; exiting, so that systemd closes it", stillUp(*f), l.stopErr)
	}
	if l.closeBy == 0 {
		l.closeBy = f.Now + closeWithin
	}
	if f.Now >= l.closeBy {
		return fmt.Errorf("keyswitch: SSH is not known to be closed %s after the permit was revoked (%s); exiting, so that systemd closes it",
			closeWithin, stillUp(*f))
	}
	// A start under way may still look closed, so the first stop goes out whatever the door looks like.
	if !l.stopBusy && f.Now >= l.stopAt && f.DoorKnown && (!f.Door.Closed || !l.stopSent) {
		l.stopBusy, l.stopSent, l.stopUnseen = true, true, true
		l.beside(l.rooms, stopping, l.Door.Stop)
	}
	return nil
}

// stillUp names what isn't closed.
func stillUp(f Facts) string {
	up := []string{fmt.Sprintf("%s is %q", unit(f), f.Door.Active)}
	for _, o := range f.Door.Others {
		if o.Guarded && !down(o.Active) {
			up = append(up, fmt.Sprintf("%s is %q", o.Unit, o.Active))
		}
	}
	return strings.Join(up, ", ")
}

func (l *loop) start(d Decision) {
	f := &l.facts
	if !d.Permit || !d.Open || !f.DoorKnown || !f.Door.Down || l.cancelStart != nil || l.stopBusy || l.settleAt > 0 || f.Now < l.startAt {
		return
	}
	ctx, cancel := context.WithCancel(l.rooms)
	l.cancelStart = cancel
	l.wasOpen = false
	l.beside(ctx, starting, l.Door.Start)
}

// inForce reports whether the first decision has been carried out: closed and confirmed, or permitted
// with nothing left but the start, which systemd holds back until keyswitchd is ready.
func (l *loop) inForce(d Decision) bool {
	f := l.facts
	return (f.KeyKnown || d.Kind != Waiting) && f.DoorKnown && f.Door.Err == nil && (d.Permit || f.Door.Closed)
}
