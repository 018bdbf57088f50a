package keyswitch

import (
	"errors"
	"testing"
	"time"

	"keyswitchd/gpio"
	"keyswitchd/sshctl"
)

// The states of the door that systemd can report.
var (
	unseen   = sshctl.State{}
	shut     = sshctl.State{Active: "inactive", Closed: true, Down: true, Interlocked: true, Unit: "ssh.service"}
	broken   = sshctl.State{Active: "failed", Closed: true, Down: true, Interlocked: true, Unit: "ssh.service", Result: "exit-code"}
	opening  = sshctl.State{Active: "activating", Interlocked: true, Unit: "ssh.service"}
	open     = sshctl.State{Active: "active", Open: true, Interlocked: true, Unit: "ssh.service"}
	occupied = sshctl.State{Active: "active", Open: true, Interlocked: true, Unit: "ssh.service", Sessions: 1}
	left     = sshctl.State{Active: "inactive", Closed: true, Down: true, Interlocked: true, Unit: "ssh.service", Sessions: 1}
	closing  = sshctl.State{Active: "deactivating", Interlocked: true, Unit: "ssh.service"}
	unarmed  = sshctl.State{Active: "active", Open: true, Unit: "ssh.service"}
	downOnly = sshctl.State{Active: "inactive", Down: true, Interlocked: true, Unit: "ssh.service", Others: []sshctl.Other{{Unit: "cockpit.socket", Active: "active", Guarded: true}}}
	away     = sshctl.State{Active: "unknown", Interlocked: true, Err: errors.New("the bus is away")}
)

var (
	keyOn   = gpio.Reading{Position: gpio.On}
	keyOff  = gpio.Reading{Position: gpio.Off}
	keyLost = gpio.Reading{Position: gpio.Fault, Err: errors.New("GPIO17 vanished")}
)

// seen is the facts of a key that was read, at 10 minutes of the daemon's life.
func seen(key gpio.Reading, door sshctl.State, more ...func(*Facts)) Facts {
	f := Facts{Now: 10 * time.Minute, KeyKnown: true, Key: key, SeenOff: true, OnSince: 9 * time.Minute,
		DoorKnown: true, Door: door, EndSessions: true}
	for _, m := range more {
		m(&f)
	}
	return f
}

