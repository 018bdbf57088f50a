package keyswitch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"keyswitchd/gpio"
	"keyswitchd/internal/status"
	"keyswitchd/sshctl"
)

// others are the units beside SSH that the same key guards. They are started once a permit, after SSH; what becomes of them is a
// problem at most, never a fault of SSH. They are stopped, and confirmed to be, together with SSH.
type others struct {
	some   bool          // that are down, and guarded
	tried  bool          // with the present permit
	err    error         // of the last try
	at     time.Duration // not before: after a failed try
	cancel context.CancelFunc
}

func (o *others) next(f Facts) (time.Duration, bool) { return o.at, o.err != nil && o.at > f.Now }

// countOthers looks what there is to be started.
func (l *loop) countOthers(d Decision) {
	f, o := &l.facts, &l.others
	o.some = false
	switch {
	case !d.Permit:
		o.tried, o.err, o.at = false, nil, 0
	case !f.DoorKnown || f.Door.Err != nil:
	case slices.ContainsFunc(f.Door.Others, func(o sshctl.Other) bool { return o.Guarded && down(o.Active) }):
		o.some = true
	default:
		o.err = nil
		// What is up is left alone from now on: who stops it by hand means it. Unless a stop of ours is still to be seen.
		notUp := func(o sshctl.Other) bool { return o.Guarded && o.Active != "active" }
		o.tried = o.tried || !l.stopUnseen && !slices.ContainsFunc(f.Door.Others, notUp)
	}
}

func (l *loop) startOthers(d Decision) {
	f, o := &l.facts, &l.others
	sshFirst := !f.Door.Open && f.Starts == 0 && !f.StoppedByHand
	if !d.Permit || !o.some || o.cancel != nil || l.stopBusy || sshFirst || o.tried && o.err == nil || f.Now < o.at {
		return
	}
	ctx, cancel := context.WithCancel(l.rooms)
	o.cancel, o.tried = cancel, true
	l.beside(ctx, startingMore, l.Door.StartOthers)
}

func (l *loop) othersStarted(err error, now time.Duration) {
	o := &l.others
	o.cancel = nil
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	if o.err = err; err != nil {
		o.at = now + lastRetry
	}
}

// units are the others for the status.
func (l *loop) units() []status.Unit {
	var all []status.Unit
	for _, o := range l.facts.Door.Others {
		all = append(all, status.Unit{Name: o.Unit, Active: o.Active, Guarded: o.Guarded})
	}
	return all
}

// problems are what isn't as it should be, although SSH is.
func (l *loop) problems(d Decision) []string {
	var all []string
	f := l.facts
	for _, o := range f.Door.Others {
		switch {
		case f.Door.Err != nil:
		case !o.Guarded:
			all = append(all, o.Unit+" is in units, but does not carry the interlock, so the key leaves it alone; run keyswitchd arm")
		case d.Permit && o.Active == "failed" && l.others.err == nil:
			all = append(all, fmt.Sprintf("%s failed (%s); journalctl -u %s -n 30 says why", o.Unit, o.Result, o.Unit))
		}
	}
	if err := l.others.err; err != nil {
		all = append(all, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	if f.forced() && f.KeyKnown && f.Key.Position == gpio.Fault {
		all = append(all, fmt.Sprintf("the key can't be read: %v", f.Key.Err))
	}
	if f.locked() && l.console.keepErr != nil {
		all = append(all, "a restart would forget the lockdown: "+l.console.keepErr.Error())
	}
	return all
}
