package override

import (
	"errors"

	"github.com/godbus/dbus/v5"

	"keyswitchd/internal/keyswitch"
	"keyswitchd/internal/status"
)

// Names of the D-Bus errors. They stay what they are: scripts may ask for them.
const (
	NotOnSite     = "org.keyswitchd1.Error.NotOnSite"     // who asks is not at the machine
	NotAuthorized = "org.keyswitchd1.Error.NotAuthorized" // polkit says no, or nobody gave a password
	BadTime       = "org.keyswitchd1.Error.BadTime"       // the time is out of range
	Busy          = "org.keyswitchd1.Error.Busy"          // another request of the same caller, or too many of all, are under way
	TooMany       = "org.keyswitchd1.Error.TooMany"       // the user asks too often
	Unavailable   = "org.keyswitchd1.Error.Unavailable"   // logind or polkit doesn't answer: nobody can be let
	Cancelled     = "org.keyswitchd1.Error.Cancelled"     // who asked has gone, or took too long
	NotInForce    = "org.keyswitchd1.Error.NotInForce"    // allowed, and the controller could not do it, or not all of it
)

// Refusal is a no.
type Refusal struct {
	Name   string // of the D-Bus error
	Reason string // one stable word for the journal; "" when it came over the bus
	Text   string // for a person
}

// Error is the text.
func (r *Refusal) Error() string { return r.Text }

// advice is what to do instead, for those who aren't at the machine.
func (r *Refusal) advice(m keyswitch.OverrideMode) string {
	if r.Name != NotOnSite {
		return ""
	}
	switch m {
	case keyswitch.ForceOn:
		return "; only somebody at its screen and keyboard or on its serial line may open SSH without the key: turn the key on"
	case keyswitch.ForceOff:
		return "; only somebody at its screen and keyboard or on its serial line may lock it: turn the key off, " +
			"or, from here and until the key is turned: sudo systemctl stop ssh"
	default:
		return "; only somebody at its screen and keyboard or on its serial line may end an override"
	}
}

// onBus is r as an answer.
func (r *Refusal) onBus(m keyswitch.OverrideMode) *dbus.Error {
	return dbus.NewError(r.Name, []any{r.Text + r.advice(m)})
}

// fromBus is the error of a call as the one who called should see it: *Refusal, status.ErrNotRunning, or err.
func fromBus(err error) error {
	var e dbus.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Name {
	case NotOnSite, NotAuthorized, BadTime, Busy, TooMany, Unavailable, Cancelled, NotInForce:
		return &Refusal{Name: e.Name, Text: e.Error()}
	case noSuchName, noOwner:
		return status.ErrNotRunning
	}
	return err
}
