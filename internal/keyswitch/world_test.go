package keyswitch

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"keyswitchd/gpio"
	"keyswitchd/hardening"
	"keyswitchd/internal/status"
	"keyswitchd/sshctl"
)

// The model: the real loop with its real decisions, and in place of systemd a small machine with every delay that systemd and the
// bus have. What comes in next is chosen in every possible way, up to a depth, and after each step the promises are checked.
//
// systemd's part: a start is on its way over the bus, then queued, then its assertion is checked against the permit that is there
// at that moment, then sshd comes up or doesn't. A stop cancels what is queued or starting. Both tell of their end, and of the state of
// the unit, by separate messages, each of which may be late. Others may start, stop and kill sshd meanwhile, the bus may
// go away, and time may pass to the next deadline at any moment.

// jobAt is where a start is.
type jobAt string

const (
	noJob    jobAt = ""
	inFlight jobAt = "in flight" // on its way over the bus
	queued   jobAt = "queued"
	running  jobAt = "running" // its assertion held
	done     jobAt = "done"
	failed   jobAt = "failed" // assertion or sshd
	canceled jobAt = "canceled"
)

// world is one machine: the loop, and what is around it.
type world struct {
	l      *loop
	now    time.Duration
	wake   time.Duration
	permit bool
	led    gpio.Pattern
	key    gpio.Position

	unit      string // "inactive", "activating", "active", "failed"
	told      string // the unit's state that the loop was told last; "" is none, "away" a bus that is gone
	byPermit  bool   // what is up was started while the permit was there
	sys       jobAt  // the start in systemd
	ours      bool   // ... is the loop's
	call      bool   // Door.Start has not returned
	callCtx   context.Context
	overtaken bool // a Stop was called since, so that Door.Start ends "canceled" whatever became of the job
	stopCall  bool // Door.Stop has not returned
	stopActed bool // its StopUnit has been carried out
	known     bool // the key was read once
	onAt      time.Duration
	forcedAt  time.Duration // when an override to open began
	spent     bool          // one has ended by itself with the key on since before
	turns     int           // turns of the key, overrides, deeds of others: what a path has of each is bounded
	orders    int
	deeds     int
	away      int
	fatal     error // the loop gave up, so that systemd closes
	leaving   bool
	over      bool
}

func (w *world) Now() time.Duration { return w.now }
func (w *world) Wall() time.Time    { return time.Unix(0, 0).Add(w.now) }
func (w *world) C() <-chan error    { return nil }
func (w *world) Close() error       { return nil }
func (w *world) Wake(at time.Duration, ok bool) error {
	w.wake = 0
	if ok {
		w.wake = at
	}
	return nil
}
func (w *world) Grant() error        { w.permit = true; return nil }
func (w *world) Revoke() error       { w.permit = false; return nil }
func (w *world) Show(p gpio.Pattern) { w.led = p }

func (w *world) Run(context.Context, func(error)) error { return nil }

// modelDoor is never called: jobs are taken in by beside.
type modelDoor struct{}

func (modelDoor) Run(context.Context, func(sshctl.State)) error          { return nil }
func (modelDoor) Start(context.Context) error                            { return nil }
func (modelDoor) Stop(context.Context) error                             { return nil }
func (modelDoor) EndSessions(context.Context) error                      { return nil }
func (modelDoor) StartOthers(context.Context) error                      { return nil }
func (modelDoor) WarnSessions(_ context.Context, _ sshctl.Warning) error { return nil }
func (modelDoor) report(unit string) sshctl.State {
	if unit == "away" {
		return sshctl.State{Active: "unknown", Unit: "ssh.service", Err: errors.New("away")}
	}
	isDown := unit == "inactive" || unit == "failed"
	s := sshctl.State{Active: unit, Unit: "ssh.service", Closed: isDown, Down: isDown, Open: unit == "active", Interlocked: true}
	if unit == "failed" {
		s.Result = "exit-code"
	}
	return s
}

func newWorld(s Settings) *world {
	w := &world{now: time.Second, key: gpio.Fault, unit: "inactive"}
	c := &Controller{
		LED: w, Door: modelDoor{}, Permit: w, Log: slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError + 1})),
		Hardening: func() (hardening.Result, error) { return hardening.Result{Verified: true}, nil },
		Publish:   func(status.Status) {}, Ready: func() {},
	}
	c.init()
	w.l = newLoop(c, context.Background(), w)
	w.l.beside = func(ctx context.Context, what job, _ func(context.Context) error) {
		switch what {
		case starting:
			if w.call || w.stopCall && w.stopActed && !w.permit {
				panic("a start on top of another, or against a stop")
			}
			w.call, w.callCtx, w.sys, w.ours, w.overtaken = true, ctx, inFlight, true, false
		case stopping:
			w.overtaken = w.overtaken || w.call
			w.stopCall, w.stopActed = true, false
		}
	}
	if err := w.l.begin(); err != nil {
		panic(err)
	}
	w.l.set(s)
	w.round()
	return w
}

func (w *world) round() {
	over, err := w.l.round()
	w.over, w.fatal = over, err
	if err != nil || over {
		// Run revokes, the daemon ends, and with it what is bound to it.
		w.permit, w.unit, w.sys = false, "inactive", noJob
		return
	}
	if err := w.Wake(w.l.next()); err != nil {
		panic(err)
	}
}

// bounds are how often a path may have what comes from outside.
type bounds struct{ turns, orders, deeds, away int }

