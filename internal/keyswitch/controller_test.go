package keyswitch

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"keyswitchd/gpio"
	"keyswitchd/hardening"
	"keyswitchd/internal/status"
	"keyswitchd/sshctl"
)

// bench is a controller between fakes that record. The real parts are tested in test/e2e; here are the
// orders of events that they can't be made to produce.
type bench struct {
	t      *testing.T
	ctx    context.Context
	cancel context.CancelFunc

	mu       sync.Mutex
	turn     func(gpio.Reading)
	tell     func(sshctl.State)
	door     sshctl.State
	permit   bool
	led      gpio.Pattern
	shows    int
	status   status.Status
	log      []string // "grant", "revoke", "start", "stop", "end", "ready", in order
	startErr error
	stopErr  error
	revoked  error
	grantErr error
	holdJob  bool // a start waits until it is replaced
	lazy     time.Duration
	result   hardening.Result
	started  chan struct{}
	done     chan error
	ctl      *Controller
}

func newBench(t *testing.T, s Settings) *bench {
	b := &bench{t: t, door: shut, result: hardening.Result{Verified: true, At: time.Now()}, done: make(chan error, 1)}
	b.ctx, b.cancel = context.WithCancel(t.Context())
	b.ctl = &Controller{
		Key: fakeKey{b}, LED: fakeLED{b}, Door: fakeDoor{b}, Permit: fakePermit{b},
		Hardening: func() (hardening.Result, error) { b.mu.Lock(); defer b.mu.Unlock(); return b.result, nil },
		Publish:   func(s status.Status) { b.mu.Lock(); b.status = s; b.mu.Unlock() },
		Ready:     func() { b.note("ready") },
		Log:       slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	b.ctl.Set(s)
	go func() { b.done <- b.ctl.Run(b.ctx) }()
	synctest.Wait()
	return b
}

func (b *bench) note(s string) { b.mu.Lock(); b.log = append(b.log, s); b.mu.Unlock() }

// key turns the key and lets everything settle.
func (b *bench) key(r gpio.Reading) { b.turn(r); synctest.Wait() }

// becomes makes systemd report s.
func (b *bench) becomes(s sshctl.State) {
	b.mu.Lock()
	b.door = s
	b.mu.Unlock()
	b.tell(s)
	synctest.Wait()
}

func (b *bench) want(what string, permit bool, led gpio.Pattern, log ...string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.permit != permit || b.led != led {
		b.t.Errorf("%s: permit %v, LED %v; want %v, %v (%s)", what, b.permit, b.led, permit, led, b.status.Reason)
	}
	if len(log) > 0 {
		got := b.log
		if len(got) != len(log) {
			b.t.Errorf("%s: did %q, want %q", what, got, log)
		} else {
			for i := range log {
				if got[i] != log[i] {
					b.t.Errorf("%s: did %q, want %q", what, got, log)
					break
				}
			}
		}
	}
	b.log = nil
}

func (b *bench) stop() {
	b.t.Helper()
	b.cancel()
	if err := <-b.done; err != nil {
		b.t.Errorf("end: %v", err)
	}
	if b.permit {
		b.t.Error("end: the permit is still there")
	}
}

type fakeKey struct{ b *bench }

func (k fakeKey) Run(ctx context.Context, report func(gpio.Reading)) error {
	k.b.turn = report
	<-ctx.Done()
	return nil
}

type fakeLED struct{ b *bench }

func (l fakeLED) Run(ctx context.Context, _ func(error)) error { <-ctx.Done(); return nil }
func (l fakeLED) Show(p gpio.Pattern)                          { l.b.mu.Lock(); l.b.led = p; l.b.shows++; l.b.mu.Unlock() }

type fakePermit struct{ b *bench }

func (p fakePermit) Grant() error {
	p.b.mu.Lock()
	defer p.b.mu.Unlock()
	if p.b.grantErr != nil {
		return p.b.grantErr
	}
	p.b.permit = true
	p.b.log = append(p.b.log, "grant")
	return nil
}

func (p fakePermit) Revoke() error {
	p.b.mu.Lock()
	defer p.b.mu.Unlock()
	if p.b.revoked != nil {
		return p.b.revoked
	}
	if p.b.permit {
		p.b.log = append(p.b.log, "revoke")
	}
	p.b.permit = false
	return nil
}

type fakeDoor struct{ b *bench }

func (d fakeDoor) Run(ctx context.Context, report func(sshctl.State)) error {
	d.b.tell = report
	if d.b.door.Active != "" {
		report(d.b.door)
	}
	<-ctx.Done()
	return nil
}

func (d fakeDoor) Start(ctx context.Context) error {
	d.b.note("start")
	d.b.mu.Lock()
	err, hold := d.b.startErr, d.b.holdJob
	d.b.mu.Unlock()
	if hold {
		<-ctx.Done()
		return ctx.Err()
	}
	if err != nil {
		return err
	}
	d.set(ctx, open)
	return nil
}

func (d fakeDoor) Stop(ctx context.Context) error {
	d.b.note("stop")
	d.b.mu.Lock()
	err, lazy := d.b.stopErr, d.b.lazy
	d.b.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case <-time.After(lazy):
	case <-ctx.Done():
		return ctx.Err()
	}
	d.set(ctx, shut)
	return nil
}