// The table of decisions: facts on the left, what follows on the right.
func TestDecide(t *testing.T) {
	maxOn := func(d time.Duration) func(*Facts) { return func(f *Facts) { f.MaxOn = d } }
	onFor := func(d time.Duration) func(*Facts) { return func(f *Facts) { f.OnSince = f.Now - d } }
	starts := func(n int, k Kind) func(*Facts) {
		return func(f *Facts) { f.Starts, f.Start, f.StartErr = n, k, errors.New("why") }
	}
	noDoor := func(f *Facts) { f.DoorKnown = false }
	foreign := func(f *Facts) { f.Foreign = true }
	byHand := func(f *Facts) { f.StoppedByHand = true }
	unverified := func(f *Facts) { f.NotVerified = true }
	noPermit := func(f *Facts) { f.PermitErr = errors.New("no space left on device") }
	requireTurn := func(f *Facts) { f.RequireTurn, f.SeenOff = true, false }
	turned := func(f *Facts) { f.RequireTurn = true }
	keep := func(f *Facts) { f.EndSessions = false }
	stuck := func(f *Facts) { f.SessionsErr = errors.New("login1 says no") }

	starting := func(f *Facts) { f.Starting = true }
	// The console: an override of an hour, from 5 minutes of the daemon's life on unless said otherwise. It is 10 minutes now.
	locked := func(f *Facts) { f.Override, f.OverrideBy = ForceOff, "ada" }
	unreadable := func(f *Facts) { f.Override, f.LockdownErr = ForceOff, errors.New("input/output error") }
	forced := func(since, until time.Duration) func(*Facts) {
		return func(f *Facts) {
			f.Override, f.OverrideSince, f.OverrideFor, f.OverrideUntil = ForceOn, since, time.Hour, until
		}
	}
	forcedOn := forced(5*time.Minute, time.Hour)
	forcedOver := forced(5*time.Minute, 10*time.Minute)
	forcedLast5 := forced(0, 15*time.Minute)
	forcedLast6 := forced(0, 15*time.Minute+1)
	onBefore := func(f *Facts) { f.OnSince = 4 * time.Minute }
	spent := func(f *Facts) { f.Spent = true }
	unknown := func(f *Facts) { f.Override = "party" }
	keyless := func(f *Facts) { f.KeyKnown, f.Key = false, gpio.Reading{} }

	const yes, no = true, false
	for _, c := range []struct {
		name         string
		facts        Facts
		permit, open bool
		led          gpio.Pattern
		fault        bool
		kind         Kind
	}{
		// Nothing known is closed.
		{"nothing known", Facts{}, no, no, gpio.SlowBlink, no, Waiting},
		{"key not read, door shut", Facts{DoorKnown: true, Door: shut}, no, no, gpio.Dark, no, Waiting},
		{"key not read, door open", Facts{DoorKnown: true, Door: open}, no, no, gpio.SlowBlink, no, Waiting},
		{"key on, systemd not heard", seen(keyOn, unseen, noDoor), no, no, gpio.SlowBlink, no, Waiting},

		// Key off is closed, whatever else.
		{"off, shut", seen(keyOff, shut), no, no, gpio.Dark, no, KeyOff},
		{"off, failed", seen(keyOff, broken), no, no, gpio.Dark, no, KeyOff},
		{"off, opening", seen(keyOff, opening), no, no, gpio.SlowBlink, no, KeyOff},
		{"off, open", seen(keyOff, open), no, no, gpio.SlowBlink, no, KeyOff},
		{"off, someone logged in", seen(keyOff, occupied), no, no, gpio.SlowBlink, no, KeyOff},
		{"off, closing", seen(keyOff, closing), no, no, gpio.SlowBlink, no, KeyOff},
		{"off, shut, someone left inside", seen(keyOff, left), no, no, gpio.SlowBlink, no, KeyOff},
		{"off, shut, someone may stay", seen(keyOff, left, keep), no, no, gpio.Dark, no, KeyOff},
		{"off, shut, someone can't be sent away", seen(keyOff, left, stuck), no, no, gpio.FastBlink, yes, SessionsLeft},
		{"off, bus away", seen(keyOff, away), no, no, gpio.SlowBlink, no, KeyOff},
		{"off, a start not heard of yet", seen(keyOff, shut, starting), no, no, gpio.SlowBlink, no, KeyOff},
		{"off, ssh down, another unit up", seen(keyOff, downOnly), no, no, gpio.SlowBlink, no, KeyOff},
		{"off, not armed", seen(keyOff, unarmed), no, no, gpio.SlowBlink, no, KeyOff},
		{"off, starts failed", seen(keyOff, shut, starts(9, StartFailed)), no, no, gpio.Dark, no, KeyOff},

		// A key that can't be trusted counts as off.
		{"fault, shut", seen(keyLost, shut), no, no, gpio.FastBlink, yes, KeyFault},
		{"fault, open", seen(keyLost, open), no, no, gpio.SlowBlink, yes, KeyFault},
		{"fault, logged in", seen(keyLost, occupied), no, no, gpio.SlowBlink, yes, KeyFault},

		{"fault, shut, a start not heard of yet", seen(keyLost, shut, starting), no, no, gpio.SlowBlink, yes, KeyFault},

		// Key on.
		{"on, shut", seen(keyOn, shut), yes, yes, gpio.SlowBlink, no, KeyOn},
		{"on, opening", seen(keyOn, opening), yes, yes, gpio.SlowBlink, no, KeyOn},
		{"on, open", seen(keyOn, open), yes, yes, gpio.Solid, no, KeyOn},
		{"on, someone logged in", seen(keyOn, occupied), yes, yes, gpio.Wink, no, KeyOn},
		{"on, closing by others", seen(keyOn, closing), yes, yes, gpio.SlowBlink, no, KeyOn},
		{"on, bus away", seen(keyOn, away), yes, yes, gpio.SlowBlink, no, BusAway},
		{"on, ssh down, another unit up", seen(keyOn, downOnly), yes, yes, gpio.SlowBlink, no, KeyOn},
		{"on, stopped by hand, another unit up", seen(keyOn, downOnly, byHand), yes, no, gpio.SlowBlink, no, StoppedByHand},
		{"on, stopped by hand", seen(keyOn, shut, byHand), yes, no, gpio.Dark, no, StoppedByHand},

		// Key on, and a reason against it.
		{"on, not armed", seen(keyOn, unarmed), no, no, gpio.SlowBlink, yes, Unguarded},
		{"on, opened by others", seen(keyOn, open, foreign), no, no, gpio.SlowBlink, no, Foreign},
		{"on, open but not verified", seen(keyOn, open, unverified), no, no, gpio.SlowBlink, yes, Unverified},
		{"on, shut, was not verified", seen(keyOn, shut, unverified), no, no, gpio.FastBlink, yes, Unverified},
		{"on, no room for the permit", seen(keyOn, shut, noPermit), no, no, gpio.FastBlink, yes, PermitFailed},
		{"on, one start failed", seen(keyOn, shut, starts(1, StartFailed)), yes, yes, gpio.SlowBlink, no, StartFailed},
		{"on, three starts failed", seen(keyOn, broken, starts(3, StartFailed)), yes, yes, gpio.FastBlink, yes, StartFailed},
		{"on, hardening refused", seen(keyOn, broken, starts(1, Refused)), yes, yes, gpio.FastBlink, yes, Refused},
		{"on, open after failed starts", seen(keyOn, open, starts(3, StartFailed)), yes, yes, gpio.Solid, no, KeyOn},

		// Limits.
		{"on from the start, turn required", seen(keyOn, shut, requireTurn), no, no, gpio.Dark, no, NeedsTurn},
		{"on after a turn, turn required", seen(keyOn, open, turned), yes, yes, gpio.Solid, no, KeyOn},
		{"on, just before max-on", seen(keyOn, open, maxOn(time.Minute+1)), yes, yes, gpio.DoubleWink, no, KeyOn},
		{"on, at max-on", seen(keyOn, open, maxOn(time.Minute)), no, no, gpio.SlowBlink, no, Expired},
		{"on, long after max-on", seen(keyOn, shut, maxOn(time.Second)), no, no, gpio.Dark, no, Expired},
		{"off, max-on", seen(keyOff, shut, maxOn(time.Second)), no, no, gpio.Dark, no, KeyOff},
		{"on, someone left inside at max-on", seen(keyOn, left, maxOn(time.Minute)), no, no, gpio.SlowBlink, no, Expired},
		{"on, someone can't be sent away at max-on", seen(keyOn, left, maxOn(time.Minute), stuck), no, no, gpio.FastBlink, yes, SessionsLeft},
		// The last tenth, 5 minutes at most, is shown: max-on is 20 minutes, and the key has been on since 9 of them, or all but 2.
		{"on, before the last tenth of max-on", seen(keyOn, open, maxOn(20*time.Minute), onFor(18*time.Minute-1)), yes, yes, gpio.Solid, no, KeyOn},
		{"on, in the last tenth of max-on", seen(keyOn, open, maxOn(20*time.Minute), onFor(18*time.Minute)), yes, yes, gpio.DoubleWink, no, KeyOn},
		{"on, in the last tenth, someone logged in", seen(keyOn, occupied, maxOn(20*time.Minute), onFor(18*time.Minute)), yes, yes, gpio.DoubleWink, no, KeyOn},
		{"on, in the last tenth, not open yet", seen(keyOn, shut, maxOn(20*time.Minute), onFor(18*time.Minute)), yes, yes, gpio.SlowBlink, no, KeyOn},
		{"on, 6 minutes before the end of a long max-on", seen(keyOn, open, maxOn(8*time.Hour), onFor(8*time.Hour-6*time.Minute)), yes, yes, gpio.Solid, no, KeyOn},
		{"on, 5 minutes before the end of a long max-on", seen(keyOn, open, maxOn(8*time.Hour), onFor(8*time.Hour-5*time.Minute)), yes, yes, gpio.DoubleWink, no, KeyOn},

		// Locked down at the console: closed, whatever the key and everything else says.
		{"locked, key on", seen(keyOn, shut, locked), no, no, gpio.Dark, no, Locked},
		{"locked, key on, open", seen(keyOn, open, locked), no, no, gpio.SlowBlink, no, Locked},
		{"locked, key on, logged in", seen(keyOn, occupied, locked), no, no, gpio.SlowBlink, no, Locked},
		{"locked, key on, someone left inside", seen(keyOn, left, locked), no, no, gpio.SlowBlink, no, Locked},
		{"locked, someone can't be sent away", seen(keyOn, left, locked, stuck), no, no, gpio.FastBlink, yes, SessionsLeft},
		{"locked, key off", seen(keyOff, shut, locked), no, no, gpio.Dark, no, Locked},
		{"locked, key can't be read", seen(keyLost, shut, locked), no, no, gpio.Dark, no, Locked},
		{"locked, key not read yet", seen(keyOff, shut, locked, keyless), no, no, gpio.Dark, no, Locked},
		{"locked, systemd not heard", seen(keyOn, unseen, noDoor, locked), no, no, gpio.SlowBlink, no, Locked},
		{"locked, bus away", seen(keyOn, away, locked), no, no, gpio.SlowBlink, no, Locked},
		{"locked, not armed", seen(keyOn, unarmed, locked), no, no, gpio.SlowBlink, no, Locked},
		{"perhaps locked: it can't be read", seen(keyOn, shut, unreadable), no, no, gpio.FastBlink, yes, Locked},
		{"overridden by a word that nobody knows", seen(keyOn, shut, unknown), no, no, gpio.Dark, no, Locked},

		// Opened at the console: no key is asked for, everything else is.
		{"forced, key off, shut", seen(keyOff, shut, forcedOn), yes, yes, gpio.SlowBlink, no, Overridden},
		{"forced, key off, open", seen(keyOff, open, forcedOn), yes, yes, gpio.Solid, no, Overridden},
		{"forced, key on, open", seen(keyOn, open, forcedOn), yes, yes, gpio.Solid, no, Overridden},
		{"forced, key can't be read", seen(keyLost, open, forcedOn), yes, yes, gpio.Solid, no, Overridden},
		{"forced, key not read yet", seen(keyOff, open, forcedOn, keyless), yes, yes, gpio.Solid, no, Overridden},
		{"forced, someone logged in", seen(keyOff, occupied, forcedOn), yes, yes, gpio.Wink, no, Overridden},
		{"forced, turn required", seen(keyOn, open, forcedOn, requireTurn), yes, yes, gpio.Solid, no, Overridden},
		{"forced, max-on has passed", seen(keyOn, open, forcedOn, maxOn(time.Second)), yes, yes, gpio.Solid, no, Overridden},
		{"forced, after one that is spent", seen(keyOn, open, forcedOn, spent), yes, yes, gpio.Solid, no, Overridden},
		{"forced, systemd not heard", seen(keyOff, unseen, noDoor, forcedOn), no, no, gpio.SlowBlink, no, Waiting},
		{"forced, not armed", seen(keyOff, unarmed, forcedOn), no, no, gpio.SlowBlink, yes, Unguarded},
		{"forced, opened by others", seen(keyOff, open, forcedOn, foreign), no, no, gpio.SlowBlink, no, Foreign},
		{"forced, not verified", seen(keyOff, open, forcedOn, unverified), no, no, gpio.SlowBlink, yes, Unverified},
		{"forced, no room for the permit", seen(keyOff, shut, forcedOn, noPermit), no, no, gpio.FastBlink, yes, PermitFailed},
		{"forced, hardening refused", seen(keyOff, broken, forcedOn, starts(1, Refused)), yes, yes, gpio.FastBlink, yes, Refused},
		{"forced, stopped by hand", seen(keyOff, shut, forcedOn, byHand), yes, no, gpio.Dark, no, StoppedByHand},
		{"forced, bus away", seen(keyOff, away, forcedOn), yes, yes, gpio.SlowBlink, no, BusAway},
		{"forced, more than 5 minutes left", seen(keyOff, open, forcedLast6), yes, yes, gpio.Solid, no, Overridden},
		{"forced, the last 5 minutes", seen(keyOff, open, forcedLast5), yes, yes, gpio.DoubleWink, no, Overridden},
		{"forced, the last 5 minutes, key on since before", seen(keyOn, open, forced(9*time.Minute+1, 15*time.Minute)), yes, yes, gpio.DoubleWink, no, Overridden},
		{"forced, the last 5 minutes, key turned on since", seen(keyOn, open, forcedLast5), yes, yes, gpio.Solid, no, Overridden},
		{"the same, and max-on comes soon after", seen(keyOn, open, forcedLast5, maxOn(8*time.Minute), onFor(7*time.Minute+30*time.Second)), yes, yes, gpio.DoubleWink, no, Overridden},

		// The time of an override is over.
		{"over, key off", seen(keyOff, open, forcedOver), no, no, gpio.SlowBlink, no, KeyOff},
		{"over, key can't be read", seen(keyLost, shut, forcedOver), no, no, gpio.FastBlink, yes, KeyFault},
		{"over, key not read yet", seen(keyOff, shut, forcedOver, keyless), no, no, gpio.Dark, no, Waiting},
		{"over, key on since before it", seen(keyOn, open, forcedOver, onBefore), no, no, gpio.SlowBlink, no, Expired},
		{"over, key turned on since", seen(keyOn, open, forcedOver), yes, yes, gpio.Solid, no, KeyOn},
		{"over, key turned on since, but for longer than max-on", seen(keyOn, open, forcedOver, maxOn(time.Minute)), no, no, gpio.SlowBlink, no, Expired},
		{"over, key never seen off, turn required", seen(keyOn, open, forcedOver, requireTurn), no, no, gpio.SlowBlink, no, NeedsTurn},
		{"long over, key on since before it", seen(keyOn, shut, spent), no, no, gpio.Dark, no, Expired},
		{"long over, key off", seen(keyOff, shut, spent), no, no, gpio.Dark, no, KeyOff},
	} {
		d := Decide(c.facts)
		if d.Permit != c.permit || d.Open != c.open || d.LED != c.led || d.Fault != c.fault || d.Kind != c.kind {
			t.Errorf("%s:\n got permit %v, open %v, LED %v, fault %v, %s (%s)\nwant permit %v, open %v, LED %v, fault %v, %s",
				c.name, d.Permit, d.Open, d.LED, d.Fault, d.Kind, d.Reason, c.permit, c.open, c.led, c.fault, c.kind)
		}
		if d.Reason == "" {
			t.Errorf("%s: no reason", c.name)
		}
	}
}

