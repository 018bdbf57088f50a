package override

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godbus/dbus/v5"

	"keyswitchd/internal/keyswitch"
	"keyswitchd/internal/record"
)

// fake is bus, logind and polkit, and the controller and the journal besides.
type fake struct {
	mu       sync.Mutex
	caller   func(name string) (Caller, error) // credentials and session
	lost     error                             // of session
	polkit   func(ctx context.Context) (answer, error)
	deaf     error // of watch
	gone     map[string]chan struct{}
	asked    int // questions to polkit
	watching int

	apply   func(ctx context.Context) error
	applied []keyswitch.Override
	entries []map[string]string
}

func (f *fake) credentials(_ context.Context, name string) (Caller, error) {
	c, err := f.caller(name)
	return Caller{Name: name, UID: c.UID, PID: c.PID, User: c.User}, err
}

func (f *fake) session(_ context.Context, c Caller) (Caller, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lost != nil {
		return c, f.lost
	}
	now, err := f.caller(c.Name)
	now.Name = c.Name
	return now, err
}

func (f *fake) authorize(ctx context.Context, _ Caller, _ string, _ map[string]string, _ bool) (answer, error) {
	f.mu.Lock()
	f.asked++
	ask := f.polkit
	f.mu.Unlock()
	if ask == nil {
		return answer{Yes: true}, nil
	}
	return ask(ctx)
}

func (f *fake) watch(_ context.Context, name string) (<-chan struct{}, func(), error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.deaf != nil {
		return nil, nil, f.deaf
	}
	gone := make(chan struct{})
	f.gone[name] = gone
	f.watching++
	return gone, func() { f.mu.Lock(); f.watching--; f.mu.Unlock() }, nil
}

func (f *fake) Override(ctx context.Context, o keyswitch.Override) error {
	f.mu.Lock()
	f.applied = append(f.applied, o)
	f.mu.Unlock()
	if f.apply != nil {
		return f.apply(ctx)
	}
	return nil
}

func (f *fake) Enabled(context.Context, slog.Level) bool { return true }
func (f *fake) WithAttrs([]slog.Attr) slog.Handler       { return f }
func (f *fake) WithGroup(string) slog.Handler            { return f }
func (f *fake) Handle(_ context.Context, r slog.Record) error {
	e := map[string]string{"": r.Message}
	r.Attrs(func(a slog.Attr) bool { e[a.Key] = a.Value.String(); return true })
	f.mu.Lock()
	defer f.mu.Unlock()
	f.entries = append(f.entries, e)
	return nil
}

func newFake(change func(*Caller)) (*fake, *Service) {
	f := &fake{gone: map[string]chan struct{}{}, caller: func(string) (Caller, error) { return console(change), nil }}
	return f, New(f, slog.New(f))
}

var on = keyswitch.Override{Mode: keyswitch.ForceOn, For: 90 * time.Minute}

func TestAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 20 { // those who may are not limited
			f, s := newFake(nil)
			for _, o := range []keyswitch.Override{on, {Mode: keyswitch.ForceOff}, {Mode: keyswitch.Auto}} {
				if r := s.request(t.Context(), f, ":1.42", true, o); r != nil {
					t.Fatal(r)
				}
			}
			if len(f.applied) != 3 || f.applied[0].By != "pi" || f.applied[0].For != on.For || len(f.entries) != 3 || f.watching != 0 {
				t.Fatalf("applied %+v, entries %v, watching %d", f.applied, f.entries, f.watching)
			}
			e := f.entries[0]
			for key, want := range map[string]string{"": "pi overrides the key: on for 1h30m", "message_id": record.Override.Name, "override": "on", "by": "pi",
				"uid": "1000", "session": "1", "seat": "seat0", "tty": "tty1", "for": "1h30m"} {
				if e[key] != want {
					t.Errorf("the entry has %q for %q, want %q", e[key], key, want)
				}
			}
		}
	})
}

