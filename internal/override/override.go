// Package override decides who may put something else in the key's place: `keyswitchd on`, `off` and `auto`, as calls on the system
// bus. Somebody at the machine may, after authentication: a person with a session at its screen or on its serial line, as
// systemd-logind sees it, and with polkit's consent. Both have to say yes, whoever asks; to root as well.
//
// What it refuses to do: to believe callers what they say of themselves, and to guess. Who they are the bus knows, where they sit
// logind; what can't be found out is a no. It opens and closes nothing itself: that is the controller's.
package override

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/godbus/dbus/v5/introspect"

	"keyswitchd/internal/keyswitch"
	"keyswitchd/internal/record"
)

const (
	// askWithin bounds the questions that no person answers.
	askWithin = 30 * time.Second
	// passwordWithin bounds the one that a person answers.
	passwordWithin = 2 * time.Minute
	// applyWithin bounds the controller.
	applyWithin = 30 * time.Second
	// maxUnderWay bounds the requests that are looked at side by side, and so the goroutines and what they hold.
	maxUnderWay = 64
	// maxUsersUnderWay bounds those of one user: one who answers no password prompt leaves room for the others.
	maxUsersUnderWay = 4
)

// action is the prefix of the actions in org.keyswitchd1.policy.
const action = "org.keyswitchd1."

// Controller puts an override in force: keyswitch.Controller.
type Controller interface {
	Override(ctx context.Context, o keyswitch.Override) error
}

// Service answers the calls. It is status.Calls.
type Service struct {
	controller Controller
	log        *slog.Logger
	limits     limiter
	unseen     atomic.Int64 // requests refused before it was known who asks, since the last entry in the journal

	mu       sync.Mutex
	underWay map[string]bool // by the callers' unique names
	byUser   map[uint32]int
}

// New makes the service. Every request that it allows or refuses is an entry of log, but for those beyond the limits.
func New(c Controller, log *slog.Logger) *Service {
	return &Service{controller: c, log: log, underWay: map[string]bool{}, byUser: map[uint32]int{}}
}

// Serve implements status.Calls.
func (s *Service) Serve(conn *dbus.Conn) (map[string]any, []introspect.Method, func()) {
	var calls open
	ask := s.asker(conn.Context(), &busMachine{conn: conn}, &calls)
	return map[string]any{
			"On": func(from dbus.Sender, msg dbus.Message, usec uint64) *dbus.Error {
				return ask(from, msg, keyswitch.Override{Mode: keyswitch.ForceOn, For: time.Duration(min(usec, math.MaxInt64/1000)) * time.Microsecond})
			},
			"Off": func(from dbus.Sender, msg dbus.Message) *dbus.Error {
				return ask(from, msg, keyswitch.Override{Mode: keyswitch.ForceOff})
			},
			"Auto": func(from dbus.Sender, msg dbus.Message) *dbus.Error {
				return ask(from, msg, keyswitch.Override{Mode: keyswitch.Auto})
			},
		}, []introspect.Method{
			{Name: "On", Args: []introspect.Arg{{Name: "usec", Type: "t", Direction: "in"}}},
			{Name: "Off"},
			{Name: "Auto"},
		}, calls.end
}

func (s *Service) asker(ctx context.Context, m machine, calls *open) func(dbus.Sender, dbus.Message, keyswitch.Override) *dbus.Error {
	return func(from dbus.Sender, msg dbus.Message, o keyswitch.Override) *dbus.Error {
		if !calls.begin() {
			return (&Refusal{Name: Cancelled, Text: "keyswitchd is leaving the bus"}).onBus(o.Mode)
		}
		defer calls.done()
		if r := s.request(ctx, m, string(from), msg.Flags&dbus.FlagAllowInteractiveAuthorization != 0, o); r != nil {
			return r.onBus(o.Mode)
		}
		return nil
	}
}

// request is one request from its beginning to its end. It returns nil when o is in force.
func (s *Service) request(ctx context.Context, m machine, name string, interactive bool, o keyswitch.Override) *Refusal {
	if !s.begin(name) {
		s.unseen.Add(1)
		return &Refusal{Name: Busy, Text: "another request is under way; wait for its end"}
	}
	defer s.end(name)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c, err := within(ctx, askWithin, func(ctx context.Context) (Caller, error) { return m.credentials(ctx, name) })
	if err != nil {
		// Nobody can be named, so there is nothing to tell but how many.
		s.unseen.Add(1)
		return unavailable(err)
	}
	ok, missed := s.limits.take(c.UID)
	if !ok {
		r := &Refusal{Name: TooMany, Reason: "too-many", Text: fmt.Sprintf("%s asks too often; wait %s", c.User, refill)}
		if missed == 0 {
			s.record(o, c, r, 0)
		}
		return r
	}
	c, r := s.decide(ctx, cancel, m, c, interactive, &o)
	if r == nil {
		s.limits.giveBack(c.UID)
	}
	s.record(o, c, r, missed)
	return r
}

