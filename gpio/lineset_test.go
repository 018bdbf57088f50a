package gpio

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"reflect"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
	"periph.io/x/conn/v3/gpio"
	"periph.io/x/host/v3/gpioioctl"
)

// pipeLine is a line made of a pipe: what is written to it are edges. Levels are played.
type pipeLine struct {
	fd     int
	kernel *os.File
	high   atomic.Bool
	second atomic.Bool // the second line is high
	broken atomic.Bool
	reads  int
	out    []gpio.GPIOValue
}

func (p *pipeLine) Read(mask gpio.GPIOValue) (bits gpio.GPIOValue, err error) {
	p.reads++
	if p.broken.Load() {
		return 0, errors.New(syscall.ENODEV.Error())
	}
	if p.high.Load() {
		bits |= 1
	}
	if p.second.Load() {
		bits |= 2
	}
	return bits & mask, nil
}

func (p *pipeLine) Out(bits, mask gpio.GPIOValue) error {
	if p.broken.Load() {
		return errors.New(syscall.ENODEV.Error())
	}
	p.out = append(p.out, bits&mask)
	return nil
}

func (p *pipeLine) Close() error { return unix.Close(p.fd) }

// edges queues n edges, each a struct gpio_v2_line_event.
func (p *pipeLine) edges(t testing.TB, n int) { t.Helper(); p.edgesOf(t, 17, n) }

// edgesOf is edges of one of two lines.
func (p *pipeLine) edgesOf(t testing.TB, offset uint32, n int) {
	t.Helper()
	var event [eventSize]byte
	for range n {
		stamp(&event)
		binary.NativeEndian.PutUint32(event[eventOffset:], offset)
		if _, err := p.kernel.Write(event[:]); err != nil {
			t.Fatal(err)
		}
	}
}

// stamp makes an event of now.
func stamp(event *[eventSize]byte) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic(err)
	}
	binary.NativeEndian.PutUint64(event[:], uint64(now.Nano()))
	binary.NativeEndian.PutUint32(event[8:], 1)
}

func newPipeLine(t testing.TB) *pipeLine {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	p := &pipeLine{fd: fds[0], kernel: os.NewFile(uintptr(fds[1]), "edges")}
	t.Cleanup(func() {
		_ = p.kernel.Close() // a test may have closed it
	})
	return p
}

