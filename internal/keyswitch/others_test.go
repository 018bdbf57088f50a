package keyswitch

import (
	"errors"
	"strings"
	"testing"
	"time"

	"keyswitchd/gpio"
	"keyswitchd/internal/status"
	"keyswitchd/sshctl"
)

func also(o ...sshctl.Other) func(*bench) {
	return func(b *bench) {
		b.others = o
		b.door = b.with(b.door)
	}
}

func TestOthersGoWithTheKey(t *testing.T) {
	test(t, Settings{}, func(b *bench) {
		b.key(keyOn)
		b.want("after ssh", true, gpio.Solid, "grant", "ready", "start", "others")
		if u := b.now().Units; len(u) != 2 || u[0] != (status.Unit{Name: "cockpit.socket", Active: "active", Guarded: true}) ||
			u[1] != (status.Unit{Name: "wayvnc.service", Active: "inactive"}) {
			t.Errorf("units %+v", u)
		}
		if p := b.now().Problems; len(p) != 1 || !strings.Contains(p[0], "wayvnc.service") || !strings.Contains(p[0], "keyswitchd arm") {
			t.Errorf("problems %q", p)
		}
		b.told("open", "problem", "key-turned", "opened")
		b.key(keyOff)
		b.want("closed with ssh", false, gpio.Dark, "revoke", "stop")
		b.key(keyOn)
		b.want("and again", true, gpio.Solid, "grant", "start", "others")
		b.change(func() { b.others[0].Active = "inactive" })
		b.becomes(b.with(open))
		b.pass(time.Hour)
		b.want("stopped by hand is left alone", true, gpio.Solid)
		rounds := b.rounds()
		b.pass(100 * time.Hour)
		if n := b.rounds() - rounds; n != 0 {
			t.Errorf("%d rounds of the loop in 100 idle hours", n)
		}
	}, also(sshctl.Other{Unit: "cockpit.socket", Active: "inactive", Guarded: true}, sshctl.Other{Unit: "wayvnc.service", Active: "inactive"}))
}

// A unit that doesn't start is a problem, never a fault of SSH.
func TestOthersThatDoNotStart(t *testing.T) {
	test(t, Settings{}, func(b *bench) {
		b.moreErr = &sshctl.JobError{Unit: "cockpit.socket", Job: "start", Result: "failed"}
		b.key(keyOn)
		b.want("open all the same", true, gpio.Solid, "grant", "ready", "start", "others")
		b.told("a problem", "key-turned", "opened", "problem key-on sshctl: starting cockpit.socket")
		if s := b.now(); s.Fault || len(s.Problems) != 1 || !strings.Contains(s.Problems[0], "cockpit.socket") {
			t.Errorf("status %+v", s)
		}
		b.change(func() { b.moreErr = nil })
		b.pass(lastRetry)
		b.want("tried again", true, gpio.Solid, "others")
		if p := b.now().Problems; len(p) != 0 {
			t.Errorf("problems %q", p)
		}
		b.change(func() { b.others[0].Active, b.others[0].Result = "failed", "exit-code" })
		b.becomes(b.with(open))
		if p := b.now().Problems; len(p) != 1 || !strings.Contains(p[0], "exit-code") {
			t.Errorf("problems %q", p)
		}
	}, also(sshctl.Other{Unit: "cockpit.socket", Active: "inactive", Guarded: true}))
}

// Started by hand before it is tried again: no problem any more.
func TestOthersStartedByHand(t *testing.T) {
	test(t, Settings{}, func(b *bench) {
		b.moreErr = errors.New("no")
		b.key(keyOn)
		b.change(func() { b.others[0].Active = "active" })
		b.becomes(b.with(open))
		if p := b.now().Problems; len(p) != 0 {
			t.Errorf("problems %q", p)
		}
		b.pass(time.Hour)
		b.want("tried once", true, gpio.Solid, "grant", "ready", "start", "others")
	}, also(sshctl.Other{Unit: "cockpit.socket", Active: "inactive", Guarded: true}))
}

// They don't wait for an SSH that can't be started; and while one of them is up, SSH is tried again all the same.
func TestOthersWithoutSSH(t *testing.T) {
	test(t, Settings{}, func(b *bench) {
		b.startErr = errors.New("no")
		b.key(keyOn)
		b.want("ssh failed", true, gpio.SlowBlink, "grant", "ready", "start", "others")
		b.change(func() { b.startErr = nil })
		b.pass(firstRetry)
		b.want("ssh later", true, gpio.Solid, "start")
		b.becomes(b.with(shut))
		b.want("ssh stopped by hand, cockpit up: not dark", true, gpio.SlowBlink)
		if s := b.now(); s.Code != string(StoppedByHand) {
			t.Errorf("status %+v", s)
		}
		b.key(keyOff)
		b.want("all closed", false, gpio.Dark, "revoke", "stop")
	}, also(sshctl.Other{Unit: "cockpit.socket", Active: "inactive", Guarded: true}))
}

// One that doesn't stop is as bad as an SSH that doesn't: the daemon gives up and names it.
func TestOtherThatDoesNotStop(t *testing.T) {
	test(t, Settings{}, func(b *bench) {
		b.key(keyOn)
		b.lazy = time.Hour
		b.key(keyOff)
		b.becomes(downOnly)
		b.pass(closeWithin)
		if err := <-b.done; err == nil || !strings.Contains(err.Error(), "cockpit.socket") {
			t.Errorf("got %v", err)
		}
		b.cancel()
	}, also(sshctl.Other{Unit: "cockpit.socket", Active: "inactive", Guarded: true}))
}