// Everything that isn't a clear yes is a no, one entry, and nothing that reaches the controller.
func TestRefused(t *testing.T) {
	broken := errors.New("asking somebody: he is away")
	says := func(a answer) func(*fake) {
		return func(f *fake) { f.polkit = func(context.Context) (answer, error) { return a, nil } }
	}
	for _, c := range []struct {
		name        string
		o           keyswitch.Override
		change      func(*Caller)
		set         func(*fake)
		error, what string
		polkitToo   bool // is asked
		entry       bool
	}{
		{"the bus does not say who", on, nil, func(f *fake) { f.caller = func(string) (Caller, error) { return Caller{}, broken } }, Unavailable, "he is away", false, false},
		{"the bus will not watch", on, nil, func(f *fake) { f.deaf = broken }, Unavailable, "he is away", false, true},
		{"logind is away", on, nil, func(f *fake) { f.lost = broken }, Unavailable, "systemctl status dbus systemd-logind", false, true},
		{"the caller left before logind answered", on, nil, func(f *fake) { f.lost = errGone }, Cancelled, "gone", false, true},
		{"polkit is away", on, nil, func(f *fake) { f.polkit = func(context.Context) (answer, error) { return answer{}, broken } }, Unavailable, "he is away", true, true},
		{"polkit says yes and fails", on, nil, func(f *fake) { f.polkit = func(context.Context) (answer, error) { return answer{Yes: true}, broken } }, Unavailable, "he is away", true, true},
		{"polkit says nothing", on, nil, says(answer{}), NotAuthorized, "authentication failed", true, true},
		{"nobody can be asked", on, nil, says(answer{Challenge: true}), NotAuthorized, "use a terminal", true, true},
		{"somebody did not want to", on, nil, says(answer{Dismissed: true}), NotAuthorized, "broken off", true, true},
		{"no root on a serial line", on, func(c *Caller) { c.Seat, c.TTY = "", "ttyAMA0" }, says(answer{}), NotAuthorized, "use sudo", true, true},
		{"from afar", on, func(c *Caller) { c.Remote, c.RemoteHost = true, "192.0.2.7" }, nil, NotOnSite, "turn the key on", false, true},
		{"from afar, with a wrong time", keyswitch.Override{Mode: keyswitch.ForceOn}, func(c *Caller) { c.Remote = true }, nil, NotOnSite, "turn the key on", false, true},
		{"root without a session", keyswitch.Override{Mode: keyswitch.ForceOff}, func(c *Caller) { *c = Caller{PID: 1, User: "root"} }, nil, NotOnSite, "turn the key off", false, true},
		{"too short", keyswitch.Override{Mode: keyswitch.ForceOn, For: time.Minute - 1}, nil, nil, BadTime, "1m to 24h", false, true},
		{"too long", keyswitch.Override{Mode: keyswitch.ForceOn, For: 24*time.Hour + 1}, nil, nil, BadTime, "1m to 24h", false, true},
		{"no time", keyswitch.Override{Mode: keyswitch.ForceOn}, nil, nil, BadTime, "1m to 24h", false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, s := newFake(c.change)
				if c.set != nil {
					c.set(f)
				}
				r := s.request(t.Context(), f, ":1.42", true, c.o)
				if r == nil {
					t.Fatal("allowed")
				}
				if text := r.onBus(c.o.Mode).Error(); r.Name != c.error || !strings.Contains(text, c.what) {
					t.Errorf("%s: %s, want %s with %q", r.Name, text, c.error, c.what)
				}
				if len(f.applied) > 0 || f.watching != 0 || (f.asked > 0) != c.polkitToo {
					t.Errorf("applied %v, watching %d, polkit was asked %d times", f.applied, f.watching, f.asked)
				}
				if !c.entry {
					if len(f.entries) != 0 {
						t.Errorf("entries %v about nobody", f.entries)
					}
				} else if len(f.entries) != 1 || f.entries[0]["reason"] != r.Reason || r.Reason == "" || f.entries[0]["message_id"] != record.OverrideRefused.Name {
					t.Errorf("entries %v", f.entries)
				}
			})
		})
	}
}

func TestNotInForce(t *testing.T) {
	f, s := newFake(nil)
	f.apply = func(context.Context) error { return errors.New("keyswitch: the disk is full") }
	r := s.request(t.Context(), f, ":1.42", true, keyswitch.Override{Mode: keyswitch.ForceOff})
	if r == nil || r.Name != NotInForce || !strings.Contains(r.Text, "disk") || len(f.entries) != 1 || f.entries[0]["reason"] != "not-in-force" {
		t.Errorf("%+v, entries %v", r, f.entries)
	}
}

// waits is polkit's question that nobody answers. Its end is counted.
func waits(ended *atomic.Int32) func(context.Context) (answer, error) {
	return func(ctx context.Context) (answer, error) {
		<-ctx.Done()
		ended.Add(1)
		return answer{}, fmt.Errorf("asking polkit: %w", ctx.Err())
	}
}

// A password prompt that nobody answers blocks nobody, and ends.
func TestPasswordPromptUnanswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := newFake(nil)
		var ended atomic.Int32
		f.polkit = waits(&ended)
		refusals := make(chan *Refusal, 1)
		go func() { refusals <- s.request(t.Context(), f, ":1.42", true, on) }()
		synctest.Wait()
		if r := s.request(t.Context(), f, ":1.42", true, on); r == nil || r.Name != Busy {
			t.Errorf("a second request of the same caller: %v", r)
		}
		f.mu.Lock()
		f.polkit = nil
		f.mu.Unlock()
		if r := s.request(t.Context(), f, ":1.43", true, on); r != nil {
			t.Errorf("another one: %v", r)
		}
		time.Sleep(passwordWithin - time.Second)
		synctest.Wait()
		if ended.Load() != 0 {
			t.Error("the prompt ended too soon")
		}
		time.Sleep(time.Second)
		if r := <-refusals; r.Name != Cancelled || r.Reason != "no-password" || ended.Load() != 1 || f.watching != 0 {
			t.Errorf("%+v, ended %d, watching %d", r, ended.Load(), f.watching)
		}
		if r := s.request(t.Context(), f, ":1.42", true, on); r != nil {
			t.Errorf("afterwards: %v", r)
		}
	})
}

