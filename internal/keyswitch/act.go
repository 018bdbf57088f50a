package keyswitch

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"time"

	"keyswitchd/gpio"
	"keyswitchd/internal/status"
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
	l.tell(d)
	if !l.ready && l.inForce(d) {
		l.ready = true
		l.Ready()
	}
	// After READY: the units are ordered after keyswitchd.service, so until then a start job would wait
	// for us while we wait for it.
	if l.ready {
		l.start(d)
		l.endSessions(d)
	}
	l.pingSeldom(l.shut(d))
	if l.WatchdogEvery > 0 && l.facts.Now >= l.watchdogAt {
		l.Watchdog()
		l.watchdogAt = l.facts.Now + l.pingEvery()
	}
	return nil
}

// shut reports whether SSH is known to be closed, with nothing left that could open it.
func (l *loop) shut(d Decision) bool {
	f := l.facts
	return l.ready && !l.leaving && !d.Permit && !l.granted && f.DoorKnown && f.Door.Err == nil && f.Door.Closed &&
		l.cancelStart == nil && !l.stopBusy
}

func (l *loop) pingEvery() time.Duration {
	if l.seldom {
		return SeldomFactor * l.WatchdogEvery
	}
	return l.WatchdogEvery
}

// pingSeldom changes the pace of the pings. Telling systemd counts as a ping.
func (l *loop) pingSeldom(seldom bool) {
	if seldom == l.seldom || l.WatchdogEvery <= 0 || l.WatchdogSeldom == nil {
		return
	}
	l.seldom = seldom
	l.WatchdogSeldom(seldom)
	l.watchdogAt = l.facts.Now + l.pingEvery()
}

func (l *loop) decide() Decision {
	f := l.facts
	if l.settleAt > 0 && f.Now >= l.settleAt {
		// The start job went well, yet nothing runs: sshd ended at once, or somebody stopped it at once.
		l.settleAt = 0
		l.facts.StoppedByHand = f.Door.Closed
		f = l.facts
	}
	if f.PermitErr != nil && f.Now >= l.permitAt {
		l.facts.PermitErr, f.PermitErr = nil, nil
	}
	d := Decide(f)
	if l.leaving {
		d = Decision{Kind: d.Kind, Reason: "keyswitchd is being stopped", LED: gpio.Dark}
		if !f.Door.Closed {
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
		l.granted = false
	}
	return nil
}

// move stops what must not run.
func (l *loop) move(d Decision) error {
	f := &l.facts
	if d.Permit {
		l.closeBy, l.stopSent = 0, false
		return nil
	}
	if l.cancelStart != nil {
		l.cancelStart()
	}
	if f.DoorKnown && f.Door.Closed && l.cancelStart == nil {
		l.closeBy, l.stopAt = 0, 0
		return nil
	}
	if l.closeBy == 0 {
		l.closeBy = f.Now + closeWithin
	}
	if f.Now >= l.closeBy {
		return fmt.Errorf("keyswitch: SSH is not known to be closed %s after the permit was revoked (%s is %q); exiting, so that systemd closes it",
			closeWithin, unit(*f), f.Door.Active)
	}
	// A start under way may still look closed, so the first stop goes out whatever the door looks like.
	if !l.stopBusy && f.Now >= l.stopAt && f.DoorKnown && (!f.Door.Closed || !l.stopSent) {
		l.stopBusy, l.stopSent = true, true
		l.wasOpen = false
		l.beside(l.rooms, stopping, l.Door.Stop)
	}
	return nil
}

func (l *loop) start(d Decision) {
	f := &l.facts
	if !d.Permit || !d.Open || !f.DoorKnown || f.Door.Err != nil || !f.Door.Closed ||
		l.cancelStart != nil || l.stopBusy || l.settleAt > 0 || f.Now < l.startAt {
		return
	}
	ctx, cancel := context.WithCancel(l.rooms)
	l.cancelStart = cancel
	l.wasOpen = false
	l.beside(ctx, starting, l.Door.Start)
}

func (l *loop) endSessions(d Decision) {
	f := &l.facts
	if d.Permit || !f.EndSessions || !f.DoorKnown || !f.Door.Closed || f.Door.Sessions == 0 || l.endBusy || f.Now < l.endAt || !f.KeyKnown || l.leaving {
		return
	}
	l.endBusy = true
	l.Log.Info("ending the SSH sessions", "sessions", f.Door.Sessions, "reason", d.Reason)
	l.beside(l.rooms, ending, l.Door.EndSessions)
}

// beside runs do without holding up the loop.
func (l *loop) beside(ctx context.Context, what job, do func(context.Context) error) {
	l.wait.Go(func() {
		err := do(ctx)
		send(l.rooms, l.outcomes)(outcome{what, err})
	})
}

// inForce reports whether the first decision has been carried out: closed and confirmed, or permitted
// with nothing left but the start, which systemd holds back until keyswitchd is ready.
func (l *loop) inForce(d Decision) bool {
	f := l.facts
	return f.KeyKnown && f.DoorKnown && f.Door.Err == nil && (d.Permit || f.Door.Closed)
}

// next is the moment at which the facts change without an event.
func (l *loop) next() (at time.Duration, ok bool) {
	earliest := func(t time.Duration, when bool) {
		if when && (!ok || t < at) {
			at, ok = t, true
		}
	}
	f := l.facts
	earliest(l.watchdogAt, l.WatchdogEvery > 0)
	earliest(l.closeBy, l.closeBy > 0)
	earliest(l.settleAt, l.settleAt > 0)
	earliest(l.startAt, l.startAt > f.Now)
	earliest(l.stopAt, l.stopAt > f.Now)
	earliest(l.permitAt, f.PermitErr != nil)
	earliest(l.endAt, l.endAt > f.Now)
	earliest(f.OnSince+f.MaxOn, f.MaxOn > 0 && f.KeyKnown && f.Key.Position == gpio.On && f.Now < f.OnSince+f.MaxOn)
	return at, ok
}

// tell publishes and logs what is new.
func (l *loop) tell(d Decision) {
	f := l.facts
	s := status.Status{
		Running: true, Key: "unknown", SSH: f.Door.Active, Unit: unit(f), Open: f.Door.Open, Fault: d.Fault,
		Code: string(d.Kind), Reason: d.Reason, Advice: d.Advice, Since: l.since, LED: d.LED.String(),
		Sessions: f.Door.Sessions, Override: "auto", Problems: slices.Concat(l.now.Problems, l.verified.Warnings),
		Hardening: status.Hardening{Verified: l.verified.Verified, Problems: l.verified.Problems},
	}
	if f.KeyKnown {
		s.Key = f.Key.Position.String()
	}
	if s.SSH == "" {
		s.SSH = "unknown"
	}
	if l.ledErr != nil {
		s.LEDError = l.ledErr.Error()
	}
	if !l.verified.At.IsZero() {
		at := l.verified.At
		s.Hardening.At = &at
	}
	if f.MaxOn > 0 && d.Permit {
		at := l.onWall.Add(f.MaxOn)
		s.Expires = &at
	}
	if d.Kind != l.decided.Kind || d.Permit != l.decided.Permit || d.Reason != l.decided.Reason {
		level := l.Log.Info
		if d.Fault {
			level = l.Log.Error
		}
		level(d.Reason, "key", s.Key, "permit", d.Permit, "code", d.Kind)
	}
	l.decided = d
	if !reflect.DeepEqual(s, l.told) {
		// Only news: publishing wakes the bus, and an idle daemon wakes nobody.
		l.told = s
		l.Publish(s)
	}
}
