// Package keyswitch decides, from the key and the state of the units, whether SSH may exist, and carries
// that out: the permit first, then the units, then the LED. It is the only room that knows gpio, sshctl
// and hardening together.
//
// What it refuses to do: to open on a guess. Every fact starts out as "not known", and what is not known
// is closed.
package keyswitch

import (
	"fmt"
	"strings"
	"time"

	"keyswitchd/gpio"
	"keyswitchd/sshctl"
)

// Facts are everything that a decision depends on. The zero value is closed.
type Facts struct {
	Now time.Duration // monotonic, from any origin; the other times are on the same clock

	// From the configuration.
	RequireTurn bool
	MaxOn       time.Duration // 0: no limit
	EndSessions bool

	// From the key.
	KeyKnown bool // the line was stable for a whole window at least once
	Key      gpio.Reading
	OnSince  time.Duration // when the key was seen on; counts only while it is on
	SeenOff  bool          // the key was off at least once since the daemon started

	// From systemd.
	DoorKnown bool // systemd has answered at least once
	Door      sshctl.State
	Foreign   bool // it was open when it was not permitted: opened by others, before us

	// From what was tried.
	Starts        int  // starts that did not end in an open door, in a row
	Start         Kind // why the last of them did not
	StartErr      error
	StoppedByHand bool  // it was open, the key says on, and somebody else stopped it
	NotVerified   bool  // the door is open, and the hardening does not say "verified"
	PermitErr     error // the permit could not be written
	SessionsErr   error // the sessions could not be ended
}

// Kind is the reason for a decision, as a stable word for scripts and the journal.
type Kind string

// The reasons. docs/status.md explains each.
const (
	Waiting       Kind = "waiting"           // no stable reading of the key yet
	KeyOff        Kind = "key-off"           //
	KeyOn         Kind = "key-on"            //
	KeyFault      Kind = "key-fault"         // the line can't be trusted
	NeedsTurn     Kind = "require-turn"      // on-boot = "require-turn", and the key was on from the start
	Expired       Kind = "expired"           // max-on has passed
	Unguarded     Kind = "not-armed"         // the units don't carry the interlock
	Foreign       Kind = "foreign"           // open before it was permitted: closed first, then opened properly
	Unverified    Kind = "not-verified"      // open without a verified configuration
	StoppedByHand Kind = "stopped-by-hand"   //
	StartFailed   Kind = "start-failed"      // sshd or systemd said no
	Refused       Kind = "hardening-refused" // the configuration is not what the policy wants
	PermitFailed  Kind = "permit-failed"     // /run/keyswitchd/permit can't be written
	BusAway       Kind = "bus-away"          // systemd can't be asked
	SessionsLeft  Kind = "sessions-left"     // closed, but people who were logged in could not be sent away
)

// Decision is what follows from the facts.
type Decision struct {
	Permit bool // the permit exists: SSH may run
	Open   bool // SSH is to be started if it isn't running
	Settle bool // nothing is left to be done: what is wanted is so, or can't be had
	LED    gpio.Pattern
	Fault  bool
	Kind   Kind
	Reason string // for a person: why
	Advice string // for a person: what to do; may be empty
}

// faultAfter is the number of failed starts in a row after which the LED shows a fault instead of
// "being retried". The retries go on.
const faultAfter = 3

// Decide is the whole decision. It is pure: the same facts give the same decision.
func Decide(f Facts) Decision {
	d := permitted(f)
	d.LED, d.Settle = shown(f, d)
	return d
}

