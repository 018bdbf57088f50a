package record

import (
	"context"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/coreos/go-systemd/v22/journal"
)

// Handler is the slog handler of the daemon. The zero value does not work; see NewHandler.
type Handler struct {
	slog.Handler
	sink *sink // nil where lines are written
}

// NewHandler makes a handler that writes to stderr: entries in the journal's own protocol if stderr is the journal (JOURNAL_STREAM
// in systemd.exec(5)), else lines with the priority in front (sd-daemon(3)), without it on a terminal. Close ends it.
func NewHandler(stderr io.Writer) *Handler {
	if stderr == io.Writer(os.Stderr) {
		// What is not known to be the journal gets lines, which every reader of stderr can read.
		if is, err := journal.StderrIsJournalStream(); is && err == nil {
			if h, err := newNative(journalSocket); err == nil {
				return h
			}
		}
	}
	return &Handler{Handler: newText(stderr)}
}

func newNative(socket string) (*Handler, error) {
	s, err := newSink(socket)
	if err != nil {
		return nil, err
	}
	return &Handler{Handler: native{sink: s}, sink: s}, nil
}

// Journal reports whether entries are written.
func (h *Handler) Journal() bool { return h.sink != nil }

// Linger is for a process that ends with the first thing it says: journald looks up in /proc to which unit a process belongs, when it
// reads its first entry, and finds nothing if it is gone by then. It waits a second at most, and not at all after the first entry.
func (h *Handler) Linger() {
	if h.sink != nil {
		h.sink.linger()
	}
}

// Close gives the journal what it could not take before, without waiting for it, and waits for what the handler started.
func (h *Handler) Close() {
	if h.sink != nil {
		h.sink.close()
	}
}

// native makes journal entries of slog records: MESSAGE, PRIORITY, MESSAGE_ID, and KEYSWITCHD_X for the attribute x.
type native struct {
	sink  *sink
	group string  // of the attributes to come, "" or "a.b."
	given []field // by WithAttrs
	kind  Kind
}

type field struct{ key, value string }

// Enabled implements slog.Handler: debugging is not for the journal.
func (n native) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

// Handle implements slog.Handler. It never waits.
func (n native) Handle(_ context.Context, r slog.Record) error {
	n.given = slices.Clip(n.given)
	r.Attrs(func(a slog.Attr) bool {
		n.add(n.group, a)
		return true
	})
	e := entry{}
	e.add("MESSAGE", message(r.Message, n.given))
	e.add("PRIORITY", priority(r.Level))
	e.add("SYSLOG_IDENTIFIER", "keyswitchd")
	if n.kind.ID != "" {
		e.add("MESSAGE_ID", n.kind.ID)
		e.add("KEYSWITCHD_KIND", n.kind.Name)
	}
	for _, f := range n.given {
		e.add(fieldName(f.key), f.value)
	}
	return n.sink.send(e, r.Time)
}

// WithAttrs implements slog.Handler.
func (n native) WithAttrs(attrs []slog.Attr) slog.Handler {
	n.given = slices.Clip(n.given)
	for _, a := range attrs {
		n.add(n.group, a)
	}
	return n
}

// WithGroup implements slog.Handler.
func (n native) WithGroup(name string) slog.Handler {
	if name != "" {
		n.group += name + "."
	}
	return n
}

func (n *native) add(group string, a slog.Attr) {
	v := a.Value.Resolve()
	if k, ok := v.Any().(Kind); ok {
		n.kind = k
		return
	}
	switch {
	case v.Kind() == slog.KindGroup:
		if a.Key != "" {
			group += a.Key + "."
		}
		for _, a := range v.Group() {
			n.add(group, a)
		}
	case a.Equal(slog.Attr{}) || v.Kind() == slog.KindAny && v.Any() == nil:
	default:
		n.given = append(n.given, field{group + a.Key, v.String()})
	}
}

// told are the keys that every message tells in words of its own.
var told = []string{"key", "reason", "permit", "open", "led", "override", "unit"}

// message is what plain `journalctl` shows: the message and, in one line, the attributes that it leaves out.
func message(msg string, fields []field) string {
	var rest []string
	for _, f := range fields {
		switch {
		case slices.Contains(told, f.key) || f.value == "" || f.value == "0" || strings.Contains(msg, f.value):
		case f.key == "err" || f.key == "warning":
			msg += ": " + f.value
		default:
			rest = append(rest, f.key+"="+f.value)
		}
	}
	if len(rest) > 0 {
		msg += " (" + strings.Join(rest, ", ") + ")"
	}
	return oneLine(msg)
}

// oneLine keeps a message showable and in one piece: journalctl hides one with control characters, and a line break in a name that
// somebody else chose must not look like an entry of its own.
func oneLine(s string) string {
	s = strings.ReplaceAll(strings.TrimSpace(s), "\n", "; ")
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

// priority is syslog(3)'s.
func priority(l slog.Level) string {
	switch {
	case l >= slog.LevelError:
		return "3"
	case l >= slog.LevelWarn:
		return "4"
	}
	return "6"
}

// fieldName is a name that the journal takes (systemd.journal-fields(7)): capitals, digits and _, at most 64 of them.
func fieldName(key string) string {
	name := "KEYSWITCHD_" + strings.Map(func(r rune) rune {
		switch {
		case 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
			return r
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		}
		return '_'
	}, key)
	return name[:min(len(name), 64)]
}