// Every combination of the facts keeps the promises that the table can only show in examples.
func TestDecideAlways(t *testing.T) {
	n := 0
	for _, door := range []sshctl.State{unseen, shut, broken, opening, open, occupied, left, closing, unarmed, away, downOnly} {
		for _, key := range []gpio.Reading{keyOff, keyOn, keyLost} {
			for _, mode := range []OverrideMode{"", ForceOn, ForceOff, "party"} {
				for bits := range 1 << 13 {
					b := func(i int) bool { return bits>>i&1 == 1 }
					f := Facts{Now: time.Hour, OnSince: 1, Key: key, Door: door, Override: mode, OverrideSince: 1, OverrideFor: time.Hour,
						KeyKnown: b(0), DoorKnown: b(1), RequireTurn: b(2), SeenOff: b(3), EndSessions: b(4),
						Foreign: b(5), StoppedByHand: b(6), NotVerified: b(7), Starting: b(9), Spent: b(10)}
					if b(8) {
						f.MaxOn = time.Minute
					}
					f.OverrideUntil = f.Now
					if b(11) {
						f.OverrideUntil += time.Second
					}
					if b(12) {
						f.SessionsErr = errors.New("no")
					}
					n++
					d := Decide(f)
					forced := mode == ForceOn && b(11)
					keyed := (mode == "" || mode == ForceOn) && f.KeyKnown && key.Position == gpio.On
					if d.Permit && !(f.DoorKnown && (forced || keyed)) {
						t.Fatalf("a permit with neither a key that is known to be on nor an override: %+v", f)
					}
					if d.Permit && !forced && (f.MaxOn > 0 || f.Spent || f.RequireTurn && !f.SeenOff) {
						t.Fatalf("a permit beyond a limit: %+v", f)
					}
					if d.Permit && (mode == ForceOff || mode == "party") {
						t.Fatalf("a permit in a lockdown: %+v", f)
					}
					if d.Permit && (f.NotVerified || f.Foreign || door.Err == nil && !door.Interlocked) {
						t.Fatalf("a permit for what is not guarded or not verified: %+v", f)
					}
					if d.Open && !d.Permit {
						t.Fatalf("opens without a permit: %+v", f)
					}
					if lit := d.LED == gpio.Solid || d.LED == gpio.Wink || d.LED == gpio.DoubleWink; lit && !(door.Open && d.Permit && !f.NotVerified) {
						t.Fatalf("the LED says open and verified: %+v", f)
					}
					if d.LED == gpio.Dark && (!f.DoorKnown || !door.Closed || !d.Permit && f.Starting) {
						t.Fatalf("the LED says closed: %+v", f)
					}
					if d.LED == gpio.FastBlink && !door.Closed {
						t.Fatalf("the LED says fault and closed: %+v", f)
					}
					if d.Told != (d.LED == gpio.DoubleWink) && d.Permit && door.Open && f.DoorKnown {
						t.Fatalf("the LED doesn't tell the end that the decision tells: %+v", f)
					}
					if d.Closes != 0 && !d.Permit {
						t.Fatalf("what is closed closes by itself: %+v", f)
					}
				}
			}
		}
	}
	t.Logf("%d combinations", n)
}
