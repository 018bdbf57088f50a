package gpio

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// show runs a LED in a bubble. It keeps when the light changed, in ms with a sign: +500 is lit at 500 ms, -1000 dark.
type show struct {
	*Simulated
	t     *testing.T
	led   *LED
	begin time.Time
	stop  context.CancelFunc
	ended chan error

	mu      sync.Mutex
	changes []int
	reports []string
}

func newShow(t *testing.T, board *Simulated, name string) *show {
	ctx, stop := context.WithCancel(t.Context())
	s := &show{Simulated: board, t: t, led: NewLED(board, LEDConfig{Name: name}), begin: time.Now(), stop: stop, ended: make(chan error, 1)}
	go func() {
		for {
			select {
			case <-board.LEDChanged():
				at := int(time.Since(s.begin) / time.Millisecond)
				if !board.LEDOn() {
					at = -at
				}
				s.mu.Lock()
				s.changes = append(s.changes, at)
				s.mu.Unlock()
			case <-t.Context().Done():
				return
			}
		}
	}()
	go func() {
		s.ended <- s.led.Run(ctx, func(err error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.reports = append(s.reports, fmt.Sprintf("%v %v", time.Since(s.begin), err))
		})
	}()
	synctest.Wait()
	return s
}

// expect lets time pass until at (ms), and compares the changes of the light since the last expect.
func (s *show) expect(at int, want ...int) {
	s.t.Helper()
	time.Sleep(time.Until(s.begin.Add(time.Duration(at) * time.Millisecond)))
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.changes, want) {
		s.t.Fatalf("by %d ms: light %v, want %v", at, s.changes, want)
	}
	s.changes = nil
}

func (s *show) said(want ...string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.reports, want) {
		s.t.Fatalf("reported %q, want %q", s.reports, want)
	}
	s.reports = nil
}

func (s *show) end() {
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
	if s.LEDOn() || len(s.held) != 0 {
		s.t.Errorf("at the end: lit %v, held %v", s.LEDOn(), s.held)
	}
}

func TestLEDPatterns(t *testing.T) {
	for p, want := range map[Pattern][]int{
		Dark:         nil,
		Solid:        {1000},
		SlowBlink:    {1000, -1500, 2000, -2500, 3000},
		FastBlink:    {1000, -1100, 1200, -1300, 1400, -1500, 1600, -1700, 1800, -1900, 2000},
		Wink:         {1000, -2900, 3000, -4900, 5000},
		DoubleWink:   {1000, -1700, 1800, -1900, 2000, -2700, 2800, -2900, 3000},
		Pattern(200): nil, // not a pattern
	} {
		t.Run(p.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newShow(t, NewSimulated(), "GPIO27")
				s.expect(1000)
				s.led.Show(p)
				until := 5050
				if len(want) > 0 {
					until = max(want[len(want)-1], 2000) + 50
				}
				s.expect(until, want...)
				s.end()
				s.said()
			})
		})
	}
}

func TestLEDLatestPatternWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShow(t, NewSimulated(), "GPIO27")
		s.led.Show(SlowBlink)
		s.led.Show(Solid)
		s.expect(3000, 0)
		s.led.Show(Solid)
		s.led.Show(FastBlink)
		s.expect(3250, -3100, 3200)
		s.led.Show(FastBlink) // goes on, doesn't start again
		s.expect(3350, -3300)
		s.led.Show(Solid)
		s.expect(4000, 3350)
		s.led.Show(Dark)
		s.expect(5000, -4000)
		s.led.Show(Solid)
		s.expect(6000, 5000)
		s.end()
		s.expect(7000, -6000)
	})
}

func TestSteadyLEDSleepsWithoutTimer(t *testing.T) {
	// stay makes a timer for a phase only, and a steady pattern has none.
	for _, p := range []Pattern{Dark, Solid} {
		if p.phases() != nil {
			t.Errorf("%v needs a timer", p)
		}
	}
}

func TestLEDFailsAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		board := NewSimulated()
		board.Busy("GPIO27", "leds-gpio")
		s := newShow(t, board, "GPIO27")
		s.led.Show(Solid)
		busy := busyError("GPIO27", "the simulated board", "leds-gpio", "").Error()
		s.expect(2900)
		s.said("0s " + busy)
		board.Busy("GPIO27", "")
		s.expect(4000, 3000)
		s.said("3s <nil>")

		board.BreakLED(errors.New("no such device"))
		s.expect(5000)
		s.said() // solid: nobody touches the line
		s.led.Show(SlowBlink)
		s.expect(5500)
		s.said("5s " + "gpio: driving LED GPIO27 on the simulated board: no such device\n" +
			"gpio: driving LED GPIO27 on the simulated board: no such device")
		board.BreakLED(nil)
		time.Sleep(600 * time.Millisecond) // it comes back dark and is lit at once: too quick to tell apart
		synctest.Wait()
		if !s.LEDOn() {
			t.Error("dark")
		}
		s.said("6s <nil>")
		s.end()
	})
}

func TestLEDNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShow(t, NewSimulated(), "none")
		s.led.Show(FastBlink)
		s.expect(10000)
		s.end()
		s.said()
	})
}

func TestLEDRunSaysIfItCouldNotBeMadeDark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		board := NewSimulated()
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		led := NewLED(board, LEDConfig{Name: "GPIO27"})
		led.Show(Solid)
		go func() { ended <- led.Run(ctx, func(error) {}) }()
		synctest.Wait()
		board.BreakLED(errors.New("no such device"))
		stop()
		if err := <-ended; err == nil {
			t.Error("no error")
		}
	})
}

func TestDarken(t *testing.T) {
	board := NewSimulated()
	out, err := board.OpenLED(LEDConfig{Name: "GPIO27"})
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Set(true); err != nil {
		t.Fatal(err)
	}
	if err := Darken(board, LEDConfig{Name: "GPIO27"}); err == nil {
		t.Error("the line is held: no error")
	}
	board.Busy("GPIO27", "") // killed: the kernel takes the line back, the LED stays as it was
	if err := Darken(board, LEDConfig{Name: "GPIO27"}); err != nil || board.LEDOn() {
		t.Errorf("lit %v, error %v", board.LEDOn(), err)
	}
}
