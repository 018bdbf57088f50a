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
	OnSince  time.Duration // when it was turned on; a fault since then changes nothing. Counts only while it is on
	SeenOff  bool          // it was off at least once since the daemon started
	Spent    bool          // it has been on since before an override that has ended by itself

	// From the console.
	Override      OverrideMode // "" is Auto
	OverrideBy    string
	OverrideSince time.Duration // ForceOn: when it began, renewals not counted
	OverrideFor   time.Duration // ForceOn: how long it was to last when it was said last
	OverrideUntil time.Duration // ForceOn: when it ends
	LockdownErr   error         // it can't be read whether there is a lockdown, so there is

	// From systemd.
	DoorKnown bool // systemd has answered at least once
	Door      sshctl.State
	Foreign   bool // it was open when it was not permitted: opened by others, before us
	Starting  bool // a start is under way, or has ended and systemd has not told yet what came of it

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
	Expired       Kind = "expired"           // max-on has passed, or the time of an override with the key still on
	Locked        Kind = "lockdown"          // somebody at the console said so
	Overridden    Kind = "override-on"       // open without the key
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
	LED    gpio.Pattern
	Fault  bool
	Kind   Kind
	Reason string        // for a person: why
	Advice string        // for a person: what to do; may be empty
	Closes time.Duration // with Permit: the moment at which SSH closes by itself; 0: no such moment is known
	Soon   time.Duration // with Closes: from when on that is told beforehand
	Told   bool          // with Closes: that time has come
}

// faultAfter is the number of failed starts in a row after which the LED shows a fault instead of
// "being retried". The retries go on.
const faultAfter = 3

// Decide is the whole decision. It is pure: the same facts give the same decision.
func Decide(f Facts) Decision {
	d := permitted(f)
	if d.Permit {
		d.Closes, d.Soon = f.closes()
		if d.Told = d.Closes > 0 && f.Now >= d.Soon; d.Told {
			d = f.foretold(d)
		}
	}
	d.LED = shown(f, d)
	return d
}

func closed(k Kind, reason, advice string) Decision {
	return Decision{Kind: k, Reason: reason, Advice: advice}
}

func fault(k Kind, reason, advice string) Decision {
	return Decision{Kind: k, Reason: reason, Advice: advice, Fault: true}
}

// permitted decides on the permit and gives the reason.
func permitted(f Facts) Decision {
	d := asked(f)
	if d.Permit {
		d = allowed(f, d)
	}
	if !d.Permit && !d.Fault && f.SessionsErr != nil {
		return fault(SessionsLeft, d.Reason+", but the sessions could not be ended: "+f.SessionsErr.Error(),
			"end them by hand: loginctl list-sessions, loginctl terminate-session NUMBER")
	}
	return d
}

// asked is what the console and the key ask for. Only Permit says that SSH is to be open.
func asked(f Facts) Decision {
	switch f.Override {
	case "", Auto, ForceOn:
	default: // ForceOff, and whatever isn't known
		if f.LockdownErr != nil {
			return fault(Locked, "whether SSH was locked down can't be read, so it is: "+f.LockdownErr.Error(),
				"mend that; then keyswitchd auto, typed at the console, lets the key decide again")
		}
		return closed(Locked, "SSH is locked down"+by(f), "keyswitchd auto, typed at the console, lets the key decide again")
	}
	if f.forced() {
		return Decision{Permit: true, Kind: Overridden, Reason: "SSH was opened at the console" + by(f)}
	}
	switch {
	case !f.KeyKnown:
		return closed(Waiting, "waiting for the first stable reading of the key", "")
	case f.Key.Position == gpio.Off:
		return closed(KeyOff, "the key is off", "")
	case f.Key.Position != gpio.On:
		return fault(KeyFault, fmt.Sprintf("the key can't be read: %v", f.Key.Err), "check the wiring; SSH stays closed until the key can be believed again")
	case f.RequireTurn && !f.SeenOff:
		return closed(NeedsTurn, "the key was on already when keyswitchd started, and on-boot is \"require-turn\"", "turn the key off and on to open SSH")
	case f.spent():
		return closed(Expired, "the time for which SSH was opened at the console is over, and the key has been on since before", "turn the key off and on to open SSH")
	case f.MaxOn > 0 && f.Now-f.OnSince >= f.MaxOn:
		return closed(Expired, "the key has been on for longer than max-on ("+f.MaxOn.String()+")", "turn the key off and on to open SSH again")
	}
	return Decision{Permit: true, Kind: KeyOn, Reason: "the key is on"}
}

