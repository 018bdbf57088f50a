package keyswitch

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"keyswitchd/gpio"
	"keyswitchd/sshctl"
)

func TestOverrideBad(t *testing.T) {
	test(t, Settings{}, func(b *bench) {
		b.key(keyOff)
		for _, o := range []Override{
			{}, {Mode: "party"}, {Mode: ForceOn}, {Mode: ForceOn, For: -time.Hour}, {Mode: ForceOn, For: MinOverride - 1}, {Mode: ForceOn, For: MaxOverride + 1},
		} {
			if err := b.ctl.Override(b.ctx, o); err == nil {
				t.Errorf("%+v was accepted", o)
			}
		}
		b.want("nothing happened", false, gpio.Dark, "ready")
	})
}

func TestForceOn(t *testing.T) {
	test(t, Settings{EndSessions: true}, func(b *bench) {
		b.key(keyOff)
		b.told("off", "key-turned key-off")
		if err := b.say(ForceOn, 30*time.Minute); err != nil {
			t.Error(err)
		}
		b.want("open without the key", true, gpio.Solid, "ready", "grant", "start")
		b.told("the one who asked tells the rest", "opened override-on SSH is open: SSH was opened at the console by ada")
		end := time.Now().Add(30 * time.Minute)
		if s := b.now(); s.Override != "on" || s.OverrideBy != "ada" || s.Code != "override-on" || s.Key != "off" || s.Expires == nil || !s.Expires.Equal(end) {
			t.Errorf("status %+v", s)
		}
		b.becomes(inside)
		b.pass(27 * time.Minute)
		b.want("the last tenth", true, gpio.DoubleWink, "warn expiring")
		b.told("the last tenth", "expiring override-on SSH was opened at the console by ada, and closes soon by itself")
		if err := b.say(ForceOn, time.Hour); err != nil {
			t.Error(err)
		}
		b.want("prolonged", true, gpio.Wink)
		b.pass(55 * time.Minute)
		b.want("the last 5 minutes", true, gpio.DoubleWink, "warn expiring")
		b.pass(5 * time.Minute)
		b.want("over", false, gpio.Dark, "revoke", "stop", "end")
		b.told("over", "expiring", "expired key-off the key is off (the time for which SSH was opened at the console by ada is over)", "closed key-off", "sessions-ended")
		if s := b.now(); s.Override != "auto" || s.OverrideBy != "" || s.Expires != nil {
			t.Errorf("status %+v", s)
		}
	})
}

// The key ends an override by a turn from on to off, and by nothing else.
func TestKeyDuringForceOn(t *testing.T) {
	for _, c := range []struct {
		name   string
		before gpio.Reading
		during []gpio.Reading
		open   bool
	}{
		{"off stays off", keyOff, []gpio.Reading{keyOff}, true},
		{"turned on", keyOff, []gpio.Reading{keyOn}, true},
		{"turned on and off", keyOff, []gpio.Reading{keyOn, keyOff}, false},
		{"turned off", keyOn, []gpio.Reading{keyOff}, false},
		{"a fault", keyOff, []gpio.Reading{keyLost}, true},
		{"a fault that heals", keyOff, []gpio.Reading{keyLost, keyOff}, true},
		{"a fault while on", keyOn, []gpio.Reading{keyLost}, true},
		{"turned off with a fault between", keyOn, []gpio.Reading{keyLost, keyOff}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			test(t, Settings{}, func(b *bench) {
				b.key(c.before)
				if err := b.say(ForceOn, time.Hour); err != nil {
					t.Error(err)
				}
				b.journal = nil
				for _, r := range c.during {
					b.key(r)
				}
				if open := b.now().Open; open != c.open {
					t.Errorf("open %t, want %t", open, c.open)
				}
				last := c.during[len(c.during)-1]
				problems := b.now().Problems
				if (last.Position == gpio.Fault) != (len(problems) == 1 && strings.Contains(problems[0], "GPIO17 vanished")) {
					t.Errorf("problems %q", problems)
				}
				if !c.open {
					b.journal = slices.DeleteFunc(b.journal, func(s string) bool { return strings.HasPrefix(s, "problem ") })
					b.told("ended", "override key-off the key is off (turning the key off has ended the override by ada)", "closed")
				}
			})
		})
	}
}

