package keyswitch

import (
	"errors"
	"strings"
	"testing"
	"time"

	"keyswitchd/gpio"
	"keyswitchd/sshctl"
)

var inside = sshctl.State{Active: "active", Open: true, Interlocked: true, Unit: "ssh.service", Sessions: 2}

func TestSessions(t *testing.T) {
	test(t, Settings{EndSessions: true}, func(b *bench) {
		b.key(keyOn)
		b.becomes(inside)
		b.want("someone is in", true, gpio.Wink)
		b.key(keyOff)
		b.want("sent away", false, gpio.Dark, "revoke", "stop", "end")
	})
	test(t, Settings{EndSessions: false}, func(b *bench) {
		b.key(keyOn)
		b.becomes(inside)
		b.want("someone is in", true, gpio.Wink)
		b.key(keyOff)
		b.want("may stay", false, gpio.Dark, "revoke", "stop")
	})
}

func TestGrace(t *testing.T) {
	test(t, Settings{EndSessions: true, Grace: 10 * time.Second}, func(b *bench) {
		b.key(keyOn)
		b.becomes(inside)
		b.told("someone is in", "key-turned key-on", "opened key-on")
		b.want("someone is in", true, gpio.Wink)
		b.key(keyOff)
		b.want("warned once closed", false, gpio.SlowBlink, "revoke", "stop", "warn closing")
		b.told("warned", "key-turned key-off", "closed key-off", "sessions-warned key-off")
		if end := b.now().SessionsEnd; end == nil || !end.Equal(time.Now().Add(10*time.Second)) {
			t.Errorf("the sessions end at %v", end)
		}
		b.pass(10*time.Second - 1)
		b.want("still there", false, gpio.SlowBlink)
		b.pass(1)
		b.want("sent away", false, gpio.Dark, "end")
		b.told("sent away", "sessions-ended key-off ending the SSH sessions")
		if end := b.now().SessionsEnd; end != nil {
			t.Errorf("the sessions end at %v", end)
		}
		rounds := b.rounds()
		b.pass(100 * time.Hour)
		if n := b.rounds() - rounds; n > 1 {
			t.Errorf("%d rounds of the loop afterwards", n)
		}
	})
}

// Turned on again within the grace time: they stay, and the time begins anew the next time.
func TestGraceIsTakenBack(t *testing.T) {
	test(t, Settings{EndSessions: true, Grace: 10 * time.Second}, func(b *bench) {
		b.key(keyOn)
		b.becomes(inside)
		b.key(keyOff)
		b.pass(9 * time.Second)
		b.told("before", "key-turned", "opened", "key-turned", "closed", "sessions-warned")
		b.key(keyOn)
		b.told("taken back", "key-turned key-on the key is on; who is still logged in stays", "opened")
		b.pass(time.Hour)
		b.want("they stay", true, gpio.Wink, "grant", "ready", "start", "revoke", "stop", "warn closing", "grant", "start")
		b.key(keyOff)
		b.pass(9 * time.Second)
		b.want("a grace of its own", false, gpio.SlowBlink, "revoke", "stop", "warn closing")
		b.pass(time.Second)
		b.want("sent away", false, gpio.Dark, "end")
	})
}

func TestGraceWhoLeavesByHimself(t *testing.T) {
	test(t, Settings{EndSessions: true, Grace: 10 * time.Second}, func(b *bench) {
		b.key(keyOn)
		b.becomes(inside)
		b.key(keyOff)
		b.becomes(shut)
		b.want("nobody left", false, gpio.Dark)
		if end := b.now().SessionsEnd; end != nil {
			t.Errorf("the sessions end at %v", end)
		}
		b.pass(time.Minute)
		b.want("nobody to be sent away", false, gpio.Dark)
	})
}

// The bus is away for a while, or the key is unreadable: the time runs on.
func TestGraceRunsOn(t *testing.T) {
	test(t, Settings{EndSessions: true, Grace: 10 * time.Second}, func(b *bench) {
		b.key(keyOn)
		b.becomes(inside)
		b.key(keyOff)
		b.pass(4 * time.Second)
		b.tell(away)
		b.pass(4 * time.Second)
		b.key(keyLost)
		b.tell(left)
		b.pass(2*time.Second - 1)
		b.want("before", false, gpio.FastBlink, "grant", "ready", "start", "revoke", "stop", "warn closing", "stop")
		b.pass(1)
		b.want("sent away", false, gpio.FastBlink, "end")
	})
}

func TestGraceIsReloaded(t *testing.T) {
	test(t, Settings{EndSessions: true, Grace: 10 * time.Minute}, func(b *bench) {
		b.key(keyOn)
		b.becomes(inside)
		b.key(keyOff)
		b.pass(time.Minute)
		b.want("a long time", false, gpio.SlowBlink)
		b.ctl.Set(Settings{EndSessions: true, Grace: 2 * time.Minute})
		b.pass(time.Minute)
		b.want("a shorter one", false, gpio.Dark, "end")
	})
}

func TestSessionsThatStay(t *testing.T) {
	test(t, Settings{EndSessions: true}, func(b *bench) {
		b.endErr = errors.New("login1 says no")
		b.key(keyOn)
		b.becomes(inside)
		b.key(keyOff)
		b.want("they can't be sent away", false, gpio.FastBlink, "grant", "ready", "start", "revoke", "stop", "end")
		if s := b.now(); s.Code != string(SessionsLeft) || !strings.Contains(s.Reason, "the key is off, but the sessions") {
			t.Errorf("status %+v", s)
		}
		b.pass(lastRetry)
		b.want("tried again", false, gpio.FastBlink, "end")
		b.becomes(shut)
		b.want("they left by themselves", false, gpio.Dark)
	})
}

// Nothing happens after the first reading of the key; what is to come is told all the same.
func TestGraceAtStart(t *testing.T) {
	test(t, Settings{EndSessions: true, Grace: 10 * time.Second}, func(b *bench) {
		b.becomes(left)
		b.key(keyOff)
		b.want("warned", false, gpio.SlowBlink, "ready", "warn closing")
		if end := b.now().SessionsEnd; end == nil || !end.Equal(time.Now().Add(10*time.Second)) {
			t.Errorf("the sessions end at %v", end)
		}
	})
}

// Who was logged in when the daemon was restarted through that very session stays, if the key is on.
func TestSessionsOverARestart(t *testing.T) {
	test(t, Settings{EndSessions: true}, func(b *bench) {
		b.becomes(left)
		b.want("nothing read yet", false, gpio.SlowBlink)
		b.key(keyOn)
		b.want("open again", true, gpio.Wink, "grant", "ready", "start")
	})
}