// inside are the steps that systemd, the bus and time may take now. late is said of those that fair progress never takes.
func (w *world) inside() (all []string) {
	add := func(name string, when bool) {
		if when {
			all = append(all, name)
		}
	}
	isDown := w.unit == "inactive" || w.unit == "failed"
	add("tell", w.told != w.unit)
	add("arrive", w.sys == inFlight)
	add("run", w.sys == queued)
	add("up", w.sys == running)
	add("stop acts", w.stopCall && !w.stopActed)
	// Door.Stop returns nil only after a list that shows everything down, taken when no start of ours was on its way.
	add("stop acts again", w.stopCall && w.stopActed && (!isDown || w.sys == queued || w.sys == running))
	add("stop returns", w.stopCall && w.stopActed && isDown && w.sys != inFlight && w.sys != queued && w.sys != running)
	add("start returns", w.call && (w.sys == done || w.sys == failed || w.sys == canceled || w.sys == noJob))
	add("start gives up", w.call && w.callCtx.Err() != nil)
	add("time", w.wake > 0)
	return all
}

// outside are the steps that people, faults and other programs may take.
func (w *world) outside(b bounds) (all []string) {
	add := func(name string, when bool) {
		if when {
			all = append(all, name)
		}
	}
	isDown := w.unit == "inactive" || w.unit == "failed"
	add("key on", w.turns < b.turns && w.key != gpio.On)
	add("key off", w.turns < b.turns && w.key != gpio.Off)
	add("key fault", w.turns < b.turns && w.l.facts.KeyKnown && w.key != gpio.Fault)
	add("order on", w.orders < b.orders)
	add("order off", w.orders < b.orders)
	add("order auto", w.orders < b.orders)
	add("sshd fails to start", w.deeds < b.deeds && w.sys == running)
	add("sshd dies", w.deeds < b.deeds && w.unit == "active")
	add("start by hand", w.deeds < b.deeds && isDown && (w.sys == noJob || w.sys == done || w.sys == failed || w.sys == canceled))
	add("stop by hand", w.deeds < b.deeds && w.unit != "inactive")
	add("bus goes", w.away < b.away && w.told != "away" && w.told != "")
	add("leave", w.deeds < b.deeds && !w.leaving)
	return all
}

func (w *world) step(name string) {
	switch name {
	case "tell":
		w.told = w.unit
		w.l.doorSeen(modelDoor{}.report(w.unit))
	case "arrive":
		w.sys = queued
	case "run":
		if w.permit {
			w.sys, w.unit, w.byPermit = running, "activating", true
		} else {
			w.sys = failed
		}
	case "up":
		w.sys, w.unit = done, "active"
	case "stop acts", "stop acts again":
		w.stopActed = true
		w.halt()
	case "stop returns":
		w.stopCall = false
		w.l.ended(outcome{stopping, nil})
	case "start returns":
		w.call = false
		w.l.ended(outcome{starting, w.startErr()})
	case "start gives up":
		// The call ends with its context; the job in systemd doesn't.
		w.call = false
		w.l.ended(outcome{starting, context.Canceled})
	case "time":
		w.now = max(w.now, w.wake)
		if w.l.facts.Override == ForceOn && w.now >= w.l.facts.OverrideUntil {
			w.spent = w.spent || w.key == gpio.On && w.onAt <= w.forcedAt
		}
	case "key on", "key off", "key fault":
		w.turns++
		w.turn(name)
	case "order on":
		w.order(Override{Mode: ForceOn, For: time.Hour})
	case "order off":
		w.order(Override{Mode: ForceOff})
	case "order auto":
		w.order(Override{Mode: Auto})
	case "sshd fails to start":
		w.deeds++
		w.sys, w.unit = failed, "failed"
	case "sshd dies":
		w.deeds++
		w.unit = "failed"
	case "start by hand":
		w.deeds++
		w.sys, w.ours = queued, false
	case "stop by hand":
		w.deeds++
		w.halt()
	case "bus goes":
		w.away++
		w.told = "away"
		w.l.doorSeen(modelDoor{}.report("away"))
	case "leave":
		w.deeds++
		w.leaving, w.l.leaving = true, true
	default:
		panic(name)
	}
	w.round()
}

func (w *world) turn(name string) {
	r := gpio.Reading{Position: gpio.On}
	switch name {
	case "key off":
		r.Position = gpio.Off
	case "key fault":
		r = gpio.Reading{Position: gpio.Fault, Err: errors.New("cut")}
	}
	switch {
	case r.Position == gpio.Off:
		w.spent = false
	case r.Position == gpio.On && !w.known:
		w.onAt, w.spent = w.now, w.l.facts.Override == ForceOn // nobody knows since when it has been on
	case r.Position == gpio.On && w.key == gpio.Off:
		w.onAt = w.now
	}
	w.known = w.known || r.Position != gpio.Fault
	w.key = r.Position
	w.l.keyRead(r)
}

func (w *world) order(o Override) {
	w.orders++
	if o.Mode == ForceOn && !w.l.facts.forced() {
		w.forcedAt = w.now
	}
	w.l.ordered(order{o, make(chan error, 1)})
}

// halt is a stop job: it takes the place of a start that has not come to its end.
func (w *world) halt() {
	w.unit = "inactive"
	if w.sys == queued || w.sys == running {
		w.sys = canceled
	}
}

func (w *world) startErr() error {
	switch {
	case w.sys == done && !w.overtaken:
		return nil
	case w.sys == canceled, w.overtaken:
		return &sshctl.JobError{Unit: "ssh.service", Job: "start", Result: "canceled"}
	default:
		return &sshctl.JobError{Unit: "ssh.service", Job: "start", Result: "failed"}
	}
}