func (d fakeDoor) set(_ context.Context, s sshctl.State) {
	d.b.mu.Lock()
	s.Sessions = d.b.door.Sessions
	d.b.door = s
	d.b.mu.Unlock()
	d.b.tell(s)
}

func (d fakeDoor) StartOthers(context.Context) error { d.b.note("others"); return nil }

func (d fakeDoor) WarnSessions(_ context.Context, w sshctl.Warning) error {
	d.b.note("warn " + string(w))
	return nil
}

func (d fakeDoor) EndSessions(ctx context.Context) error {
	d.b.note("end")
	d.b.mu.Lock()
	d.b.door.Sessions = 0
	s := d.b.door
	d.b.mu.Unlock()
	d.b.tell(s)
	return nil
}

func test(t *testing.T, s Settings, do func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, s)
		do(b)
		if b.ctx.Err() == nil {
			b.stop()
		}
	})
}

func TestTurns(t *testing.T) {
	test(t, Settings{}, func(b *bench) {
		b.want("nothing read yet", false, gpio.Dark)
		b.key(keyOff)
		b.want("off", false, gpio.Dark, "ready")
		b.key(keyOn)
		b.want("on: permit before start", true, gpio.Solid, "grant", "start")
		b.key(keyOff)
		b.want("off: permit gone before stop", false, gpio.Dark, "revoke", "stop")
		b.key(keyOn)
		b.key(keyLost)
		b.want("a fault closes", false, gpio.FastBlink, "grant", "start", "revoke", "stop")
		b.key(keyOff)
		b.want("off clears the fault", false, gpio.Dark)
	})
}

func TestReadyBeforeStart(t *testing.T) {
	test(t, Settings{}, func(b *bench) {
		b.key(keyOn)
		// systemd orders ssh.service after us: a start before READY would wait for itself.
		b.want("on at boot", true, gpio.Solid, "grant", "ready", "start")
	})
}

func TestOpenBeforeUs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Settings{})
		b.becomes(open)
		b.key(keyOn)
		b.want("closed first, then opened properly", true, gpio.Solid, "stop", "grant", "ready", "start")
		b.stop()
	})
}

func TestNotArmed(t *testing.T) {
	test(t, Settings{}, func(b *bench) {
		b.becomes(sshctl.State{Active: "inactive", Closed: true, Down: true, Unit: "ssh.service"})
		b.key(keyOn)
		b.want("no interlock, no opening", false, gpio.FastBlink, "ready")
	})
}

func TestOffDuringStart(t *testing.T) {
	test(t, Settings{}, func(b *bench) {
		b.key(keyOff)
		b.holdJob = true
		b.key(keyOn)
		b.becomes(opening)
		b.want("starting", true, gpio.SlowBlink, "ready", "grant", "start")
		b.key(keyOff)
		b.want("the start is replaced by a stop", false, gpio.Dark, "revoke", "stop")
	})
}

func TestOnDuringStop(t *testing.T) {
	test(t, Settings{}, func(b *bench) {
		b.key(keyOn)
		b.lazy = 2 * time.Second
		b.key(keyOff)
		b.becomes(closing)
		b.key(keyOn)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		b.want("closed, then open again", true, gpio.Solid, "grant", "ready", "start", "revoke", "stop", "grant", "start")
	})
}

func TestStopCannotBeConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Settings{})
		b.key(keyOn)
		b.stopErr = errors.New("the bus is away")
		start := time.Now()
		b.key(keyOff)
		b.want("the permit is gone at once", false, gpio.SlowBlink)
		if err := <-b.done; err == nil {
			t.Error("the daemon did not give up")
		}
		if took := time.Since(start); took != closeWithin {
			t.Errorf("gave up after %s, want %s", took, closeWithin)
		}
	})
}

func TestRevokeFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Settings{})
		b.key(keyOn)
		b.mu.Lock()
		b.revoked = errors.New("read-only file system")
		b.mu.Unlock()
		b.key(keyOff)
		if err := <-b.done; !errors.Is(err, b.revoked) {
			t.Errorf("got %v: the daemon must exit, so that systemd removes the permit", err)
		}
	})
}

func TestStopOfTheDaemon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Settings{})
		b.key(keyOn)
		b.cancel()
		if err := <-b.done; err != nil {
			t.Error(err)
		}
		b.want("closed", false, gpio.Dark, "grant", "ready", "start", "revoke", "stop")
	})
}

func TestPermitCannotBeWritten(t *testing.T) {
	test(t, Settings{}, func(b *bench) {
		b.grantErr = errors.New("no space left on device")
		b.key(keyOn)
		b.want("closed, and said so", false, gpio.FastBlink, "ready")
		b.mu.Lock()
		b.grantErr = nil
		b.mu.Unlock()
		time.Sleep(lastRetry)
		synctest.Wait()
		b.want("room again", true, gpio.Solid, "grant", "start")
	})
}