// What the key says once an override has ended by itself.
func TestAfterForceOn(t *testing.T) {
	const length = 30 * time.Minute
	for _, c := range []struct {
		name     string
		settings Settings
		before   []gpio.Reading
		during   []gpio.Reading
		open     bool
		code     Kind
	}{
		{"key off", Settings{}, []gpio.Reading{keyOff}, nil, false, KeyOff},
		{"key on since before", Settings{}, []gpio.Reading{keyOff, keyOn}, nil, false, Expired},
		{"key on since before, with a fault between", Settings{}, []gpio.Reading{keyOff, keyOn}, []gpio.Reading{keyLost, keyOn}, false, Expired},
		{"key on, first read during it", Settings{}, nil, []gpio.Reading{keyOn}, false, Expired},
		{"key turned on during it", Settings{}, []gpio.Reading{keyOff}, []gpio.Reading{keyOn}, true, KeyOn},
		{"key turned on during it, and max-on is over", Settings{MaxOn: 20 * time.Minute}, []gpio.Reading{keyOff}, []gpio.Reading{keyOn}, false, Expired},
		{"max-on was over before", Settings{MaxOn: time.Minute}, []gpio.Reading{keyOff, keyOn}, nil, false, Expired},
		{"a turn is required, and was not seen", Settings{RequireTurn: true}, []gpio.Reading{keyOn}, nil, false, NeedsTurn},
		{"a turn is required, and was seen", Settings{RequireTurn: true}, []gpio.Reading{keyOff}, []gpio.Reading{keyOn}, true, KeyOn},
		{"key can't be read", Settings{}, []gpio.Reading{keyOn}, []gpio.Reading{keyLost}, false, KeyFault},
	} {
		t.Run(c.name, func(t *testing.T) {
			test(t, c.settings, func(b *bench) {
				for _, r := range c.before {
					b.key(r)
					b.pass(2 * time.Minute)
				}
				if err := b.say(ForceOn, length); err != nil {
					t.Error(err)
				}
				b.pass(1)
				for _, r := range c.during {
					b.key(r)
				}
				if s := b.now(); !s.Open || s.Code != string(Overridden) {
					t.Errorf("during it: %+v", s)
				}
				b.pass(length - 2)
				if s := b.now(); (s.Expires != nil) == c.open || (s.LED == "double-wink") == c.open {
					t.Errorf("just before its end: %+v", s)
				}
				b.pass(1)
				if s := b.now(); s.Open != c.open || s.Code != string(c.code) || s.Override != "auto" {
					t.Errorf("afterwards: %+v", s)
				}
				b.key(keyLost)
				b.key(keyOff)
				b.key(keyOn)
				if !b.now().Open {
					t.Errorf("a turn does not open it: %+v", b.now())
				}
			})
		})
	}
}

// auto while it lasts: the key decides, as if nothing had been.
func TestAutoEndsForceOn(t *testing.T) {
	test(t, Settings{}, func(b *bench) {
		b.key(keyOn)
		for _, mode := range []OverrideMode{ForceOn, Auto, Auto} {
			if err := b.say(mode, time.Hour); err != nil {
				t.Error(err)
			}
		}
		b.want("open by the key", true, gpio.Solid, "grant", "ready", "start")
		b.key(keyOff)
		if err := b.say(ForceOn, time.Hour); err != nil {
			t.Error(err)
		}
		if err := b.say(Auto, 0); err != nil {
			t.Error(err)
		}
		b.want("closed by the key", false, gpio.Dark, "revoke", "stop", "grant", "start", "revoke", "stop")
	})
}

