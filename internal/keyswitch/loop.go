package keyswitch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"keyswitchd/gpio"
	"keyswitchd/hardening"
	"keyswitchd/internal/status"
	"keyswitchd/sshctl"
)

// loop is the Controller at work. Everything in it belongs to one goroutine. Each thing that comes in is one call (keyRead,
// doorSeen, ended, ordered, ...), and after each there is one round, which carries out what follows from the facts. A test can
// drive it the same way step by step: nothing here starts a goroutine but goRoom and goBeside.
type loop struct {
	*Controller
	rooms context.Context
	clock Clock
	// beside runs do without holding up the loop, and hands its end to ended. It is goBeside.
	beside func(ctx context.Context, what job, do func(context.Context) error)
	wait   sync.WaitGroup

	keys     chan gpio.Reading
	doors    chan sshctl.State
	leds     chan error
	outcomes chan outcome

	facts    Facts
	now      Settings
	decided  Decision
	cause    cause // of this round
	ledErr   error
	verified hardening.Result
	told     status.Status
	since    stamp // of the present Door.Open
	expires  stamp
	leaveBy  stamp    // when the sessions end
	own      []string // the problems that are ours to find, as logged

	granted bool
	ready   bool
	leaving bool // ctx has ended: everything is to be closed, whatever the key says
	seldom  bool // what WatchdogSeldom was told last

	turned      gpio.Position      // where the key was when it could be read last; Fault is nowhere yet
	cancelStart context.CancelFunc // not nil while a start is under way
	stopBusy    bool
	stopSent    bool  // since the permit was revoked, and since something was started
	stopErr     error // why the last stop failed, since SSH was last known to be closed or permitted
	stopUnseen  bool  // a stop was sent, and systemd has not told of "closed" since
	wasOpen     bool  // the door was seen open since the last start of ours, and not stopped by us
	active      bool  // what the last answer of systemd's said
	saidOpen    bool  // the journal has an opening without its closing

	sessions sessions
	others   others
	console  console
	warned   bool // that SSH closes soon

	// Moments, on the clock of facts.Now; 0 is none.
	closeBy, stopAt, startAt, permitAt, settleAt, reportBy, openedAt, watchdogAt time.Duration
}

// An outcome is the end of something that ran beside the loop.
type outcome struct {
	what job
	err  error
}

type job int

const (
	starting job = iota
	stopping
	ending       // the sessions
	warning      // the sessions
	startingMore // the other units
	aRoom        // its end is the daemon's
)

func newLoop(c *Controller, rooms context.Context, clock Clock) *loop {
	l := &loop{Controller: c, rooms: rooms, clock: clock, turned: gpio.Fault,
		keys: make(chan gpio.Reading), doors: make(chan sshctl.State), leds: make(chan error), outcomes: make(chan outcome)}
	l.beside = l.goBeside
	l.facts.Now = clock.Now()
	return l
}

// begin puts aside what a former life left: a permit of it counts for nothing, a lockdown counts.
func (l *loop) begin() error {
	if err := l.Permit.Revoke(); err != nil {
		return fmt.Errorf("keyswitch: removing a former permit: %w", err)
	}
	l.loadLockdown()
	return nil
}

// goRoom runs a room for as long as the loop lives. One that ends early is as good as a fault nobody
// sees; its own reports say why, and the watchdog doesn't cover it, so its end ends the daemon.
func (l *loop) goRoom(run func() error) {
	l.wait.Go(func() {
		if err := run(); l.rooms.Err() == nil {
			if err == nil {
				err = errors.New("a part of the daemon stopped without a reason")
			}
			send(l.rooms, l.outcomes)(outcome{aRoom, err})
		}
	})
}

func (l *loop) goBeside(ctx context.Context, what job, do func(context.Context) error) {
	l.wait.Go(func() {
		err := do(ctx)
		send(l.rooms, l.outcomes)(outcome{what, err})
	})
}

// run feeds the loop until there is nothing left to do (nil), or it can't be done.
func (l *loop) run(ctx context.Context) error {
	done := ctx.Done()
	if err := l.clock.Wake(0, true); err != nil {
		return err
	}
	for {
		select {
		case r := <-l.keys:
			l.keyRead(r)
		case s := <-l.doors:
			l.doorSeen(s)
		case o := <-l.outcomes:
			if o.what == aRoom {
				return o.err
			}
			l.ended(o)
		case o := <-l.orders:
			l.ordered(o)
		case err := <-l.leds:
			l.ledSeen(err)
		case s := <-l.settings:
			l.set(s)
		case <-done:
			l.leaving, done = true, nil
		case err := <-l.clock.C():
			if err != nil {
				return err
			}
		}
		if over, err := l.round(); over || err != nil {
			return err
		}
		if err := l.clock.Wake(l.next()); err != nil {
			return err
		}
	}
}

// round carries out what follows from the facts at this moment. over: the loop was to leave, and everything is closed.
func (l *loop) round() (over bool, err error) {
	l.facts.Now = l.clock.Now()
	if err := l.act(); err != nil {
		return false, err
	}
	return l.leaving && (l.facts.Door.Closed || !l.facts.DoorKnown) && !l.stopBusy && !l.facts.Starting, nil
}

// next is the moment at which the facts change without an event.
func (l *loop) next() (at time.Duration, ok bool) {
	earliest := func(t time.Duration, when bool) {
		if when && (!ok || t < at) {
			at, ok = t, true
		}
	}
	f, d := l.facts, l.decided
	earliest(l.watchdogAt, l.WatchdogEvery > 0)
	earliest(l.closeBy, l.closeBy > 0)
	earliest(l.settleAt, l.settleAt > 0)
	earliest(l.reportBy, l.reportBy > 0)
	earliest(l.startAt, l.startAt > f.Now)
	earliest(l.stopAt, l.stopAt > f.Now)
	earliest(l.permitAt, f.PermitErr != nil)
	earliest(f.OverrideUntil, f.Override == ForceOn)
	earliest(d.Soon, d.Closes > 0 && !d.Told)
	earliest(d.Closes, d.Closes > 0)
	earliest(l.sessions.next(f))
	earliest(l.others.next(f))
	earliest(l.console.next(f))
	return at, ok
}
