package simulate

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"keyswitchd/internal/status"
)

// keptLines is how many lines of each log are kept.
const keptLines = 40

// scene is what can be seen of the simulated Pi: the status, the LED itself, and the logs.
type scene struct {
	mu      sync.Mutex
	bell    chan struct{} // closed and replaced at each change
	status  status.Status
	lit     bool
	past    []status.Status // since mark
	log     []string        // of the controller
	sshdLog []string
}

func newScene() *scene { return &scene{bell: make(chan struct{})} }

func (s *scene) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.bell)
	s.bell = make(chan struct{})
}

// publish takes a new status of the controller's.
func (s *scene) publish(st status.Status) {
	s.change(func() {
		s.status = st
		// A script marks often; the picture never does, and needs no past.
		if s.past != nil {
			s.past = append(s.past, st)
		}
	})
}

// mark begins a new past.
func (s *scene) mark() { s.change(func() { s.past = []status.Status{s.status} }) }

// seen is the statuses since mark, the one at mark first.
func (s *scene) seen() []status.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.past)
}

// now is the present state, and what tells of the next one.
func (s *scene) now() (st status.Status, lit bool, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status, s.lit, s.bell
}

// await returns when ok holds of the state, or the error of ok's or of ctx.
func (s *scene) await(ctx context.Context, ok func(st status.Status, lit bool) (bool, error)) error {
	for {
		st, lit, changed := s.now()
		if yes, err := ok(st, lit); yes || err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// watch follows a LED until ctx ends.
func (s *scene) watch(ctx context.Context, lit func() bool, changed <-chan struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
			s.change(func() { s.lit = lit() })
		}
	}
}

func (s *scene) logs() (controller, sshd []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.log), slices.Clone(s.sshdLog)
}

func keep(lines []string, line string) []string {
	if len(lines) >= keptLines {
		lines = slices.Delete(lines, 0, 1+len(lines)-keptLines)
	}
	return append(lines, line)
}

// sshdLines takes what sshd says; each write is one line.
type sshdLines struct{ *scene }

// Write implements io.Writer. It never fails.
func (l sshdLines) Write(p []byte) (int, error) {
	text := strings.TrimRight(string(p), "\n")
	l.change(func() { l.sshdLog = keep(l.sshdLog, text) })
	return len(p), nil
}

// logLines is a slog.Handler that keeps the controller's log in the scene, with the time in front. What the picture shows
// anyway is left out.
type logLines struct {
	*scene
	attrs []slog.Attr
}

// Enabled implements slog.Handler.
func (h logLines) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

// Handle implements slog.Handler.
func (h logLines) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString(r.Time.Format(time.TimeOnly) + " " + r.Message)
	attr := func(a slog.Attr) bool {
		switch a.Key {
		case "key", "permit", "code", "unit":
		default:
			fmt.Fprintf(&b, " %s=%v", a.Key, a.Value)
		}
		return true
	}
	for _, a := range h.attrs {
		attr(a)
	}
	r.Attrs(attr)
	h.change(func() { h.log = keep(h.log, b.String()) })
	return nil
}

// WithAttrs implements slog.Handler.
func (h logLines) WithAttrs(attrs []slog.Attr) slog.Handler {
	return logLines{h.scene, append(slices.Clip(h.attrs), attrs...)}
}

// WithGroup implements slog.Handler. The controller has no groups.
func (h logLines) WithGroup(string) slog.Handler { return h }