// One user leaves room for the others.
func TestManyPrompts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := newFake(nil)
		var ended atomic.Int32
		f.polkit = waits(&ended)
		var wait sync.WaitGroup
		for i := range 2 * burst {
			wait.Go(func() { s.request(t.Context(), f, fmt.Sprint(":1.", i), true, on) })
		}
		synctest.Wait()
		if f.asked != maxUsersUnderWay {
			t.Errorf("%d prompts of one user, want %d", f.asked, maxUsersUnderWay)
		}
		f.mu.Lock()
		f.polkit = nil
		f.mu.Unlock()
		f.caller = func(string) (Caller, error) { return console(func(c *Caller) { c.UID, c.User = 0, "root" }), nil }
		if r := s.request(t.Context(), f, ":2.1", true, on); r != nil {
			t.Errorf("another user: %v", r)
		}
		wait.Wait()
		if ended.Load() != maxUsersUnderWay || len(s.underWay) != 0 || len(s.byUser) != 0 || f.watching != 0 {
			t.Errorf("ended %d, under way %v %v, watching %d", ended.Load(), s.underWay, s.byUser, f.watching)
		}
	})
}

// Who leaves while the password is asked for gets nothing, and the question is withdrawn at once.
func TestCallerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := newFake(nil)
		var ended atomic.Int32
		f.polkit = waits(&ended)
		refusals := make(chan *Refusal, 1)
		go func() { refusals <- s.request(t.Context(), f, ":1.42", true, on) }()
		synctest.Wait()
		began := time.Now()
		close(f.gone[":1.42"])
		if r := <-refusals; r.Name != Cancelled || r.Reason != "gone" || ended.Load() != 1 || len(f.applied) != 0 || time.Since(began) != 0 {
			t.Errorf("%+v, ended %d, applied %v after %s", r, ended.Load(), f.applied, time.Since(began))
		}
	})
}

// Who switched to another console, or logged out, before the password was entered: no.
func TestSessionLeftMeanwhile(t *testing.T) {
	f, s := newFake(nil)
	f.polkit = func(context.Context) (answer, error) {
		f.caller = func(string) (Caller, error) { return console(func(c *Caller) { c.State = "online" }), nil }
		return answer{Yes: true}, nil
	}
	if r := s.request(t.Context(), f, ":1.42", true, on); r == nil || r.Reason != "inactive" || len(f.applied) != 0 {
		t.Errorf("%+v, applied %v", r, f.applied)
	}
}

// The connection ends: so do the calls, and nobody is left behind.
func TestConnectionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := newFake(nil)
		var ended atomic.Int32
		f.polkit = waits(&ended)
		ctx, close := context.WithCancel(t.Context())
		var calls open
		ask := s.asker(ctx, f, &calls)
		msg := dbus.Message{Flags: dbus.FlagAllowInteractiveAuthorization}
		answers := make(chan *dbus.Error, 1)
		go func() { answers <- ask(":1.42", msg, on) }()
		synctest.Wait()
		close()
		calls.end()
		if e := <-answers; e == nil || e.Name != Cancelled || ended.Load() != 1 {
			t.Errorf("%v, ended %d", e, ended.Load())
		}
		if e := ask(":1.43", msg, on); e == nil || e.Name != Cancelled {
			t.Errorf("a call that came late: %v", e)
		}
	})
}

// A loop from afar costs a few questions to logind and a few entries, and nobody else's time.
func TestFloodFromAfar(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := newFake(nil)
		f.caller = func(name string) (Caller, error) {
			if name == ":1.1" {
				return console(nil), nil
			}
			return console(func(c *Caller) { c.UID, c.User, c.Remote, c.RemoteHost = 1001, "eve", true, "192.0.2.7" }), nil
		}
		began := time.Now()
		for i := range 6000 {
			s.request(t.Context(), f, fmt.Sprint(":2.", i), true, on)
			if i%100 == 0 {
				time.Sleep(time.Second)
				if r := s.request(t.Context(), f, ":1.1", true, on); r != nil {
					t.Fatalf("at the console: %v", r)
				}
			}
		}
		refused, unrecorded := 0, 0
		for _, e := range f.entries {
			if e["by"] == "eve" {
				refused++
				var n int
				fmt.Sscan(e["unrecorded"], &n)
				unrecorded += n
			}
		}
		if took := time.Since(began); took != time.Minute || refused > 2*(burst+6)+1 || unrecorded < 4000 {
			t.Errorf("6000 calls in %s: %d entries, which tell of %d more", took, refused, unrecorded)
		}
		if len(f.applied) != 60 {
			t.Errorf("%d allowed, want 60", len(f.applied))
		}
	})
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{time.Minute: "1m", 30 * time.Minute: "30m", 90 * time.Minute: "1h30m", 24 * time.Hour: "24h",
		61 * time.Second: "1m1s", 0: "0s", time.Second: "1s", 1500 * time.Millisecond: "1.5s"} {
		if got := span(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}
