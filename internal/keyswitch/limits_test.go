package keyswitch

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"keyswitchd/gpio"
	"keyswitchd/internal/status"
)

func TestMaxOn(t *testing.T) {
	test(t, Settings{MaxOn: time.Hour}, func(b *bench) {
		b.key(keyOn)
		time.Sleep(time.Hour - time.Nanosecond)
		synctest.Wait()
		b.want("just before", true, gpio.DoubleWink, "grant", "ready", "start")
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		b.want("expired", false, gpio.Dark, "revoke", "stop")
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		b.want("stays closed", false, gpio.Dark)
		b.key(keyOff)
		b.key(keyOn)
		b.want("turned", true, gpio.Solid, "grant", "start")
	})
}

// Before max-on closes SSH, the LED, the status, the journal and the terminals say so, once.
func TestExpiring(t *testing.T) {
	test(t, Settings{MaxOn: 8 * time.Hour, EndSessions: true}, func(b *bench) {
		b.key(keyOn)
		b.becomes(inside)
		end := time.Now().Add(8 * time.Hour)
		if e := b.now().Expires; e == nil || !e.Equal(end) {
			t.Errorf("expires %v, want %v", e, end)
		}
		b.told("open", "key-turned key-on", "opened")
		rounds := b.rounds()
		b.pass(8*time.Hour - 5*time.Minute - 1)
		b.want("before", true, gpio.Wink, "grant", "ready", "start")
		if n := b.rounds() - rounds; n != 0 {
			t.Errorf("%d rounds of the loop in nearly 8 hours", n)
		}
		b.pass(1)
		b.want("5 minutes before", true, gpio.DoubleWink, "warn expiring")
		b.told("5 minutes before", "expiring key-on the key is on, and SSH closes soon by itself: max-on is 8h0m0s")
		if s := b.now(); s.LED != "double-wink" || s.Advice == "" || s.Code != "key-on" {
			t.Errorf("status %+v", s)
		}
		b.becomes(open)
		b.becomes(inside)
		b.pass(5*time.Minute - 1)
		b.want("told once", true, gpio.DoubleWink)
		b.pass(1)
		b.want("closed", false, gpio.Dark, "revoke", "stop", "end")
		b.told("closed", "expired expired", "closed expired", "sessions-ended expired")
		b.key(keyOff)
		b.key(keyOn)
		b.want("turned", true, gpio.Solid, "grant", "start")
	})
}

// A fault between on and on is no turn: neither does it begin the time of max-on anew, nor does it open what has expired.
func TestFaultIsNoTurn(t *testing.T) {
	test(t, Settings{MaxOn: time.Hour}, func(b *bench) {
		b.key(keyOn)
		b.pass(40 * time.Minute)
		b.key(keyLost)
		b.key(keyOn)
		b.want("on again", true, gpio.Solid, "grant", "ready", "start", "revoke", "stop", "grant", "start")
		b.pass(20 * time.Minute)
		b.want("expired", false, gpio.Dark, "revoke", "stop")
		b.key(keyLost)
		b.key(keyOn)
		b.want("still expired", false, gpio.Dark)
		b.key(keyLost)
		b.key(keyOff)
		b.key(keyOn)
		b.want("turned", true, gpio.Solid, "grant", "start")
	})
}

// The clock is set while the key is on: what the status says of times is right afterwards, and jitter is no news.
func TestWallClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := &wallClock{timeClock: newTimeClock()}
		published := 0
		b := newBench(t, Settings{MaxOn: time.Hour}, func(b *bench) {
			b.ctl.Clock = clock
			publish := b.ctl.Publish
			b.ctl.Publish = func(s status.Status) { publish(s); b.change(func() { published++ }) }
		})
		b.key(keyOn)
		before := b.now()
		n := b.count(&published)
		clock.set(300 * time.Millisecond)
		if b.count(&published) != n {
			t.Error("jitter is news")
		}
		clock.set(10 * 365 * 24 * time.Hour)
		after := b.now()
		for what, d := range map[string]time.Duration{"since": after.Since.Sub(before.Since), "expires": after.Expires.Sub(*before.Expires)} {
			if d != 10*365*24*time.Hour {
				t.Errorf("%s moved by %s", what, d)
			}
		}
		if more := b.count(&published) - n; more != 1 {
			t.Errorf("published %d times", more)
		}
		b.pass(time.Hour - 1)
		b.want("the jump changes no deadline", true, gpio.DoubleWink)
		b.pass(1)
		b.want("expired", false, gpio.Dark)
		b.stop()
	})
}

// wallClock is a timeClock whose wall clock can be set.
type wallClock struct {
	*timeClock
	ahead atomic.Int64
}

func (c *wallClock) Wall() time.Time { return c.timeClock.Wall().Add(time.Duration(c.ahead.Load())) }

func (c *wallClock) set(ahead time.Duration) {
	c.ahead.Store(int64(ahead))
	c.c <- nil
	synctest.Wait()
}
