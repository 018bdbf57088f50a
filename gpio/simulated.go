package gpio

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Simulated is a board without hardware: a contact that is turned by methods, and a LED that can be looked at. It knows
// any line by any name, starts with the contact open, and never moves by itself except for [Simulated.Chatter]. All
// methods may be called from any goroutine. Its only clock is package time, so it runs under testing/synctest.
type Simulated struct {
	mu    sync.Mutex
	moved chan struct{} // closed and replaced whenever something below changes

	contact bool          // closed, but for chatter
	chatter time.Duration // time between two edges; 0: none
	since   time.Time     // when the chatter began
	turns   int           // edges that were not chatter
	turned  time.Time     // when the last of them was

	keyErr, ledErr error
	held           map[string]string // line -> consumer

	lit        bool
	litChanged chan struct{} // capacity 1
}

// NewSimulated returns a board with the key off and the LED dark.
func NewSimulated() *Simulated {
	return &Simulated{
		moved:      make(chan struct{}),
		held:       map[string]string{},
		litChanged: make(chan struct{}, 1),
	}
}

// change calls f with the lock held and wakes who waits.
func (s *Simulated) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.moved)
	s.moved = make(chan struct{})
}

// Turn turns the key to On, or to off with any other position, and ends a chatter. The contact moves at once, then
// bounces: it moves again after each duration in turn, and in the end it is where the key is. Turn returns then.
func (s *Simulated) Turn(to Position, bounce ...time.Duration) {
	closed := to == On
	level := closed
	s.move(level)
	for _, d := range bounce {
		time.Sleep(d)
		level = !level
		s.move(level)
	}
	s.move(closed)
}

func (s *Simulated) move(closed bool) {
	s.change(func() {
		if s.contact != closed || s.chatter > 0 {
			s.turns += 1 + s.chattered()
			s.turned = time.Now()
		}
		s.contact, s.chatter = closed, 0
	})
}

// Chatter makes the contact open and close by itself, an edge every so often, until Turn is called. It costs nothing
// until someone looks.
func (s *Simulated) Chatter(every time.Duration) {
	s.change(func() {
		s.contact = s.closed()
		s.turns += s.chattered()
		s.chatter, s.since = every, time.Now()
	})
}

// Break makes the key's line fail with err, as if its chip had been pulled out; nil mends it.
func (s *Simulated) Break(err error) { s.change(func() { s.keyErr = err }) }

// BreakLED makes the LED's output fail with err; nil mends it.
func (s *Simulated) BreakLED(err error) { s.change(func() { s.ledErr = err }) }

// Busy lets consumer hold a line, so that it can't be opened; "" frees it.
func (s *Simulated) Busy(line, consumer string) {
	s.change(func() {
		if consumer == "" {
			delete(s.held, line)
			return
		}
		s.held[line] = consumer
	})
}

// LEDOn says whether the LED is lit.
func (s *Simulated) LEDOn() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lit
}

// LEDChanged returns a channel that gets a token when the LED has changed. Tokens that nobody took merge into one: look
// at LEDOn.
func (s *Simulated) LEDChanged() <-chan struct{} { return s.litChanged }

// OpenKey implements Board.
func (s *Simulated) OpenKey(cfg KeyConfig) (Input, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keyErr != nil {
		return nil, fmt.Errorf("gpio: requesting %s on the simulated board: %w", cfg.Line, s.keyErr)
	}
	if err := s.hold(cfg.Line); err != nil {
		return nil, err
	}
	return &simulatedInput{board: s, line: cfg.Line, seen: s.edges()}, nil
}

