package gpio

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Simulated is a board without hardware: a key that is turned by methods, and a LED that can be looked at. The key has two
// opposite contacts; a KeyConfig without Second sees the first only. The board knows any line by any name, starts with the key off,
// and never moves by itself except for [Simulated.Chatter]. All methods may be called from any goroutine. Its only
// clock is package time, so it runs under testing/synctest.
type Simulated struct {
	mu       sync.Mutex
	moved    chan struct{} // closed and replaced whenever something below changes
	contacts [2]simContact // by Contact

	keyErr, ledErr error
	held           map[string]string // line -> consumer

	lit        bool
	litChanged chan struct{} // capacity 1
}

// NewSimulated returns a board with the key off and the LED dark.
func NewSimulated() *Simulated {
	s := &Simulated{
		moved:      make(chan struct{}),
		held:       map[string]string{},
		litChanged: make(chan struct{}, 1),
	}
	s.contacts[SecondContact].shut = true
	return s
}

// change calls f with the lock held and wakes who waits.
func (s *Simulated) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.moved)
	s.moved = make(chan struct{})
}

// Turn turns the key to On, or to off with any other position, and ends a chatter. The key's contact moves at once, then
// bounces: it moves again after each duration in turn, and in the end it is where the key is. Turn returns then. The second
// contact opens before the first one closes, and closes after it has opened for good.
func (s *Simulated) Turn(to Position, bounce ...time.Duration) { s.TurnOver(to, 0, bounce...) }

// TurnOver is Turn of a key that needs so long from one contact to the other: meanwhile both are open. The contact that closes last
// bounces as the key's does.
func (s *Simulated) TurnOver(to Position, gap time.Duration, bounce ...time.Duration) {
	if to == On {
		s.move(SecondContact, false)
		time.Sleep(gap)
		s.bounce(KeyContact, true, bounce)
		return
	}
	s.bounce(KeyContact, false, bounce)
	time.Sleep(gap)
	if gap == 0 {
		bounce = nil
	}
	s.bounce(SecondContact, true, bounce)
}

// bounce moves a contact at once, and again after each duration.
func (s *Simulated) bounce(c Contact, closed bool, bounce []time.Duration) {
	level := closed
	s.move(c, level)
	for _, d := range bounce {
		time.Sleep(d)
		level = !level
		s.move(c, level)
	}
	s.move(c, closed)
}

func (s *Simulated) move(c Contact, closed bool) {
	s.change(func() {
		contact := &s.contacts[c]
		contact.alter(func() { contact.shut = closed })
	})
}

// SetWire cuts or shorts the wire of a contact, or mends it.
func (s *Simulated) SetWire(c Contact, w Wire) {
	s.change(func() {
		contact := &s.contacts[c]
		contact.alter(func() { contact.wire = w })
	})
}

// Chatter makes the key's contact open and close by itself, an edge every so often, until Turn is called. It costs nothing
// until someone looks.
func (s *Simulated) Chatter(every time.Duration) { s.ChatterOf(KeyContact, every) }

// ChatterOf is Chatter of either contact.
func (s *Simulated) ChatterOf(c Contact, every time.Duration) {
	s.change(func() {
		contact := &s.contacts[c]
		contact.shut = contact.closed()
		contact.turns += contact.chattered()
		contact.chatter, contact.since = every, time.Now()
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
	in := &simulatedInput{board: s, lines: []string{cfg.Line}}
	if cfg.Second != "" {
		in.lines = append(in.lines, cfg.Second)
	}
	for i, line := range in.lines {
		if err := s.hold(line); err != nil {
			for _, held := range in.lines[:i] {
				s.free(held)
			}
			return nil, err
		}
		in.seen[i] = s.contacts[i].edges()
	}
	return in, nil
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

// simulatedInput is the key's lines, open.
type simulatedInput struct {
	board *Simulated
	lines []string
	seen  [2]int // edges at the last Sample
}

// Sample implements Input.
func (in *simulatedInput) Sample() (key, second Sample, err error) {
	s := in.board
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keyErr != nil {
		return Sample{}, Sample{}, s.keyErr
	}
	var samples [2]Sample
	for i := range in.lines {
		samples[i] = s.contacts[i].sample(in.seen[i])
		in.seen[i] = s.contacts[i].edges()
	}
	return samples[0], samples[1], nil
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
	for i := range in.lines {
		c := &s.contacts[i]
		done = done || c.edges() != in.seen[i]
		if n := c.next(); n > 0 && (next == 0 || n < next) {
			next = n
		}
	}
	return done, next, s.moved, nil
}

// Close implements Input.
func (in *simulatedInput) Close() error {
	in.board.mu.Lock()
	defer in.board.mu.Unlock()
	for _, line := range in.lines {
		in.board.free(line)
	}
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