// decide asks everybody and, if all agree, the controller. It returns what is known of the caller by then.
func (s *Service) decide(ctx context.Context, cancel context.CancelCauseFunc, m machine, c Caller, interactive bool, o *keyswitch.Override) (Caller, *Refusal) {
	gone, stop, err := m.watch(ctx, c.Name)
	if err != nil {
		return c, unavailable(err)
	}
	var watching sync.WaitGroup
	watching.Go(func() {
		select {
		case <-gone:
			cancel(errGone)
		case <-ctx.Done():
		}
	})
	defer func() { cancel(nil); watching.Wait(); stop() }()

	look := func() *Refusal {
		now, err := within(ctx, askWithin, func(ctx context.Context) (Caller, error) { return m.session(ctx, c) })
		if err != nil {
			return unavailable(err)
		}
		c = now
		return OnSite(c)
	}
	if r := look(); r != nil {
		return c, r
	}
	if o.Mode == keyswitch.ForceOn && (o.For < keyswitch.MinOverride || o.For > keyswitch.MaxOverride) {
		return c, &Refusal{Name: BadTime, Reason: "bad-time", Text: fmt.Sprintf("%s is out of range: use 1m to 24h", o.For)}
	}
	if !s.beginUser(c.UID) {
		return c, &Refusal{Name: Busy, Reason: "busy", Text: fmt.Sprintf("%d requests of %s are under way; answer or end them", maxUsersUnderWay, c.User)}
	}
	defer s.endUser(c.UID)
	if r := s.authorize(ctx, m, c, interactive, *o); r != nil {
		return c, r
	}
	// Entering a password takes a person a while, and the session may have gone to the background, or ended.
	if r := look(); r != nil {
		return c, r
	}
	o.By = c.By()
	_, err = within(context.WithoutCancel(ctx), applyWithin, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.controller.Override(ctx, *o)
	})
	if err != nil {
		return c, &Refusal{Name: NotInForce, Reason: "not-in-force", Text: err.Error()}
	}
	return c, nil
}

func (s *Service) authorize(ctx context.Context, m machine, c Caller, interactive bool, o keyswitch.Override) *Refusal {
	limit := askWithin
	if interactive {
		limit = passwordWithin
	}
	details := map[string]string{"for": span(o.For)}
	a, err := within(ctx, limit, func(ctx context.Context) (answer, error) {
		return m.authorize(ctx, c, action+string(o.Mode), details, interactive)
	})
	no := func(reason, text string) *Refusal { return &Refusal{Name: NotAuthorized, Reason: reason, Text: text} }
	switch {
	case interactive && errors.Is(err, context.DeadlineExceeded):
		return &Refusal{Name: Cancelled, Reason: "no-password", Text: fmt.Sprintf("no password was given within %s", passwordWithin)}
	case err != nil:
		return unavailable(err)
	case a.Yes:
		return nil
	case a.Dismissed:
		return no("dismissed", "the authentication was broken off")
	case a.Challenge:
		return no("nobody-to-ask", "an administrator's password is needed, and nobody can be asked for it; use a terminal")
	case c.Seat == "":
		// To polkit, only a session with a seat is a local one (allow_active).
		return no("no-seat", "on a serial line only root may do this; use sudo")
	case interactive:
		return no("not-authenticated", "the authentication failed, or polkit does not allow it")
	default:
		return no("polkit", "polkit does not allow it")
	}
}

// unavailable is the answer when something can't be found out. err is told, as it is or as its cause.
func unavailable(err error) *Refusal {
	switch {
	case errors.Is(err, errGone), errors.Is(err, context.Canceled):
		return &Refusal{Name: Cancelled, Reason: "gone", Text: "the caller has gone"}
	case errors.Is(err, context.DeadlineExceeded):
		err = fmt.Errorf("no answer: %w", err)
	}
	return &Refusal{Name: Unavailable, Reason: "unavailable", Text: err.Error() +
		"; without it nobody can be let; type: systemctl status dbus systemd-logind polkit"}
}

// within bounds f. If f's time was over or ctx ended, the error wraps the cause of that.
func within[T any](ctx context.Context, limit time.Duration, f func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	v, err := f(ctx)
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w (%w)", err, cause)
	}
	return v, err
}

// record writes the one entry of a request. missed is how many of the user's have none.
func (s *Service) record(o keyswitch.Override, c Caller, r *Refusal, missed int) {
	what := string(o.Mode)
	if o.Mode == keyswitch.ForceOn {
		what += " for " + span(o.For)
	}
	attrs := []slog.Attr{slog.String("override", string(o.Mode)), slog.String("by", c.By()), slog.Uint64("uid", uint64(c.UID))}
	for _, a := range []struct{ key, value string }{
		{"session", c.Session}, {"session_user", c.SessionUser}, {"seat", c.Seat}, {"tty", c.TTY}, {"service", c.Service}, {"remote_host", c.RemoteHost},
	} {
		if a.value != "" {
			attrs = append(attrs, slog.String(a.key, a.value))
		}
	}
	if o.Mode == keyswitch.ForceOn {
		attrs = append(attrs, slog.String("for", span(o.For)))
	}
	if n := int64(missed) + s.unseen.Swap(0); n > 0 {
		attrs = append(attrs, slog.Int64("unrecorded", n))
	}
	level, msg := slog.LevelInfo, fmt.Sprintf("%s overrides the key: %s", c.By(), what)
	if r == nil {
		attrs = append(attrs, record.Override.Attr())
	} else {
		level, msg = slog.LevelWarn, fmt.Sprintf("%s may not override the key: %s: %s", c.By(), what, r.Text)
		if r.Name == NotInForce {
			msg = fmt.Sprintf("%s may override the key, but this is not in force: %s: %s", c.By(), what, r.Text)
		}
		attrs = append(attrs, record.OverrideRefused.Attr(), slog.String("reason", r.Reason))
	}
	s.log.LogAttrs(context.Background(), level, msg, attrs...)
}

// span is d as a person writes it: 30m, 1h30m.
func span(d time.Duration) string {
	if d < time.Minute || d%time.Second != 0 {
		return d.String()
	}
	out := ""
	for _, u := range []struct {
		size time.Duration
		name string
	}{{time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}} {
		if n := d / u.size; n > 0 {
			out += fmt.Sprint(int64(n)) + u.name
			d -= n * u.size
		}
	}
	return cmp.Or(out, "0s")
}