func TestFailedStarts(t *testing.T) {
	test(t, Settings{}, func(b *bench) {
		b.key(keyOff)
		b.want("off", false, gpio.Dark, "ready")
		b.startErr = &sshctl.JobError{Unit: "ssh.service", Job: "start", Result: "failed"}
		b.key(keyOn)
		b.want("first", true, gpio.SlowBlink, "grant", "start")
		time.Sleep(3*time.Second + time.Millisecond) // retries after 1 s and 2 s more
		synctest.Wait()
		b.want("a fault by now, still trying", true, gpio.FastBlink, "start", "start")
		b.mu.Lock()
		b.startErr = nil
		b.mu.Unlock()
		time.Sleep(4 * time.Second)
		synctest.Wait()
		b.want("mended", true, gpio.Solid, "start")
	})
}

func TestRefusedByHardening(t *testing.T) {
	test(t, Settings{}, func(b *bench) {
		b.result = hardening.Result{Problems: []string{"PermitRootLogin is yes"}, At: time.Now()}
		b.startErr = &sshctl.JobError{Unit: "ssh.service", Job: "start", Result: "failed"}
		b.key(keyOn)
		b.want("refused", true, gpio.FastBlink)
		if b.status.Code != string(Refused) || b.status.Exit() != status.ExitFault {
			t.Errorf("status %+v", b.status)
		}
	})
}

func TestUnverified(t *testing.T) {
	test(t, Settings{}, func(b *bench) {
		b.result = hardening.Result{}
		b.key(keyOn)
		b.want("open without a proof is closed again", false, gpio.FastBlink, "grant", "ready", "start", "revoke", "stop")
	})
}

// What would lock the admin out is told in the status and, once an opening, in the log; it closes nothing.
func TestWarningsOfTheLastStart(t *testing.T) {
	test(t, Settings{Problems: []string{"not reloaded"}}, func(b *bench) {
		var log strings.Builder
		b.ctl.Log = slog.New(slog.NewTextHandler(&log, nil))
		b.result.Warnings = []string{"nobody has a key"}
		b.key(keyOn)
		b.want("open all the same", true, gpio.Solid)
		b.becomes(open)
		b.mu.Lock()
		problems := b.status.Problems
		b.mu.Unlock()
		if want := []string{"not reloaded", "nobody has a key"}; !slices.Equal(problems, want) {
			t.Errorf("problems %q, want %q", problems, want)
		}
		if n := strings.Count(log.String(), "nobody has a key"); n != 1 {
			t.Errorf("logged %d times:\n%s", n, log.String())
		}
		b.key(keyOff)
		b.key(keyOn)
		if n := strings.Count(log.String(), "nobody has a key"); n != 2 {
			t.Errorf("after a second opening logged %d times", n)
		}
	})
}

func TestStoppedByHand(t *testing.T) {
	test(t, Settings{}, func(b *bench) {
		b.key(keyOn)
		b.becomes(closing) // systemd may or may not be seen on the way
		b.becomes(shut)
		b.want("left alone, and the LED is true", true, gpio.Dark, "grant", "ready", "start")
		b.becomes(open)
		b.want("started by hand, as the key allows", true, gpio.Solid)
		b.becomes(shut)
		b.key(keyOff)
		b.key(keyOn)
		b.want("a turn opens it", true, gpio.Solid, "revoke", "grant", "start")
	})
}

func TestEndsByItself(t *testing.T) {
	test(t, Settings{}, func(b *bench) {
		b.key(keyOn)
		b.becomes(broken)
		b.want("retried", true, gpio.SlowBlink, "grant", "ready", "start")
		time.Sleep(firstRetry)
		synctest.Wait()
		b.want("open again", true, gpio.Solid, "start")
	})
}

func TestSessions(t *testing.T) {
	inside := open
	inside.Sessions = 2
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

func TestRequireTurn(t *testing.T) {
	test(t, Settings{RequireTurn: true}, func(b *bench) {
		b.key(keyOn)
		b.want("on since before us", false, gpio.Dark, "ready")
		b.key(keyOff)
		b.key(keyOn)
		b.want("turned", true, gpio.Solid, "grant", "start")
	})
}

func TestBusAway(t *testing.T) {
	test(t, Settings{}, func(b *bench) {
		b.key(keyOn)
		b.becomes(away)
		b.want("open, but nobody knows", true, gpio.SlowBlink, "grant", "ready", "start")
		b.becomes(open)
		b.want("back, and nothing was done", true, gpio.Solid)
	})
}

// An idle controller does nothing at all: the loop shows the LED once per round, so no round means no wake-up.
func TestIdle(t *testing.T) {
	test(t, Settings{}, func(b *bench) {
		b.key(keyOn)
		time.Sleep(time.Minute)
		synctest.Wait()
		b.mu.Lock()
		before := b.shows
		b.mu.Unlock()
		time.Sleep(100 * time.Hour)
		synctest.Wait()
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.shows != before {
			t.Errorf("%d rounds of the loop in 100 idle hours", b.shows-before)
		}
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
