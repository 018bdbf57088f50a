package gpio

import (
	"context"
	"errors"
	"sync"
	"time"
)

// LED is the status LED: one output and the pattern it shows.
type LED struct {
	board Board
	cfg   LEDConfig

	mu      sync.Mutex
	pattern Pattern
	changed chan struct{} // capacity 1: a token means that pattern was set
}

// NewLED returns the LED of cfg on board, dark. Nothing is opened until Run.
func NewLED(board Board, cfg LEDConfig) *LED {
	return &LED{board: board, cfg: cfg, changed: make(chan struct{}, 1)}
}

// Show sets the pattern. It never blocks, may be called from any goroutine, and the latest call wins. A pattern starts
// at its beginning, lit; showing the present one again changes nothing.
func (l *LED) Show(p Pattern) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pattern == p {
		return
	}
	l.pattern = p
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// Run drives the output until ctx ends, and makes it dark before it returns. report gets an error when the LED can't be
// opened or driven, and nil when it works again; Run tries after 1 s, then at growing intervals up to 10 s. Run returns
// an error only if the LED could not be made dark at the end. report is called from Run's goroutine.
func (l *LED) Run(ctx context.Context, report func(error)) error {
	var retry backoff
	said := ""
	say := func(err error) {
		now := ""
		if err != nil {
			now = err.Error()
		} else {
			retry.reset()
		}
		if now != said {
			said = now
			report(err)
		}
	}
	for {
		err, dark := l.drive(ctx, say)
		if ctx.Err() != nil {
			return dark
		}
		say(errors.Join(err, dark))
		retry.wait(ctx)
		if ctx.Err() != nil {
			return nil // nothing is open
		}
	}
}

// drive opens the output and shows patterns until ctx ends or the output fails: err says how, dark what went wrong
// when the LED was made dark at the end.
func (l *LED) drive(ctx context.Context, say func(error)) (err, dark error) {
	out, err := l.board.OpenLED(l.cfg)
	if err != nil {
		return err, nil
	}
	defer func() { dark = out.Close() }()
	for {
		pattern := l.current()
		phases := pattern.phases()
		for i, lit := 0, pattern.lit(); ; i, lit = i+1, !lit {
			if err := out.Set(lit); err != nil {
				return err, nil
			}
			say(nil)
			var phase time.Duration
			if len(phases) > 0 {
				phase = phases[i%len(phases)]
			}
			again, err := l.stay(ctx, phase)
			if err != nil {
				return err, nil
			}
			if !again {
				break
			}
		}
	}
}

// stay waits for phase (0: without a timer), or until the pattern changes. again says that the pattern goes on.
func (l *LED) stay(ctx context.Context, phase time.Duration) (again bool, err error) {
	var over <-chan time.Time
	if phase > 0 {
		t := time.NewTimer(phase)
		defer t.Stop()
		over = t.C
	}
	select {
	case <-over:
		return true, nil
	case <-l.changed:
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

func (l *LED) current() Pattern {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pattern
}

// Darken makes the LED dark, once, and releases it. It is for the time after a daemon that was killed, which could not.
func Darken(board Board, cfg LEDConfig) error {
	out, err := board.OpenLED(cfg)
	if err != nil {
		return err
	}
	return out.Close()
}
