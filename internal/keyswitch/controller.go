package keyswitch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"keyswitchd/gpio"
	"keyswitchd/hardening"
	"keyswitchd/internal/status"
	"keyswitchd/sshctl"
)

// Times of the controller. None of them delays an opening or a closing that works.
const (
	// closeWithin is how long "closed" may stay unconfirmed before the daemon gives up; its death makes
	// systemd stop the units. It is longer than the interlock's TimeoutStopSec.
	closeWithin = 15 * time.Second
	// settleTime is how long after a start job that went well a unit may still look stopped: the job's
	// result and the unit's state come by different signals.
	settleTime = time.Second
	// firstRetry and lastRetry bound the wait before a failed start is tried again; it doubles.
	firstRetry = time.Second
	lastRetry  = time.Minute
)

// SeldomFactor is how much longer the watchdog waits while SSH is closed: a ping is all that wakes the daemon then.
const SeldomFactor = 10

// Key is the contact: gpio.Key.
type Key interface {
	Run(ctx context.Context, report func(gpio.Reading)) error
}

// LED is the status LED: gpio.LED.
type LED interface {
	Run(ctx context.Context, report func(error)) error
	Show(gpio.Pattern)
}

// Door is the way in over SSH: sshctl.Systemd, or sshctl.Child in the simulation.
type Door interface {
	Run(ctx context.Context, report func(sshctl.State)) error
	Start(ctx context.Context) error
	Stop(ctx context.Context) error
	EndSessions(ctx context.Context) error
}

// Permit is the file that lets systemd start the units.
type Permit interface {
	Grant() error  // makes the file, which may exist
	Revoke() error // removes the file, which need not exist
}

// Settings are what may change while the controller runs.
type Settings struct {
	RequireTurn bool
	MaxOn       time.Duration
	EndSessions bool
	Grace       time.Duration // how long sessions may stay after SSH was closed, with EndSessions
	Problems    []string // shown in the status, such as "the configuration was not reloaded: ..."
}

// Controller turns readings of the key into the state of SSH. All fields but Watchdog are needed.
type Controller struct {
	Key    Key
	LED    LED
	Door   Door
	Permit Permit
	// Hardening reads what the last start found of sshd's configuration. An error is "not verified".
	Hardening func() (hardening.Result, error)
	// Publish is called with each new status. It must not wait.
	Publish func(status.Status)
	// Ready is called once, when the first decision is in force.
	Ready func()
	// Watchdog is called by the loop itself, so that it stops when the loop does; how often is told by
	// WatchdogEvery, 0 for never.
	Watchdog      func()
	WatchdogEvery time.Duration
	// WatchdogSeldom, if set, tells systemd to expect Watchdog each SeldomFactor * WatchdogEvery only (true), or each
	// WatchdogEvery as at first (false). True is said when SSH is known to be closed, for what is closed stays closed if the
	// daemon freezes; false before a permit is granted.
	WatchdogSeldom func(bool)
	Log            *slog.Logger

	settings chan Settings
	orders   chan order
	gone     chan struct{} // closed when Run has ended
	once     sync.Once
}

func (c *Controller) init() {
	c.once.Do(func() {
		c.settings, c.orders, c.gone = make(chan Settings, 1), make(chan order), make(chan struct{})
	})
}

// Set changes the settings; the newest wins. It may be called before Run and at any time.
func (c *Controller) Set(s Settings) {
	c.init()
	select {
	case <-c.settings:
	default:
	}
	c.settings <- s
}

// An outcome is the end of something that the loop let run beside it.
type outcome struct {
	what job
	err  error
}

type job int

const (
	starting job = iota
	stopping
	ending
)

