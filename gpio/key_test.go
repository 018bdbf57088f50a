package gpio

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var testKey = KeyConfig{Line: "GPIO17", ActiveLow: true, DebounceOn: 50 * time.Millisecond, DebounceOff: 20 * time.Millisecond}

// story runs a key on a simulated board in a bubble and keeps what it reports, with its time.
type story struct {
	*Simulated
	t     *testing.T
	key   *Key
	begin time.Time
	stop  context.CancelFunc
	ended chan error

	mu   sync.Mutex
	told []string
}

func newStory(t *testing.T, board Board, sim *Simulated, cfg KeyConfig) *story {
	ctx, stop := context.WithCancel(t.Context())
	s := &story{Simulated: sim, t: t, key: NewKey(board, cfg), begin: time.Now(), stop: stop, ended: make(chan error, 1)}
	go func() {
		s.ended <- s.key.Run(ctx, func(r Reading) {
			if (r.Position == Fault) != (r.Err != nil) {
				t.Errorf("%v with error %v", r.Position, r.Err)
			}
			line := fmt.Sprintf("%v %v", time.Since(s.begin), r.Position)
			if r.Err != nil {
				line += " " + r.Err.Error()
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			s.told = append(s.told, line)
		})
	}()
	synctest.Wait()
	return s
}

// expect lets time pass until at, and compares what was told since the last expect.
func (s *story) expect(at time.Duration, want ...string) {
	s.t.Helper()
	time.Sleep(time.Until(s.begin.Add(at)))
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	ok := len(s.told) == len(want)
	for i := 0; ok && i < len(want); i++ {
		ok = strings.HasPrefix(s.told[i], want[i])
	}
	if !ok {
		s.t.Fatalf("by %v:\ntold %q\nwant %q", at, s.told, want)
	}
	s.told = nil
}

func (s *story) end() {
	s.t.Helper()
	s.stop()
	synctest.Wait()
	select {
	case err := <-s.ended:
		if err != nil {
			s.t.Errorf("Run returned %v", err)
		}
	default:
		s.t.Error("Run did not return at once")
	}
	if len(s.held) != 0 {
		s.t.Errorf("lines still held: %v", s.held)
	}
}

func TestKey(t *testing.T) {
	const ms = time.Millisecond
	for _, tc := range []struct {
		name string
		tell func(s *story)
	}{
		{"bad: busy line names its consumer and is tried again", func(s *story) {
			s.expect(0, `0s fault gpio: requesting GPIO17 on the simulated board: device or resource busy: "w1-gpio" holds it`)
			s.Busy("GPIO17", "")
			s.expect(999 * ms)
			s.expect(2*time.Second, "1.02s off")
		}},
		{"bad: attempts thin out to one in 10 s", func(s *story) {
			s.expect(0, "0s fault")
			s.expect(1000*ms + 1)
			s.Busy("GPIO17", "spi0") // a new reason is told, at the attempts at 3, 7, 15, 25 s
			s.expect(4*time.Second, `3s fault gpio: requesting GPIO17 on the simulated board: device or resource busy: "spi0"`)
			s.expect(15500 * ms)
			s.Busy("GPIO17", "")
			s.expect(26*time.Second, "25.02s off")
		}},
		{"bad: a line that vanishes is a fault at once, then needs a full window", func(s *story) {
			s.expect(100*ms, "20ms off")
			s.Turn(On)
			s.expect(200*ms, "150ms on")
			s.Break(errors.New("no such device"))
			s.expect(200*ms, "200ms fault gpio: waiting for an edge of GPIO17: no such device")
			s.expect(1199 * ms)
			s.Break(nil)
			s.expect(1500*ms, "1.25s on")
		}},
		{"bad: a line that vanishes while it settles", func(s *story) {
			s.expect(10 * ms)
			s.Break(errors.New("input/output error"))
			s.expect(10*ms, "10ms fault")
			s.Break(nil)
			s.expect(2*time.Second, "1.03s off")
		}},
		{"bad: chatter is a fault after 2 s, and over after a full window", func(s *story) {
			s.expect(time.Second, "20ms off")
			s.Chatter(100 * time.Microsecond)
			s.expect(10*time.Second+50*time.Microsecond, "3.0001s fault gpio: GPIO17: the contact has not been stable for 2s")
			s.Turn(Off)
			s.expect(11*time.Second, "10.02005s off")
		}},
		{"chatter in step with the pace", func(s *story) {
			s.expect(time.Second, "20ms off")
			s.Chatter(testKey.DebounceOff / 2)
			s.expect(4001*ms, "3.01s fault")
			s.Turn(On)
			s.expect(5*time.Second, "4.051s on")
		}},
		{"a clean turn takes the debounce time, no more", func(s *story) {
			s.expect(time.Second, "20ms off")
			s.Turn(On)
			s.expect(2*time.Second, "1.05s on")
			s.Turn(Off)
			s.expect(3*time.Second, "2.02s off")
		}},
		{"bounce adds nothing: the window begins with the last edge", func(s *story) {
			s.expect(time.Second, "20ms off")
			s.Turn(On, ms, ms, 2*ms, 3*ms) // still at 1.007
			s.expect(2*time.Second, "1.057s on")
			s.Turn(Off, ms, ms) // still at 2.002
			s.expect(3*time.Second, "2.022s off")
		}},
		{"a spike is not told", func(s *story) {
			s.expect(time.Second, "20ms off")
			s.Turn(Off, 0, 300*time.Microsecond)
			s.Turn(On, 10*ms)
			s.Turn(Off)
			s.expect(5 * time.Second)
		}},
		{"closed at boot", func(s *story) {
			s.Turn(On)
			s.expect(time.Second, "50ms on")
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				board := NewSimulated()
				if strings.Contains(tc.name, "busy") || strings.Contains(tc.name, "attempts") {
					board.Busy("GPIO17", "w1-gpio")
				}
				s := newStory(t, board, board, testKey)
				tc.tell(s)
				s.end()
			})
		})
	}
}

