package wire

import (
	"encoding/binary"
	"io"
	"sync"
)

// windowSize is how many bytes may be on their way to the inside. The kernel's terminal layer holds 4096; when they are
// used up it throttles the line, and User-mode Linux (6.12, line_unthrottle) never listens to a throttled line again.
const windowSize = 2048

// Window lets a writer run no further ahead of its reader than the line can take. The reader wraps its end with
// Acknowledge.
type Window struct {
	w io.Writer

	mu      sync.Mutex
	more    *sync.Cond
	sent    uint64 // since the last Reset
	read    uint64 // by the other end, as it says
	resets  int
	failure error
}

// NewWindow returns a Window before w, open.
func NewWindow(w io.Writer) *Window {
	window := &Window{w: w}
	window.more = sync.NewCond(&window.mu)
	return window
}

// Write implements io.Writer for one goroutine at a time. It waits for the other end. When a Reset comes between, it
// returns io.ErrShortWrite: the reader for whom this was is gone.
func (w *Window) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	resets := w.resets
	for n := 0; ; {
		for w.failure == nil && resets == w.resets && w.sent >= w.read+windowSize && n < len(p) {
			w.more.Wait()
		}
		switch {
		case w.failure != nil:
			return n, w.failure
		case resets != w.resets:
			return n, io.ErrShortWrite
		case n == len(p):
			return n, nil
		}
		part := p[n:min(len(p), n+int(w.read+windowSize-w.sent))]
		w.sent += uint64(len(part))
		w.mu.Unlock() // the line takes a window's worth without waiting, but that is its own affair
		m, err := w.w.Write(part)
		w.mu.Lock()
		n += m
		if err != nil {
			return n, err
		}
	}
}

// Acknowledged takes an Ack frame.
func (w *Window) Acknowledged(f Frame) {
	if len(f.Payload) != 8 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if read := binary.BigEndian.Uint64(f.Payload); read > w.read {
		w.read = min(read, w.sent) // a new reader may have read what was meant for the one before
	}
	w.more.Broadcast()
}

// Reset begins anew: another reader has taken over the line.
func (w *Window) Reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent, w.read = 0, 0
	w.resets++
	w.more.Broadcast()
}

// Close makes all writes fail with err.
func (w *Window) Close(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failure = err
	w.more.Broadcast()
}

// Acknowledge returns a reader that reads from r, and tells the Window at the other end of back how far it is.
func Acknowledge(r io.Reader, back *Writer) io.Reader { return &acknowledging{r: r, back: back} }

type acknowledging struct {
	r    io.Reader
	back *Writer
	read uint64
}

func (a *acknowledging) Read(p []byte) (int, error) {
	n, err := a.r.Read(p)
	if n > 0 {
		a.read += uint64(n)
		if sendErr := a.back.Send(Frame{Kind: Ack, Payload: binary.BigEndian.AppendUint64(nil, a.read)}); err == nil {
			err = sendErr
		}
	}
	return n, err
}