// Run works until ctx ends (nil, with SSH closed) or until "closed" can't be had (an error: the caller
// must exit, so that systemd closes SSH in its place).
func (c *Controller) Run(ctx context.Context) error {
	c.init()
	defer close(c.gone)
	rooms, stopRooms := context.WithCancel(context.WithoutCancel(ctx))
	l := &loop{Controller: c, rooms: rooms, began: time.Now(),
		keys: make(chan gpio.Reading), doors: make(chan sshctl.State), leds: make(chan error), outcomes: make(chan outcome)}
	// A permit of a former life counts for nothing.
	if err := c.Permit.Revoke(); err != nil {
		stopRooms()
		return fmt.Errorf("keyswitch: removing a former permit: %w", err)
	}
	l.goRoom(func() error { return c.Key.Run(rooms, send(rooms, l.keys)) })
	l.goRoom(func() error { return c.LED.Run(rooms, send(rooms, l.leds)) })
	l.goRoom(func() error { return c.Door.Run(rooms, send(rooms, l.doors)) })
	err := l.run(ctx)
	if revoke := c.Permit.Revoke(); err == nil {
		err = revoke
	}
	stopRooms()
	l.wait.Wait()
	return err
}

// send hands values to the loop one by one, so that none is lost: an "off" between two "on" counts.
func send[T any](ctx context.Context, ch chan<- T) func(T) {
	return func(v T) {
		select {
		case ch <- v:
		case <-ctx.Done():
		}
	}
}

type loop struct {
	*Controller
	rooms context.Context
	wait  sync.WaitGroup
	began time.Time

	keys     chan gpio.Reading
	doors    chan sshctl.State
	leds     chan error
	outcomes chan outcome

	facts    Facts
	now      Settings
	decided  Decision
	ledErr   error
	verified hardening.Result
	since    time.Time // of the present Door.Open, wall clock
	onWall   time.Time // when the key was seen on, wall clock, for people only
	told     status.Status

	granted     bool
	ready       bool
	leaving     bool               // ctx has ended: everything is to be closed, whatever the key says
	cancelStart context.CancelFunc // not nil while a start is under way
	stopBusy    bool
	stopSent    bool // since the permit was revoked
	endBusy     bool
	seldom      bool // what WatchdogSeldom was told last
	wasOpen     bool // the door was seen open since the last start of ours, and not stopped by us
	active      bool // what the last answer of systemd's said

	// Moments, on the clock of facts.Now; 0 is none.
	closeBy, stopAt, startAt, permitAt, settleAt, openedAt, watchdogAt, endAt time.Duration
}

// goRoom runs a room for as long as the loop lives. One that ends early is as good as a fault nobody
// sees; its own reports say why, and the watchdog doesn't cover it, so its end ends the daemon.
func (l *loop) goRoom(run func() error) {
	l.wait.Go(func() {
		if err := run(); l.rooms.Err() == nil {
			if err == nil {
				err = errors.New("a part of the daemon stopped without a reason")
			}
			send(l.rooms, l.outcomes)(outcome{what: -1, err: err})
		}
	})
}

func (l *loop) run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	done := ctx.Done()
	for {
		select {
		case r := <-l.keys:
			l.keyRead(r)
		case s := <-l.doors:
			l.doorSeen(s)
		case o := <-l.outcomes:
			if o.what < 0 {
				return o.err
			}
			l.ended(o)
		case l.ledErr = <-l.leds:
		case l.now = <-l.settings:
			l.facts.RequireTurn, l.facts.MaxOn, l.facts.EndSessions = l.now.RequireTurn, l.now.MaxOn, l.now.EndSessions
		case <-done:
			l.leaving, done = true, nil
		case <-timer.C:
		}
		l.facts.Now = time.Since(l.began)
		if err := l.act(); err != nil {
			return err
		}
		if l.leaving && (l.facts.Door.Closed || !l.facts.DoorKnown) && !l.stopBusy && l.cancelStart == nil {
			return nil
		}
		if next, ok := l.next(); ok {
			timer.Reset(max(0, next-time.Since(l.began)))
		} else {
			timer.Stop()
		}
	}
}