// allowed is what the machine says to d, which asks for a permit.
func allowed(f Facts, d Decision) Decision {
	why := d.Reason
	switch {
	case !f.DoorKnown:
		return closed(Waiting, why+"; waiting for systemd's first answer", "")
	case f.Door.Err == nil && !f.Door.Interlocked:
		return fault(Unguarded, why+", but "+unit(f)+" does not carry keyswitchd's interlock",
			"arm it: keyswitchd arm --yes; or, if a unit file was edited, systemctl daemon-reload")
	case f.Foreign:
		return closed(Foreign, why+", but "+unit(f)+" was running before it was permitted; it is stopped first", "")
	case f.NotVerified:
		return fault(Unverified, why+", but the configuration of the running sshd is not known to be hardened", "keyswitchd harden --check says what is wrong")
	case f.PermitErr != nil:
		return fault(PermitFailed, why+", but the permit can't be written: "+f.PermitErr.Error(), "is /run full? df /run")
	}
	d.Open = !f.StoppedByHand
	switch {
	case f.Door.Err != nil:
		d.Kind, d.Reason = BusAway, why+", but systemd can't be asked: "+f.Door.Err.Error()
	case f.Door.Open:
	case f.StoppedByHand:
		d.Kind, d.Reason = StoppedByHand, why+", but "+unit(f)+" was stopped by hand"
		d.Advice = "systemctl start " + unit(f) + ", or turn the key off and on"
	case f.Starts > 0 && f.Start == Refused:
		d.Fault, d.Kind = true, Refused
		d.Reason = why + ", but the configuration of sshd is not what the policy wants: " + errText(f.StartErr)
		d.Advice = "mend what it names; keyswitchd harden --check says whether it holds. The start is retried by itself"
	case f.Starts > 0:
		d.Fault, d.Kind = f.Starts >= faultAfter, StartFailed
		d.Reason = why + ", but SSH does not start: " + errText(f.StartErr)
		d.Advice = "journalctl -u " + unit(f) + " -n 30 says why. The start is retried by itself"
	}
	return d
}

// shown decides on the LED. It follows what systemd says is so, never what was wanted.
func shown(f Facts, d Decision) gpio.Pattern {
	switch {
	case !f.DoorKnown || f.Door.Err != nil:
		return gpio.SlowBlink
	case d.Permit && f.Door.Open && f.Door.Active == "active":
		switch {
		case d.Told:
			return gpio.DoubleWink
		case f.Door.Sessions > 0:
			return gpio.Wink
		}
		return gpio.Solid
	case !f.Door.Closed, !d.Permit && f.Starting:
		return gpio.SlowBlink // opening or closing
	case d.Fault:
		// Dark would be true, too, but a person who turned the key must see that it isn't just slow.
		return gpio.FastBlink
	case d.Permit && d.Open:
		return gpio.SlowBlink // about to be started, or retried
	case !d.Permit && f.EndSessions && f.Door.Sessions > 0:
		return gpio.SlowBlink // sessions still to be ended
	default:
		return gpio.Dark
	}
}

// by names who said so, if that is known.
func by(f Facts) string {
	if f.OverrideBy == "" {
		return ""
	}
	return " by " + f.OverrideBy
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
