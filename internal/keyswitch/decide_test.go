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
		{"off, not armed", seen(keyOff, unarmed), no, no, gpio.SlowBlink, no, KeyOff},
		{"off, starts failed", seen(keyOff, shut, starts(9, StartFailed)), no, no, gpio.Dark, no, KeyOff},

		// A key that can't be trusted counts as off.
		{"fault, shut", seen(keyLost, shut), no, no, gpio.FastBlink, yes, KeyFault},
		{"fault, open", seen(keyLost, open), no, no, gpio.SlowBlink, yes, KeyFault},
		{"fault, logged in", seen(keyLost, occupied), no, no, gpio.SlowBlink, yes, KeyFault},

		// Key on.
		{"on, shut", seen(keyOn, shut), yes, yes, gpio.SlowBlink, no, KeyOn},
		{"on, opening", seen(keyOn, opening), yes, yes, gpio.SlowBlink, no, KeyOn},
		{"on, open", seen(keyOn, open), yes, yes, gpio.Solid, no, KeyOn},
		{"on, someone logged in", seen(keyOn, occupied), yes, yes, gpio.Wink, no, KeyOn},
		{"on, closing by others", seen(keyOn, closing), yes, yes, gpio.SlowBlink, no, KeyOn},
		{"on, bus away", seen(keyOn, away), yes, yes, gpio.SlowBlink, no, BusAway},
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
	bools := []bool{false, true}
	n := 0
	for _, door := range []sshctl.State{unseen, shut, broken, opening, open, occupied, left, closing, unarmed, away} {
		for _, key := range []gpio.Reading{keyOff, keyOn, keyLost} {
			for bits := range 1 << 9 {
				b := func(i int) bool { return bools[bits>>i&1] }
				f := Facts{Now: time.Hour, OnSince: 0, Key: key, Door: door,
					KeyKnown: b(0), DoorKnown: b(1), RequireTurn: b(2), SeenOff: b(3), EndSessions: b(4),
					Foreign: b(5), StoppedByHand: b(6), NotVerified: b(7)}
				if b(8) {
					f.MaxOn = time.Minute
				}
				n++
				d := Decide(f)
				if d.Permit && !(f.KeyKnown && f.DoorKnown && key.Position == gpio.On) {
					t.Fatalf("a permit without a key that is known to be on: %+v", f)
				}
				if d.Open && !d.Permit {
					t.Fatalf("opens without a permit: %+v", f)
				}
				if (d.LED == gpio.Solid || d.LED == gpio.Wink) && !(door.Open && d.Permit && !f.NotVerified) {
					t.Fatalf("the LED says open and verified: %+v", f)
				}
				if d.LED == gpio.Dark && (!f.DoorKnown || !door.Closed) {
					t.Fatalf("the LED says closed: %+v", f)
				}
				if d.LED == gpio.FastBlink && !door.Closed {
					t.Fatalf("the LED says fault and closed: %+v", f)
				}
			}
		}
	}
	t.Logf("%d combinations", n)
}