func (l *loop) keyRead(r gpio.Reading) {
	f := &l.facts
	if r.Position == gpio.On && (!f.KeyKnown || f.Key.Position != gpio.On) {
		f.OnSince = time.Since(l.began)
		l.onWall = time.Now()
	}
	if r.Position == gpio.Off {
		f.SeenOff = true
	}
	if r.Position != gpio.On {
		l.forget()
	}
	f.Key, f.KeyKnown = r, true
}

// forget starts afresh: what went wrong with the key on is over once it was turned.
func (l *loop) forget() {
	f := &l.facts
	f.Starts, f.StartErr, f.Start = 0, nil, ""
	f.StoppedByHand, f.NotVerified, f.PermitErr = false, false, nil
	l.startAt, l.settleAt, l.wasOpen = 0, 0, false
}

func (l *loop) doorSeen(s sshctl.State) {
	f := &l.facts
	if s.Err != nil {
		f.Door = s // what was known before still tells whether it was opened or stopped by others meanwhile
		return
	}
	now := time.Since(l.began)
	if !f.DoorKnown || l.active != s.Open {
		l.since = time.Now()
	}
	opened := s.Open && !l.active
	f.Door, f.DoorKnown, l.active = s, true, s.Open
	switch {
	case s.Open && !l.granted:
		f.Foreign = true
	case s.Closed:
		f.Foreign = false
	}
	if opened {
		// Read once per opening: this is what the sshd that now runs was started with. A later
		// `keyswitchd harden` by hand says nothing about it.
		l.readHardening()
		f.NotVerified = !l.verified.Verified
		for _, warning := range l.verified.Warnings {
			l.Log.Warn("SSH is open as the policy wants it, and something may surprise", "warning", warning)
		}
		f.StoppedByHand, l.settleAt, l.openedAt, l.wasOpen = false, 0, now, l.granted
	}
	if s.Closed && l.wasOpen && l.granted {
		l.wasOpen = false
		if s.Active == "failed" {
			l.startFailed(fmt.Errorf("%s ended by itself (%s)", s.Unit, s.Result), now)
		} else {
			f.StoppedByHand = true
		}
	}
}

func (l *loop) readHardening() {
	r, err := l.Hardening()
	if err != nil {
		r = hardening.Result{Problems: []string{err.Error()}}
	}
	l.verified = r
}

// ended takes in the end of a start, a stop, or the ending of sessions.
func (l *loop) ended(o outcome) {
	now := time.Since(l.began)
	f := &l.facts
	switch o.what {
	case starting:
		l.cancelStart = nil
		if o.err == nil {
			if !l.active {
				l.settleAt = now + settleTime
			}
			return
		}
		var failed *sshctl.JobError
		if errors.Is(o.err, context.Canceled) || errors.As(o.err, &failed) && failed.Result == "canceled" {
			return
		}
		l.startFailed(o.err, now)
	case stopping:
		l.stopBusy = false
		if o.err != nil {
			l.Log.Warn("stopping SSH", "err", o.err)
			l.stopAt = now + firstRetry
		}
	case ending:
		l.endBusy = false
		f.SessionsErr = o.err
		if o.err != nil {
			l.endAt = now + lastRetry
			l.Log.Warn("ending the SSH sessions", "err", o.err)
		}
	}
}

func (l *loop) startFailed(err error, now time.Duration) {
	f := &l.facts
	if l.openedAt > 0 && now-l.openedAt > lastRetry {
		f.Starts = 0 // it ran for a while: a new trouble, not the old one
	}
	l.openedAt = 0
	f.Starts++
	f.Start, f.StartErr = StartFailed, err
	l.readHardening()
	if !l.verified.Verified && len(l.verified.Problems) > 0 {
		f.Start, f.StartErr = Refused, errors.New(l.verified.Problems[0])
	}
	wait := lastRetry
	if f.Starts < 7 {
		wait = min(lastRetry, firstRetry<<(f.Starts-1))
	}
	l.startAt = now + wait
	l.Log.Error("SSH does not start", "unit", unit(*f), "reason", f.StartErr, "tries", f.Starts, "retry_in", wait)
}