// permitted decides on the permit and gives the reason.
func permitted(f Facts) Decision {
	closed := func(k Kind, reason, advice string) Decision {
		return Decision{Kind: k, Reason: reason, Advice: advice}
	}
	fault := func(k Kind, reason, advice string) Decision {
		return Decision{Kind: k, Reason: reason, Advice: advice, Fault: true}
	}
	switch {
	case !f.KeyKnown:
		return closed(Waiting, "waiting for the first stable reading of the key", "")
	case f.Key.Position == gpio.Off:
		if f.SessionsErr != nil {
			return fault(SessionsLeft, "the key is off, but the sessions could not be ended: "+f.SessionsErr.Error(),
				"end them by hand: loginctl list-sessions, loginctl terminate-session NUMBER")
		}
		return closed(KeyOff, "the key is off", "")
	case f.Key.Position != gpio.On:
		return fault(KeyFault, fmt.Sprintf("the key can't be read: %v", f.Key.Err), "check the wiring; SSH stays closed until the line is stable again")
	case !f.DoorKnown:
		return closed(Waiting, "the key is on; waiting for systemd's first answer", "")
	case f.RequireTurn && !f.SeenOff:
		return closed(NeedsTurn, "the key was on already when keyswitchd started, and on-boot is \"require-turn\"", "turn the key off and on to open SSH")
	case f.MaxOn > 0 && f.Now-f.OnSince >= f.MaxOn:
		return closed(Expired, "the key has been on for longer than max-on ("+f.MaxOn.String()+")", "turn the key off and on to open SSH again")
	case f.Door.Err == nil && !f.Door.Interlocked:
		return fault(Unguarded, "the key is on, but "+unit(f)+" does not carry keyswitchd's interlock",
			"arm it: keyswitchd arm --yes; or, if a unit file was edited, systemctl daemon-reload")
	case f.Foreign:
		return closed(Foreign, "the key is on, but "+unit(f)+" was running before it was permitted; it is stopped first", "")
	case f.NotVerified:
		return fault(Unverified, "the key is on, but the configuration of the running sshd is not known to be hardened", "keyswitchd harden --check says what is wrong")
	case f.PermitErr != nil:
		return fault(PermitFailed, "the key is on, but the permit can't be written: "+f.PermitErr.Error(), "is /run full? df /run")
	}
	d := Decision{Permit: true, Open: !f.StoppedByHand, Kind: KeyOn, Reason: "the key is on"}
	switch {
	case f.Door.Err != nil:
		d.Kind, d.Reason = BusAway, "the key is on, but systemd can't be asked: "+f.Door.Err.Error()
	case f.Door.Open:
	case f.StoppedByHand:
		d.Kind, d.Reason = StoppedByHand, "the key is on, but "+unit(f)+" was stopped by hand"
		d.Advice = "systemctl start " + unit(f) + ", or turn the key off and on"
	case f.Starts > 0 && f.Start == Refused:
		d.Fault, d.Kind = true, Refused
		d.Reason = "the key is on, but the configuration of sshd is not what the policy wants: " + errText(f.StartErr)
		d.Advice = "mend what it names; keyswitchd harden --check says whether it holds. The start is retried by itself"
	case f.Starts > 0:
		d.Fault, d.Kind = f.Starts >= faultAfter, StartFailed
		d.Reason = "the key is on, but SSH does not start: " + errText(f.StartErr)
		d.Advice = "journalctl -u " + unit(f) + " -n 30 says why. The start is retried by itself"
	}
	return d
}

// shown decides on the LED, and whether anything is still to be done. The LED follows what systemd says
// is so, never what was wanted.
func shown(f Facts, d Decision) (led gpio.Pattern, settled bool) {
	switch {
	case !f.DoorKnown || f.Door.Err != nil:
		return gpio.SlowBlink, false
	case d.Permit && f.Door.Open && f.Door.Active == "active":
		if f.Door.Sessions > 0 {
			return gpio.Wink, true
		}
		return gpio.Solid, true
	case !f.Door.Closed:
		return gpio.SlowBlink, false // opening or closing
	case d.Fault:
		// Dark would be true, too, but a person who turned the key must see that it isn't just slow.
		return gpio.FastBlink, d.Kind != SessionsLeft
	case d.Permit && d.Open:
		return gpio.SlowBlink, false // about to be started, or retried
	case !d.Permit && f.EndSessions && f.Door.Sessions > 0:
		return gpio.SlowBlink, false // sessions still to be ended
	default:
		return gpio.Dark, true
	}
}

func unit(f Facts) string {
	if f.Door.Unit == "" {
		return "ssh.service"
	}
	return f.Door.Unit
}

func errText(err error) string {
	if err == nil {
		return "no reason was given"
	}
	return strings.TrimSpace(err.Error())
}
