package keyswitch

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"keyswitchd/gpio"
	"keyswitchd/hardening"
	"keyswitchd/internal/record"
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
	mute     bool // a start ends well, and systemd does not tell of it
	lazy     time.Duration
	result   hardening.Result
	unread   error // there is no result to be read
	others   []sshctl.Other
	moreErr  error    // of StartOthers
	endErr   error    // of EndSessions
	journal  []string // "kind reason text" of each entry
	done     chan error
	ctl      *Controller
}

func newBench(t *testing.T, s Settings, more ...func(*bench)) *bench {
	b := &bench{t: t, door: shut, result: hardening.Result{Verified: true, At: time.Now()}, done: make(chan error, 1)}
	b.ctx, b.cancel = context.WithCancel(t.Context())
	b.ctl = &Controller{
		Key: fakeKey{b}, LED: fakeLED{b}, Door: fakeDoor{b}, Permit: fakePermit{b},
		Hardening: func() (hardening.Result, error) { b.mu.Lock(); defer b.mu.Unlock(); return b.result, b.unread },
		Publish:   func(s status.Status) { b.mu.Lock(); b.status = s; b.mu.Unlock() },
		Ready:     func() { b.note("ready") },
		Log:       slog.New(fakeJournal{b}),
	}
	for _, m := range more {
		m(b)
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
	err, hold, mute := d.b.startErr, d.b.holdJob, d.b.mute
	d.b.mu.Unlock()
	if mute {
		return nil
	}
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
	d.b.mu.Lock()
	for i := range d.b.others {
		if o := &d.b.others[i]; o.Guarded {
			o.Active = "inactive"
		}
	}
	d.b.mu.Unlock()
	d.set(ctx, shut)
	return nil
}

// set makes systemd report s; the sessions and, if s names none, the other units are as they were.
func (d fakeDoor) set(_ context.Context, s sshctl.State) {
	d.b.mu.Lock()
	s.Sessions = d.b.door.Sessions
	s = d.b.with(s)
	d.b.door = s
	d.b.mu.Unlock()
	d.b.tell(s)
}

// with is s with the other units as they are, and with them in Closed.
func (b *bench) with(s sshctl.State) sshctl.State {
	s.Others = slices.Clone(b.others)
	for _, o := range s.Others {
		s.Closed = s.Closed && (!o.Guarded || down(o.Active))
	}
	return s
}

func (d fakeDoor) StartOthers(ctx context.Context) error {
	d.b.note("others")
	d.b.mu.Lock()
	err := d.b.moreErr
	for i := range d.b.others {
		if o := &d.b.others[i]; err == nil && o.Guarded {
			o.Active = "active"
		}
	}
	s := d.b.door
	d.b.mu.Unlock()
	d.set(ctx, s)
	return err
}

func (d fakeDoor) WarnSessions(_ context.Context, w sshctl.Warning) error {
	d.b.note("warn " + string(w))
	return nil
}

func (d fakeDoor) EndSessions(ctx context.Context) error {
	d.b.note("end")
	d.b.mu.Lock()
	err := d.b.endErr
	if err == nil {
		d.b.door.Sessions = 0
	}
	s := d.b.door
	d.b.mu.Unlock()
	d.b.tell(s)
	return err
}

// fakeJournal keeps the kind, the reason and the text of each entry.
type fakeJournal struct{ b *bench }

func (j fakeJournal) Enabled(context.Context, slog.Level) bool { return true }
func (j fakeJournal) WithAttrs([]slog.Attr) slog.Handler       { return j }
func (j fakeJournal) WithGroup(string) slog.Handler            { return j }
func (j fakeJournal) Handle(_ context.Context, r slog.Record) error {
	kind, reason := "none", ""
	r.Attrs(func(a slog.Attr) bool {
		switch v := a.Value.Any().(type) {
		case record.Kind:
			kind = v.Name
		case string:
			if a.Key == "reason" {
				reason = v
			}
		}
		return true
	})
	j.b.mu.Lock()
	j.b.journal = append(j.b.journal, strings.TrimSpace(kind+" "+reason+" "+r.Message))
	j.b.mu.Unlock()
	return nil
}

// told takes the entries of the journal since the last call and looks whether they begin like these.
func (b *bench) told(what string, want ...string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	got := b.journal
	b.journal = nil
	ok := len(got) == len(want)
	for i := range want {
		ok = ok && strings.HasPrefix(got[i], want[i])
	}
	if !ok {
		b.t.Errorf("%s: the journal has\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// now is the status as it was published last.
func (b *bench) now() status.Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.status
}

// change changes how the fakes behave.
func (b *bench) change(do func()) { b.mu.Lock(); defer b.mu.Unlock(); do() }

// count reads a counter that the loop's goroutine counts.
func (b *bench) count(n *int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return *n
}

// rounds counts the rounds of the loop: it shows the LED once in each.
func (b *bench) rounds() int { return b.count(&b.shows) }

// pass lets time go by.
func (b *bench) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// say overrides the key and waits for the answer.
func (b *bench) say(mode OverrideMode, d time.Duration) error {
	err := b.ctl.Override(b.ctx, Override{Mode: mode, For: d, By: "ada"})
	synctest.Wait()
	return err
}

func test(t *testing.T, s Settings, do func(b *bench), more ...func(*bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, s, more...)
		do(b)
		if b.ctx.Err() == nil {
			b.stop()
		}
	})
}
