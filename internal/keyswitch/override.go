package keyswitch

import (
	"context"
	"errors"
	"fmt"
	"time"
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
// was ForceOff: that is in force from then on whatever happens. If ctx ends first, the override may still come into force.
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
