package keyswitch

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"keyswitchd/hardening"
	"keyswitchd/internal/status"
)

// While SSH is closed a ping a few minutes apart will do; systemd must expect the usual pace before the permit is there.
func TestWatchdogIsSeldomOnlyWhileClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{t: t, door: shut, done: make(chan error, 1)}
		b.ctx, b.cancel = context.WithCancel(t.Context())
		var pings atomic.Int64
		paces := ""
		b.ctl = &Controller{Key: fakeKey{b}, LED: fakeLED{b}, Door: fakeDoor{b}, Permit: fakePermit{b},
			Hardening: func() (hardening.Result, error) { return hardening.Result{Verified: true}, nil },
			Publish:   func(status.Status) {}, Ready: func() {}, Log: slog.New(slog.DiscardHandler),
			Watchdog: func() { pings.Add(1) }, WatchdogEvery: 10 * time.Second,
			WatchdogSeldom: func(seldom bool) {
				b.mu.Lock()
				defer b.mu.Unlock()
				if seldom {
					paces += "s"
				} else {
					paces += "u"
				}
				if b.permit {
					t.Errorf("pace %q changed with the permit granted", paces)
				}
			}}
		go func() { b.done <- b.ctl.Run(b.ctx) }()
		synctest.Wait()
		b.key(keyOff)
		expect := func(what, wantPaces string, least, most int64) {
			t.Helper()
			pings.Store(0)
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			b.mu.Lock()
			defer b.mu.Unlock()
			if n := pings.Load(); paces != wantPaces || n < least || n > most {
				t.Errorf("%s: paces %q, want %q; %d pings in 10 minutes, want %d to %d", what, paces, wantPaces, n, least, most)
			}
		}
		expect("closed", "s", 5, 6)
		b.key(keyOn)
		expect("open", "su", 59, 61)
		b.key(keyOff)
		expect("closed again", "sus", 5, 6)
		b.stop()
	})
}

func TestWatchdogComesFromTheLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{t: t, door: shut, done: make(chan error, 1)}
		b.ctx, b.cancel = context.WithCancel(t.Context())
		pings := 0
		b.ctl = &Controller{Key: fakeKey{b}, LED: fakeLED{b}, Door: fakeDoor{b}, Permit: fakePermit{b},
			Hardening: func() (hardening.Result, error) { return hardening.Result{}, nil },
			Publish:   func(status.Status) {}, Ready: func() {}, Log: slog.New(slog.DiscardHandler),
			Watchdog: func() { pings++ }, WatchdogEvery: 10 * time.Second}
		go func() { b.done <- b.ctl.Run(b.ctx) }()
		synctest.Wait()
		b.key(keyOff)
		time.Sleep(time.Minute)
		synctest.Wait()
		if pings < 6 || pings > 7 {
			t.Errorf("%d pings in a minute, want one each 10 s", pings)
		}
		b.stop()
	})
}
