package simulate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"keyswitchd/gpio"
)

// Control sequences of every terminal of the last decades (xterm's ctlseqs).
const (
	// enter switches to the other screen, where nothing of the user's is overwritten, and hides the cursor.
	enter = "\x1b[?1049h\x1b[?25l\x1b[2J"
	leave = "\x1b[0m\x1b[?25h\x1b[?1049l"
)

// Interactive says whether a person can turn the key here.
func Interactive(in io.Reader, out io.Writer) bool {
	i, ok := in.(*os.File)
	o, also := out.(*os.File)
	return ok && also && term.IsTerminal(int(i.Fd())) && term.IsTerminal(int(o.Fd())) && os.Getenv("TERM") != "dumb"
}

// picture lets a person turn the key at the terminal. To quit, and to be told to, is no error.
func (o Options) picture(ctx context.Context, p *pi) error {
	out, ok := o.Out.(*os.File)
	if !ok || o.In == nil {
		return errors.New("simulate: there is no terminal to draw on; --script goes without")
	}
	before, err := term.MakeRaw(int(o.In.Fd()))
	if err != nil {
		return fmt.Errorf("simulate: asking the terminal for single keys: %w", err)
	}
	// Also on a panic; what no defer can catch, the guard does.
	defer restore(o.In, out, before)
	if _, err := io.WriteString(out, enter); err != nil {
		return fmt.Errorf("simulate: drawing: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	typed := make(chan byte)
	var wait sync.WaitGroup
	defer wait.Wait()
	stopReading, err := readKeys(o.In, &wait, typed)
	if err != nil {
		return err
	}
	defer stopReading()
	err = o.with(ctx, p, func(ctx context.Context, sc *scene, board *gpio.Simulated) error {
		t := &terminal{out: out, pi: p, scene: sc, hand: o.hand(board), line: o.Config.Key.Line}
		return t.run(ctx, typed)
	})
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// restore gives the terminal back as it was. If it is gone, there is nothing to restore.
func restore(in *os.File, out io.Writer, before *term.State) {
	_, _ = io.WriteString(out, leave)
	// If the guard was killed, the shell has the terminal again by now, and has made it its own.
	if group, err := unix.IoctlGetInt(int(in.Fd()), unix.TIOCGPGRP); err == nil && group == unix.Getpgrp() {
		_ = term.Restore(int(in.Fd()), before)
	}
}

// readKeys sends what is typed until stop is called, or closes typed when the terminal is gone.
func readKeys(in *os.File, wait *sync.WaitGroup, typed chan<- byte) (stop func(), err error) {
	end, ender, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("simulate: reading the keyboard: %w", err)
	}
	done := make(chan struct{})
	wait.Go(func() {
		defer end.Close()
		defer close(typed)
		buf := make([]byte, 64)
		var esc escape
		for {
			// A read can't be ended from outside, a poll can.
			fds := []unix.PollFd{{Fd: int32(in.Fd()), Events: unix.POLLIN}, {Fd: int32(end.Fd()), Events: unix.POLLIN}}
			_, err := unix.Poll(fds, -1)
			if err == unix.EINTR {
				continue
			}
			if err != nil || fds[1].Revents != 0 {
				return
			}
			n, err := unix.Read(int(in.Fd()), buf)
			if err == unix.EINTR || err == unix.EAGAIN {
				continue
			}
			if err != nil || n <= 0 {
				return
			}
			for _, b := range buf[:n] {
				if !esc.plain(b) {
					continue
				}
				select {
				case typed <- b:
				case <-done:
					return
				}
			}
		}
	})
	return func() { close(done); ender.Close() }, nil
}

// escape tells plain keys from the bytes of arrows and function keys, which begin with ESC (ECMA-48, 5.4).
type escape int

const (
	outside escape = iota
	begun          // after ESC
	inside         // after ESC [ or ESC O, until a final byte
)

func (e *escape) plain(b byte) bool {
	was := *e
	switch {
	case b == 0x1b:
		*e = begun
	case was == begun && (b == '[' || b == 'O'):
		*e = inside
	case was == inside && b >= ' ' && b < '@':
	default:
		*e = outside
	}
	// A key after a lone ESC is lost, and Ctrl-C never is.
	return *e == outside && (was == outside || b < ' ')
}

// terminal draws the scene and takes the keys.
type terminal struct {
	out   *os.File
	pi    *pi
	scene *scene
	hand  hand
	line  string // of the key's contact
	help  bool
	shown []row
	size  [2]int
}

func (t *terminal) run(ctx context.Context, typed <-chan byte) error {
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, syscall.SIGWINCH)
	defer signal.Stop(resized)
	for {
		_, _, changed := t.scene.now()
		if err := t.draw(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
		case <-resized:
			t.shown = nil // the terminal may have moved everything about
		case b, ok := <-typed:
			if !ok || t.key(b) {
				return nil
			}
		}
	}
}

// key does what a key stands for, and says whether it was to quit. Other keys do nothing, Ctrl-Z neither.
func (t *terminal) key(b byte) (quit bool) {
	switch b {
	case ' ':
		if t.hand.on {
			t.hand.do(wordOff)
		} else {
			t.hand.do(wordOn)
		}
	case 'o':
		t.hand.do(wordOn)
	case 'f':
		t.hand.do(wordOff)
	case 'b':
		t.hand.do(wordBounce)
	case 'c':
		if t.hand.cut || t.hand.wires == [2]gpio.Wire{gpio.Cut, gpio.Cut} {
			t.hand.do(wordMend)
		} else {
			t.hand.do(wordCut)
		}
	case '1', '2', '3', '4', 'm':
		if t.hand.second != "" {
			t.hand.do(map[byte]word{'1': wordCutKey, '2': wordCutSecond, '3': wordShortKey, '4': wordShortSecond, 'm': wordMend}[b])
		}
	case '?', 'h':
		t.help = !t.help
	case 0x0c: // Ctrl-L: redraw
		t.shown = nil
	case 'q', 0x03, 0x04: // q, Ctrl-C, Ctrl-D
		return true
	}
	return false
}

// contacts is what the picture shows of two contacts; nothing of one.
func (t *terminal) contacts() []contactView {
	if t.hand.second == "" {
		return nil
	}
	var all []contactView
	for c, line := range []string{t.line, t.hand.second} {
		all = append(all, contactView{line: line, wire: t.hand.wires[c], closed: t.hand.closed(gpio.Contact(c))})
	}
	return all
}

func (t *terminal) draw() error {
	width, height, err := term.GetSize(int(t.out.Fd()))
	if err != nil || width == 0 || height == 0 {
		width, height = 80, 24 // some serial lines don't know
	}
	if t.size != [2]int{width, height} {
		t.size, t.shown = [2]int{width, height}, nil
	}
	st, lit, _ := t.scene.now()
	log, _ := t.scene.logs()
	rows := draw(view{
		on: t.hand.on, cut: t.hand.cut, contacts: t.contacts(), status: st, lit: lit, who: t.pi.user.Username, root: t.pi.root,
		address: t.pi.address(), try: t.pi.tryLine(), log: log, help: t.help,
	}, style{width: width, height: height, unicode: speaksUnicode(os.Getenv), colour: os.Getenv("NO_COLOR") == ""})
	if text := changes(t.shown, rows); text != "" {
		if _, err := io.WriteString(t.out, text); err != nil {
			return fmt.Errorf("simulate: drawing: %w", err)
		}
	}
	t.shown = rows
	return nil
}

// speaksUnicode follows setlocale(3): the first of these that is set decides.
func speaksUnicode(getenv func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToLower(getenv(name)); v != "" {
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return false
}

// changes is what must be written to make now of what is shown. Rows that are the same stay untouched: a blinking LED
// must not undo what somebody has marked with the mouse.
func changes(shown, now []row) string {
	if slices.Equal(shown, now) {
		return ""
	}
	var b strings.Builder
	if shown == nil {
		b.WriteString("\x1b[0m\x1b[2J")
	}
	for y := 0; y < len(now); {
		// A long line over several rows is one.
		end := y + 1
		for end < len(now) && now[end-1].joined {
			end++
		}
		if end > len(shown) || !slices.Equal(shown[y:end], now[y:end]) {
			for i := y; i < end; i++ {
				fmt.Fprintf(&b, "\x1b[%d;1H\x1b[K", i+1)
			}
			fmt.Fprintf(&b, "\x1b[%d;1H", y+1)
			for i := y; i < end; i++ {
				b.WriteString(now[i].text) // a joined one fills the width, so the terminal itself goes on in the next row
			}
		}
		y = end
	}
	if len(shown) > len(now) {
		fmt.Fprintf(&b, "\x1b[%d;1H\x1b[J", len(now)+1)
	}
	return b.String()
}