// Opened at the console asks for no key, but for everything else; and what is refused changes nothing.
func TestForceOnRefused(t *testing.T) {
	k := &kept{}
	test(t, Settings{}, func(b *bench) {
		b.becomes(sshctl.State{Active: "inactive", Closed: true, Down: true, Unit: "ssh.service"})
		b.key(keyOff)
		if err := b.say(ForceOff, 0); err != nil {
			t.Error(err)
		}
		if err := b.say(ForceOn, time.Hour); err == nil || !strings.Contains(err.Error(), "interlock") {
			t.Errorf("not armed: %v", err)
		}
		b.want("still locked", false, gpio.Dark, "ready", "keep ada")
		if s := b.now(); s.Code != string(Locked) {
			t.Errorf("status %+v", s)
		}
		b.becomes(shut)
		b.change(func() { b.grantErr = errors.New("no space left on device") })
		if err := b.say(ForceOn, time.Hour); err == nil || !strings.Contains(err.Error(), "no space left") {
			t.Errorf("no room for the permit: %v", err)
		}
		b.change(func() { b.result.Verified, b.grantErr = false, nil })
		b.pass(lastRetry)
		b.want("not verified", false, gpio.FastBlink, "lift", "grant", "start", "revoke", "stop")
		b.change(func() { b.result.Verified = true })
		if err := b.say(ForceOn, time.Hour); err != nil {
			t.Error(err)
		}
		b.want("said again once it is mended", true, gpio.Solid, "grant", "start")
	}, keeping(k))
}

// What was not verified and still runs is stopped before anything is permitted again.
func TestForceOnOverWhatIsNotVerified(t *testing.T) {
	test(t, Settings{}, func(b *bench) {
		b.key(keyOff)
		b.change(func() { b.result.Verified = false })
		b.lazy = 5 * time.Second
		if err := b.say(ForceOn, time.Hour); err != nil {
			t.Error(err)
		}
		b.want("being closed again", false, gpio.SlowBlink, "ready", "grant", "start", "revoke", "stop")
		b.change(func() { b.result.Verified = true })
		answer := make(chan error, 1)
		go func() { answer <- b.ctl.Override(b.ctx, Override{Mode: ForceOn, For: time.Hour, By: "bob"}) }()
		b.pass(0)
		b.want("not before that is gone", false, gpio.SlowBlink)
		select {
		case err := <-answer:
			t.Errorf("answered too soon: %v", err)
		default:
		}
		b.pass(5 * time.Second)
		if err := <-answer; err != nil {
			t.Error(err)
		}
		b.want("open", true, gpio.Solid, "grant", "start")
	})
}

// A lockdown counts also when the daemon is being stopped; anything else comes too late.
func TestOverrideWhileLeaving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &kept{}
		b := newBench(t, Settings{}, keeping(k))
		b.key(keyOn)
		b.lazy = 5 * time.Second
		b.cancel()
		synctest.Wait()
		ctx := context.WithoutCancel(b.ctx)
		if err := b.ctl.Override(ctx, Override{Mode: ForceOn, For: time.Hour}); !errors.Is(err, errLeaving) {
			t.Errorf("on: %v", err)
		}
		if err := b.ctl.Override(ctx, Override{Mode: ForceOff, By: "ada"}); err != nil || !k.locked {
			t.Errorf("off: %v, kept %t", err, k.locked)
		}
		if err := <-b.done; err != nil {
			t.Error(err)
		}
		if err := b.ctl.Override(ctx, Override{Mode: ForceOff}); !errors.Is(err, errLeaving) {
			t.Errorf("afterwards: %v", err)
		}
	})
}

// A later override takes the place of one that still waits.
func TestOverrideOvertaken(t *testing.T) {
	test(t, Settings{}, func(b *bench) {
		b.lazy = 5 * time.Second
		b.becomes(open) // opened by others
		answer := make(chan error, 1)
		go func() { answer <- b.ctl.Override(b.ctx, Override{Mode: ForceOn, For: time.Hour, By: "ada"}) }()
		b.pass(time.Second)
		if err := b.say(ForceOff, 0); err != nil {
			t.Error(err)
		}
		if err := <-answer; err == nil {
			t.Error("the first one was told that it is in force")
		}
		b.pass(5 * time.Second)
		b.want("locked down", false, gpio.Dark, "stop", "ready")
	})
}
