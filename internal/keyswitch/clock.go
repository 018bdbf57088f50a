package keyswitch

import "time"

// Clock is what deadlines are kept by, and the wall clock for people. Boottime is the one of a real machine.
type Clock interface {
	// Now is the time since some origin before the first call, so never 0. It knows no jumps.
	Now() time.Duration
	// Wall is the time of day. It may jump.
	Wall() time.Time
	// Wake has a value sent on C as soon as Now is at; it takes the place of what was set before. Without ok nothing is sent.
	Wake(at time.Duration, ok bool) error
	// C also gets a value when the wall clock was set, if the clock notices that. An error says that the clock does not work any more.
	C() <-chan error
	// Close frees what the clock holds.
	Close() error
}

// timeClock is package time: for tests under testing/synctest and for the simulation. It stands still while the machine is suspended.
type timeClock struct {
	origin time.Time
	timer  *time.Timer
	c      chan error
}

func newTimeClock() *timeClock {
	t := &timeClock{origin: time.Now().Add(-time.Second), c: make(chan error, 1)}
	t.timer = time.AfterFunc(time.Hour, func() {
		select {
		case t.c <- nil:
		default:
		}
	})
	t.timer.Stop()
	return t
}

func (t *timeClock) Now() time.Duration { return time.Since(t.origin) }

func (t *timeClock) Wall() time.Time { return time.Now() }

func (t *timeClock) C() <-chan error { return t.c }

func (t *timeClock) Wake(at time.Duration, ok bool) error {
	if ok {
		t.timer.Reset(max(0, at-t.Now()))
	} else {
		t.timer.Stop()
	}
	return nil
}

func (t *timeClock) Close() error {
	t.timer.Stop()
	return nil
}