func newTestInput(t testing.TB, p *pipeLine, activeLow bool) *lineInput {
	t.Helper()
	in, err := newLineInput(p, p.fd, noSecond, activeLow)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func TestLineInputSamples(t *testing.T) {
	p := newPipeLine(t)
	in := newTestInput(t, p, true)
	expect := func(want Sample) {
		t.Helper()
		got, _, err := in.Sample()
		if got.Age < 0 || got.Age > 0 && !got.Edges {
			t.Fatalf("the edge is %v old", got.Age)
		}
		got.Age = 0
		if err != nil || got != want {
			t.Fatalf("got %+v, %v; want %+v", got, err, want)
		}
	}
	expect(Sample{Active: true}) // low is closed
	p.high.Store(true)
	expect(Sample{})
	p.edges(t, 3)
	expect(Sample{Edges: true})
	expect(Sample{})
	p.edges(t, 1)
	if err := in.Wait(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	expect(Sample{Edges: true}) // the one that ended the wait
	expect(Sample{})
	if err := in.Wait(t.Context(), time.Millisecond); err != nil {
		t.Fatal(err)
	}
	expect(Sample{}) // a time-out is no edge
	p.edges(t, queued+1)
	expect(Sample{Edges: true})
	expect(Sample{Edges: true}) // what was too much stays for the next look
	expect(Sample{})
	p.broken.Store(true)
	if s, _, err := in.Sample(); err == nil {
		t.Fatalf("a failed read passed for %+v", s)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
}

// Two lines are read at once, and each edge is its own line's.
func TestLineInputOfTwoLines(t *testing.T) {
	p := newPipeLine(t)
	p.high.Store(true)
	in, err := newLineInput(p, p.fd, 22, true)
	if err != nil {
		t.Fatal(err)
	}
	expect := func(wantKey, wantSecond Sample) {
		t.Helper()
		p.reads = 0
		key, second, err := in.Sample()
		for _, s := range []*Sample{&key, &second} {
			if s.Age < 0 || s.Age > 0 && !s.Edges {
				t.Fatalf("the edge is %v old", s.Age)
			}
			s.Age = 0
		}
		if err != nil || key != wantKey || second != wantSecond || p.reads != 1 {
			t.Fatalf("got %+v, %+v, %v with %d reads; want %+v, %+v with one", key, second, err, p.reads, wantKey, wantSecond)
		}
	}
	expect(Sample{}, Sample{Active: true}) // the key is off
	p.edgesOf(t, 22, 2)
	expect(Sample{}, Sample{Active: true, Edges: true})
	p.edgesOf(t, 17, 1)
	p.high.Store(false)
	p.second.Store(true)
	expect(Sample{Active: true, Edges: true}, Sample{})
	p.edgesOf(t, 22, queued)
	p.edgesOf(t, 17, 1)
	p.edgesOf(t, 22, queued-1)
	expect(Sample{Active: true, Edges: true}, Sample{Edges: true}) // one queue for both, and it was full
	expect(Sample{Active: true}, Sample{})
	p.broken.Store(true)
	if key, second, err := in.Sample(); err == nil || key.Active || second.Active {
		t.Fatalf("a failed read passed for %+v, %+v", key, second)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
}

// A request for two lines says which of them it can't have.
func TestFindAll(t *testing.T) {
	header := chip{name: "gpiochip0", label: "pinctrl-bcm2711", path: "/dev/null", lines: []string{"ID_SDA", "GPIO17", "GPIO22"}}
	other := chip{name: "gpiochip1", label: "expander", path: "/dev/zero", lines: []string{"BT_ON", "SPARE"}}
	b := &linuxBoard{dev: t.TempDir(), chips: []chip{header, other}}
	c, names, err := b.findAll([]string{"gpiochip0:1", "GPIO22"}, false)
	if err != nil || c.name != "gpiochip0" || !reflect.DeepEqual(names, []string{"GPIO17", "GPIO22"}) {
		t.Errorf("got %v, %q, %v", c, names, err)
	}
	for second, want := range map[string]string{
		"GPIO99": "looking for line GPIO99: no chip has it",
		"SPARE":  "requesting GPIO17 on gpiochip0 (pinctrl-bcm2711, 3 lines) and SPARE on gpiochip1 (expander, 2 lines): both contacts are read at once",
	} {
		if _, _, err := b.findAll([]string{"GPIO17", second}, false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", second, err, want)
		}
	}
	// What isn't a chip tells nothing about its lines.
	if err := header.busy([]string{"GPIO17", "GPIO22"}, []string{"GPIO17", "GPIO22"}); !strings.Contains(err.Error(), "requesting GPIO17 and GPIO22 on gpiochip0") {
		t.Error(err)
	}
}

func TestLineInputKeepsEdgesFromBeforeTheFirstLook(t *testing.T) {
	p := newPipeLine(t)
	p.edges(t, 1)
	in := newTestInput(t, p, false)
	if s, _, err := in.Sample(); err != nil || !s.Edges {
		t.Fatalf("%+v, %v", s, err)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestLineInputWaitEndsWithContext cancels before, around and after the begin of the wait.
func TestLineInputWaitEndsWithContext(t *testing.T) {
	p := newPipeLine(t)
	in := newTestInput(t, p, false)
	for i := range 300 {
		ctx, cancel := context.WithCancel(t.Context())
		if i%3 == 0 {
			cancel()
		} else {
			go func() {
				for range i % 7 * 1000 {
					_ = ctx.Err() // some time, without sleeping
				}
				cancel()
			}()
		}
		if err := in.Wait(ctx, 0); !errors.Is(err, context.Canceled) {
			t.Fatalf("wait %d: %v", i, err)
		}
	}
	// The line is as good as new.
	p.edges(t, 1)
	if err := in.Wait(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if s, _, err := in.Sample(); err != nil || !s.Edges {
		t.Fatalf("%+v, %v", s, err)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestLineInputHangUpIsAnError(t *testing.T) {
	p := newPipeLine(t)
	in := newTestInput(t, p, false)
	if err := p.kernel.Close(); err != nil {
		t.Fatal(err)
	}
	if err := in.Wait(t.Context(), 0); err != nil {
		t.Errorf("Wait: %v", err) // it ends; the look that follows says why
	}
	if s, _, err := in.Sample(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Sample: %+v, %v", s, err)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestLineFD(t *testing.T) {
	ls := &gpioioctl.LineSet{}
	if fd, err := lineFD(ls); err == nil {
		t.Errorf("a closed LineSet has %d", fd)
	}
	field := reflect.ValueOf(ls).Elem().FieldByName("fd")
	*(*int32)(unsafe.Pointer(field.UnsafeAddr())) = 7
	if fd, err := lineFD(ls); err != nil || fd != 7 {
		t.Errorf("%d, %v; want 7", fd, err)
	}
}

func TestLineOutput(t *testing.T) {
	for _, activeLow := range []bool{false, true} {
		p := newPipeLine(t)
		out := &lineOutput{ls: p, line: "GPIO27", activeLow: activeLow}
		if err := errors.Join(out.Set(false), out.Set(true), out.Close()); err != nil {
			t.Fatal(err)
		}
		want := []gpio.GPIOValue{0, 1, 0}
		if activeLow {
			want = []gpio.GPIOValue{1, 0, 1}
		}
		if !reflect.DeepEqual(p.out, want) {
			t.Errorf("active-low %v: drove %v, want %v", activeLow, p.out, want)
		}
		p.broken.Store(true)
		if err := out.Set(true); err == nil || !strings.Contains(err.Error(), "GPIO27") {
			t.Errorf("broken: %v", err)
		}
	}
}

func TestBusyError(t *testing.T) {
	for consumer, want := range map[string]string{
		"w1-gpio": `requesting GPIO17 on gpiochip0: device or resource busy: "w1-gpio" holds it`,
		"":        "someone who gave no name holds it",
		self():    "this process holds it already; key, second and led must be different lines",
	} {
		if err := busyError("GPIO17", "gpiochip0", consumer, self()); !errors.Is(err, syscall.EBUSY) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", consumer, err)
		}
	}
	// periph's errors carry only the text of the errno.
	if !is(errors.New("LineSetFromConfig: "+syscall.EBUSY.Error()), syscall.EBUSY) || is(errors.New("busy"), syscall.EBUSY) {
		t.Error("EBUSY is not recognized")
	}
}

func TestConsumerOfSomethingElse(t *testing.T) {
	for _, path := range []string{"/dev/null", "/nowhere"} {
		if got, held := holder(path, 17); got != "" || held {
			t.Errorf("%s: %q, %v", path, got, held)
		}
	}
	if size := unsafe.Sizeof(lineInfo{}); size != getLineInfo>>16&(1<<14-1) {
		t.Errorf("lineInfo has %d bytes, the ioctl says %d", size, getLineInfo>>16&(1<<14-1))
	}
}

// BenchmarkLookAtChatter is what a look at a chattering line costs besides the pause before it: a full queue of edges, a
// level and a verdict. Key.Run takes 40 a second with the default windows.
func BenchmarkLookAtChatter(b *testing.B) {
	p := newPipeLine(b)
	in := newTestInput(b, p, false)
	d := NewDebouncer(testKey.DebounceOn, testKey.DebounceOff)
	now := time.Duration(0)
	for b.Loop() {
		b.StopTimer()
		p.edges(b, queued)
		b.StartTimer()
		s, _, err := in.Sample()
		if err != nil {
			b.Fatal(err)
		}
		now += 25 * time.Millisecond
		d.Sample(now, s)
	}
}