func TestKeyWithBadConfigIsFault(t *testing.T) {
	for _, cfg := range []KeyConfig{
		{Line: "", DebounceOn: time.Second, DebounceOff: time.Second},
		{Line: "GPIO17", DebounceOn: 0, DebounceOff: time.Second},
		{Line: "GPIO17", DebounceOn: time.Second, DebounceOff: time.Hour},
	} {
		synctest.Test(t, func(t *testing.T) {
			board := NewSimulated()
			s := newStory(t, board, board, cfg)
			s.expect(time.Minute, "0s fault gpio: key")
			s.end()
		})
	}
}

// countingBoard counts what a key asks of its input.
type countingBoard struct {
	*Simulated
	samples, waits, timed atomic.Int64
	gone                  atomic.Bool
}

func (b *countingBoard) OpenKey(cfg KeyConfig) (Input, error) {
	in, err := b.Simulated.OpenKey(cfg)
	return &countingInput{in, b}, err
}

type countingInput struct {
	Input
	b *countingBoard
}

func (in *countingInput) Sample() (key, second Sample, err error) {
	in.b.samples.Add(1)
	if in.b.gone.Load() {
		return Sample{}, Sample{}, errors.New("no such device")
	}
	return in.Input.Sample()
}

func (in *countingInput) Wait(ctx context.Context, timeout time.Duration) error {
	in.b.waits.Add(1)
	if timeout > 0 {
		in.b.timed.Add(1)
	}
	return in.Input.Wait(ctx, timeout)
}

func TestIdleKeySleepsWithoutTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		board := &countingBoard{Simulated: NewSimulated()}
		s := newStory(t, board, board.Simulated, testKey)
		s.expect(time.Second, "20ms off")
		samples, waits, timed := board.samples.Load(), board.waits.Load(), board.timed.Load()
		s.expect(1000 * time.Hour)
		if board.samples.Load() != samples || board.waits.Load() != waits || board.timed.Load() != timed {
			t.Errorf("idle: %d samples, %d waits, %d with a timer",
				board.samples.Load()-samples, board.waits.Load()-waits, board.timed.Load()-timed)
		}
		if waits-timed != 1 {
			t.Errorf("%d waits without a timer, want the one that lasts", waits-timed)
		}
		s.end()
	})
}

func TestChatterCostsABoundedNumberOfLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		board := &countingBoard{Simulated: NewSimulated()}
		s := newStory(t, board, board.Simulated, testKey)
		s.expect(time.Second, "20ms off")
		before := board.samples.Load()
		board.Chatter(100 * time.Microsecond)
		s.expect(11*time.Second, "3.0001s fault")
		if looks := board.samples.Load() - before; looks > 10*100 {
			t.Errorf("%d looks in 10 s of 10,000 edges/s, want 100 a second at most", looks)
		}
		s.end()
	})
}

func TestCheckFindsWhatNoEdgeTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		board := &countingBoard{Simulated: NewSimulated()}
		s := newStory(t, board, board.Simulated, testKey)
		s.expect(time.Second, "20ms off")
		s.key.Check()
		s.expect(2 * time.Second)
		board.gone.Store(true)
		s.expect(3 * time.Second)
		s.key.Check()
		s.expect(3*time.Second, "3s fault gpio: reading GPIO17: no such device")
		s.key.Check() // while it waits for the next attempt: nothing to do
		board.gone.Store(false)
		s.expect(5*time.Second, "4.02s off")
		s.end()
		s.key.Check() // after the end: nothing to do
	})
}
