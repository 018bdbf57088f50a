package keyswitch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"keyswitchd/gpio"
	"keyswitchd/internal/record"
)

// OverrideMode is what was said at the console.
type OverrideMode string

// The modes. "" is Auto.
const (
	Auto     OverrideMode = "auto" // the key decides
	ForceOn  OverrideMode = "on"   // open without the key, for a while
	ForceOff OverrideMode = "off"  // locked down: closed whatever the key says, until somebody at the console says otherwise
)

// Bounds of Override.For. A shorter time can't be a login; a longer one is a matter for the key.
const (
	MinOverride = time.Minute
	MaxOverride = 24 * time.Hour
)

// Override is what somebody at the console wants in the key's place.
type Override struct {
	Mode OverrideMode
	For  time.Duration // with ForceOn: MinOverride to MaxOverride
	By   string        // who, for the journal and the status
}

// check returns what is wrong with o, or nil.
func (o Override) check() error {
	switch {
	case o.Mode != Auto && o.Mode != ForceOn && o.Mode != ForceOff:
		return fmt.Errorf("keyswitch: overriding the key: there is no mode %q; use on, off or auto", string(o.Mode))
	case o.Mode == ForceOn && (o.For < MinOverride || o.For > MaxOverride):
		return fmt.Errorf("keyswitch: opening SSH for %s: that is out of range; use %s to %s", o.For, MinOverride, MaxOverride)
	}
	return nil
}

// errLeaving answers those whose override comes too late.
var errLeaving = errors.New("keyswitch: overriding the key: keyswitchd is being stopped")

// An order is an override on its way to the loop.
type order struct {
	Override
	answer chan<- error // has room for one
}

// Override puts o in the key's place, and returns when it is in force: the permit granted or revoked. It may be called from any
// goroutine while Run works. The error says why it is not in force, or not kept; what was in force before still is, unless o
// was ForceOff: that is in force from then on whatever happens. If ctx ends first, the override may still come into force. The
// caller tells the journal who it was.
func (c *Controller) Override(ctx context.Context, o Override) error {
	c.init()
	if err := o.check(); err != nil {
		return err
	}
	answer := make(chan error, 1)
	select {
	case c.orders <- order{o, answer}:
	case <-c.gone:
		return errLeaving
	case <-ctx.Done():
		return fmt.Errorf("keyswitch: overriding the key: %w", context.Cause(ctx))
	}
	select {
	case err := <-answer:
		return err
	case <-c.gone:
		return errLeaving
	case <-ctx.Done():
		return fmt.Errorf("keyswitch: overriding the key: %w", context.Cause(ctx))
	}
}

// console is what the loop has to do for overrides.
type console struct {
	order   *order // not answered yet
	kept    bool   // the lockdown is on the disk
	keepErr error
	keepAt  time.Duration // not before: after a failed try
}

// answer ends the wait of who gave the last order, if he still waits.
func (c *console) answer(err error) {
	if c.order != nil {
		c.order.answer <- err
		c.order = nil
	}
}

func (c *console) next(f Facts) (time.Duration, bool) {
	return c.keepAt, f.locked() && !c.kept
}

// locked: closed whatever the key says.
func (f Facts) locked() bool {
	return f.Override != "" && f.Override != Auto && f.Override != ForceOn
}

func (l *loop) loadLockdown() {
	if l.Lockdown == nil {
		return
	}
	by, locked, err := l.Lockdown.Load()
	if locked || err != nil {
		f := &l.facts
		f.Override, f.OverrideBy, f.LockdownErr = ForceOff, by, err
		l.console.kept = true
	}
}

// ordered takes in an override. A lockdown is in force at once and kept afterwards; lifting one is the other way round.
func (l *loop) ordered(o order) {
	f, c := &l.facts, &l.console
	f.Now = l.clock.Now()
	o.By = clean(o.By)
	c.answer(errors.New("keyswitch: overriding the key: another override came before SSH was open"))
	if o.Mode == ForceOff {
		f.Override, f.OverrideBy, f.LockdownErr = ForceOff, o.By, nil
		c.order, c.kept, c.keepAt = &o, false, f.Now
		l.cause = cause{kind: record.Override, told: true}
		return
	}
	then := *f
	then.Override, then.OverrideBy, then.LockdownErr = Auto, "", nil
	if o.Mode == ForceOn {
		if !f.forced() {
			then.OverrideSince = f.Now
		}
		then.Override, then.OverrideBy, then.OverrideFor, then.OverrideUntil = ForceOn, o.By, o.For, f.Now+o.For
		then.forget()
	}
	if err := l.takes(then); err != nil {
		o.answer <- err
		return
	}
	if o.Mode == ForceOn {
		l.startAt = 0
	}
	*f, c.order = then, &o
	l.cause = cause{kind: record.Override, told: true}
}

// takes makes sure that then can come into force, and lifts the lockdown if it is over then.
func (l *loop) takes(then Facts) error {
	if l.leaving {
		return errLeaving
	}
	if d := Decide(then); then.Override == ForceOn && !d.Permit && d.Fault {
		return refused(d)
	}
	if l.facts.locked() && l.Lockdown != nil {
		return l.Lockdown.Lift()
	}
	return nil
}

func refused(d Decision) error {
	return fmt.Errorf("keyswitch: opening SSH at the console: %s; %s", d.Reason, d.Advice)
}

// settleOrder answers who gave the order, as soon as d, which was just carried out, is what he asked for. The permit is gone by
// now if it has to be, so a slow disk holds up nothing.
func (l *loop) settleOrder(d Decision) {
	f, c := &l.facts, &l.console
	if f.locked() && !c.kept && f.Now >= c.keepAt {
		c.keepErr = nil
		if l.Lockdown != nil {
			c.keepErr = l.Lockdown.Keep(f.OverrideBy)
		}
		c.kept, c.keepAt = c.keepErr == nil, f.Now+lastRetry
		if c.keepErr != nil {
			c.answer(fmt.Errorf("keyswitch: SSH is locked down now, but a restart would forget it: %w", c.keepErr))
		}
	}
	switch {
	case c.order == nil:
	case c.order.Mode != ForceOn, d.Permit:
		c.answer(nil)
	case d.Fault, f.Override != ForceOn:
		c.answer(refused(d))
	}
}

// overrideOver ends an override whose time is over.
func (l *loop) overrideOver() {
	f := &l.facts
	if f.Override == ForceOn && !f.forced() {
		f.Spent = l.turned == gpio.On && f.spent()
		l.endOverride(cause{kind: record.Expired, text: "the time for which SSH was opened at the console" + by(*f) + " is over"})
	}
}

func (l *loop) endOverride(c cause) {
	l.facts.Override, l.facts.OverrideBy, l.cause = Auto, "", c
}