// OpenLED implements Board.
func (s *Simulated) OpenLED(cfg LEDConfig) (Output, error) {
	if cfg.Name == "none" {
		return noLED{}, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ledErr != nil {
		return nil, fmt.Errorf("gpio: opening LED %s on the simulated board: %w", cfg.Name, s.ledErr)
	}
	if err := s.hold(cfg.Name); err != nil {
		return nil, err
	}
	s.light(false)
	return &simulatedOutput{board: s, line: cfg.Name}, nil
}

// hold takes a line for this process. The lock is held.
func (s *Simulated) hold(line string) error {
	if consumer, taken := s.held[line]; taken {
		return busyError(line, "the simulated board", consumer, self())
	}
	s.held[line] = self()
	return nil
}

// free gives the line back, unless Busy gave it to another meanwhile. The lock is held.
func (s *Simulated) free(line string) {
	if s.held[line] == self() {
		delete(s.held, line)
	}
}

// edges counts the edges so far. The lock is held.
func (s *Simulated) edges() int { return s.turns + s.chattered() }

// closed says where the contact is. The lock is held.
func (s *Simulated) closed() bool { return s.contact != (s.chattered()%2 == 1) }

// age is how long ago the last edge was. The lock is held.
func (s *Simulated) age() time.Duration {
	if s.chattered() > 0 {
		return time.Since(s.since) % s.chatter
	}
	return time.Since(s.turned)
}

// chattered counts the edges of the present chatter. The lock is held.
func (s *Simulated) chattered() int {
	if s.chatter == 0 {
		return 0
	}
	return int(time.Since(s.since) / s.chatter)
}

// light sets the LED. The lock is held.
func (s *Simulated) light(lit bool) {
	if s.lit == lit {
		return
	}
	s.lit = lit
	select {
	case s.litChanged <- struct{}{}:
	default:
	}
}

// simulatedInput is the key's line, open.
type simulatedInput struct {
	board *Simulated
	line  string
	seen  int // edges at the last Sample
}

// Sample implements Input.
func (in *simulatedInput) Sample() (Sample, error) {
	s := in.board
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keyErr != nil {
		return Sample{}, s.keyErr
	}
	n := s.edges()
	sample := Sample{Active: s.closed(), Edges: n != in.seen}
	if sample.Edges {
		sample.Age = s.age()
	}
	in.seen = n
	return sample, nil
}

// Wait implements Input.
func (in *simulatedInput) Wait(ctx context.Context, timeout time.Duration) error {
	var over <-chan time.Time
	if timeout > 0 {
		t := time.NewTimer(timeout)
		defer t.Stop()
		over = t.C
	}
	for {
		done, next, moved, err := in.look()
		if done || err != nil {
			return err
		}
		var edge <-chan time.Time
		if next > 0 {
			t := time.NewTimer(next)
			defer t.Stop()
			edge = t.C
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-over:
			return nil
		case <-edge:
		case <-moved:
		}
	}
}

// look says whether a wait is over, and if not, when the next edge of a chatter comes and what tells of changes.
func (in *simulatedInput) look() (done bool, next time.Duration, moved <-chan struct{}, err error) {
	s := in.board
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keyErr != nil {
		return true, 0, nil, s.keyErr
	}
	if s.chatter > 0 {
		next = s.chatter - time.Since(s.since)%s.chatter
	}
	return s.edges() != in.seen, next, s.moved, nil
}

// Close implements Input.
func (in *simulatedInput) Close() error {
	in.board.mu.Lock()
	defer in.board.mu.Unlock()
	in.board.free(in.line)
	return nil
}

// simulatedOutput is the LED, open.
type simulatedOutput struct {
	board *Simulated
	line  string
}

// Set implements Output.
func (out *simulatedOutput) Set(lit bool) error {
	out.board.mu.Lock()
	defer out.board.mu.Unlock()
	if err := out.board.ledErr; err != nil {
		return fmt.Errorf("gpio: driving LED %s on the simulated board: %w", out.line, err)
	}
	out.board.light(lit)
	return nil
}

// Close implements Output.
func (out *simulatedOutput) Close() error {
	err := out.Set(false)
	out.board.mu.Lock()
	defer out.board.mu.Unlock()
	out.board.free(out.line)
	return err
}
