package record

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"sync"

	"golang.org/x/term"
)

// textHandler writes slog records as lines: the level as a <N> prefix (sd-daemon(3)), and no time, which whoever reads them
// adds. On a terminal it leaves the prefix out.
type textHandler struct {
	slog.Handler
	buf    *bytes.Buffer
	mu     *sync.Mutex
	w      io.Writer
	prefix bool
}

func newText(w io.Writer) slog.Handler {
	f, ok := w.(*os.File)
	buf := &bytes.Buffer{}
	text := slog.NewTextHandler(buf, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
			return slog.Attr{}
		}
		if _, ok := a.Value.Any().(Kind); ok {
			a.Key = "kind"
		}
		return a
	}})
	return &textHandler{Handler: text, buf: buf, mu: &sync.Mutex{}, w: w, prefix: !ok || !term.IsTerminal(int(f.Fd()))}
}

func (h *textHandler) Handle(ctx context.Context, r slog.Record) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.buf.Reset()
	if h.prefix {
		h.buf.WriteString("<" + priority(r.Level) + ">")
	}
	if err := h.Handler.Handle(ctx, r); err != nil {
		return err
	}
	_, err := h.w.Write(h.buf.Bytes())
	return err
}

// WithAttrs and WithGroup share the buffer and its lock.
func (h *textHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	c.Handler = h.Handler.WithAttrs(attrs)
	return &c
}

func (h *textHandler) WithGroup(name string) slog.Handler {
	c := *h
	c.Handler = h.Handler.WithGroup(name)
	return &c
}
