package keyswitch

import (
	"context"
	"errors"
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
	StartOthers(ctx context.Context) error
	WarnSessions(ctx context.Context, w sshctl.Warning) error
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
	Problems    []string      // shown in the status, such as "the configuration was not reloaded: ..."
}

// Controller turns readings of the key into the state of SSH. Fields are needed unless they say what nil or 0 means.
type Controller struct {
	Key    Key
	LED    LED
	Door   Door
	Permit Permit
	// Clock keeps the deadlines; Run closes it. Nil: package time, which stands still while the machine is suspended.
	Clock Clock
	// Lockdown keeps lockdowns. Nil: one ends with the daemon, as in the simulation.
	Lockdown Lockdown
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

// Run works until ctx ends (nil, with SSH closed) or until "closed" can't be had (an error: the caller
// must exit, so that systemd closes SSH in its place).
func (c *Controller) Run(ctx context.Context) error {
	c.init()
	defer close(c.gone)
	clock := c.Clock
	if clock == nil {
		clock = newTimeClock()
	}
	rooms, stopRooms := context.WithCancel(context.WithoutCancel(ctx))
	l := newLoop(c, rooms, clock)
	err := l.begin()
	if err == nil {
		l.goRoom(func() error { return c.Key.Run(rooms, send(rooms, l.keys)) })
		l.goRoom(func() error { return c.LED.Run(rooms, send(rooms, l.leds)) })
		l.goRoom(func() error { return c.Door.Run(rooms, send(rooms, l.doors)) })
		err = l.run(ctx)
	}
	if revoke := c.Permit.Revoke(); err == nil {
		err = revoke
	}
	stopRooms()
	l.wait.Wait()
	return errors.Join(err, clock.Close())
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
