package sshctl

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"path/filepath"
	"sync"
)

// childUnit is what a Child calls its sshd where Systemd names a unit.
const childUnit = "sshd"

// ChildConfig describes the sshd that a Child supervises.
type ChildConfig struct {
	// SSHD is the absolute path of the program. Default "/usr/sbin/sshd". sshd insists on an absolute path itself.
	SSHD string
	// ConfigFile is given with -f. It must exist by the time Prepare returns.
	ConfigFile string
	// Args are further arguments. -D, -e, -f and the pid file are set here.
	Args []string
	// Env is the whole environment. Default: PATH only.
	Env []string
	// Dir is where the pid file is kept, in a folder of its own. Default: the system's folder for temporary files.
	Dir string
	// Prepare runs before each start; an error refuses the start. May be nil.
	Prepare func(ctx context.Context) error
	// Log gets what sshd says, line by line, from one goroutine at a time. May be nil.
	Log io.Writer
}

// Child is the Door of a machine without systemd: it runs an sshd as its own child, as whatever user it is itself.
//
// It closes harder than systemd does: Stop also ends logged-in sessions. systemd can keep those because logind has moved
// them to scopes of their own; here only process titles tell a logged-in connection from a half logged-in one, and no door
// should hang on a title.
//
// The process that uses a Child becomes a subreaper (prctl(2), PR_SET_CHILD_SUBREAPER), so that connections whose sshd dies
// can be found and ended, and every child of it that was started later than the sshd and in another session (setsid(2))
// counts as sshd's. So: one Child per process, and no other children that call setsid. If the process itself is killed, the
// listener dies with it (PR_SET_PDEATHSIG), but connections that were open live on.
type Child struct {
	cfg ChildConfig

	news            // of anything below
	running  bool   // Run is at work
	active   string // as State.Active
	result   string
	proc     *process // the sshd; nil when there is none
	cancel   context.CancelCauseFunc
	starting bool
	stops    uint64
	stopping int
	sessions map[netip.AddrPort]bool // logged-in connections by their remote end
	wg       sync.WaitGroup          // one for each process
}

var _ Door = (*Child)(nil)

// errStopped ends a Start that a Stop replaces.
var errStopped = errors.New("canceled by a later job")

// NewChild makes the Door. Nothing is started before Start.
func NewChild(cfg ChildConfig) *Child {
	if cfg.SSHD == "" {
		cfg.SSHD = "/usr/sbin/sshd"
	}
	if cfg.Env == nil {
		cfg.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	}
	if cfg.Log == nil {
		cfg.Log = io.Discard
	}
	return &Child{cfg: cfg, news: newNews(), active: "inactive", sessions: make(map[netip.AddrPort]bool)}
}

// state is the present State; c.mu is held. A dead supervisor takes its sshd along: that is the interlock.
func (c *Child) state() State {
	return State{
		Active: c.active, Closed: down(c.active), Down: down(c.active), Open: c.active == "active", Unit: childUnit,
		Result: c.result, Interlocked: true, Sessions: len(c.sessions),
	}
}

// Run implements Door. When ctx ends it stops the sshd and everything that it has started, then returns.
func (c *Child) Run(ctx context.Context, report func(State)) error {
	c.set(func() { c.running = true })
	var last *State
	for ctx.Err() == nil {
		c.mu.Lock()
		st, bell := c.state(), c.bell
		c.mu.Unlock()
		if last == nil || !last.same(st) {
			last = &st
			report(st)
		}
		select {
		case <-bell:
		case <-ctx.Done():
		}
	}
	c.set(func() { c.running = false })
	err := c.Stop(context.WithoutCancel(ctx))
	c.wg.Wait()
	return err
}

// Start implements Door: it runs Prepare, then sshd, and returns once sshd listens.
func (c *Child) Start(ctx context.Context) error {
	var (
		ticket         uint64
		first          = true
		canceled, dead bool
		up             bool
	)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	err := c.await(ctx, func() bool {
		if first {
			ticket, first = c.stops, false
		}
		dead, canceled, up = !c.running, c.stops != ticket, c.active == "active"
		if dead || canceled {
			return true
		}
		if c.stopping > 0 || c.starting || c.active == "deactivating" {
			return false
		}
		if !up {
			c.starting, c.cancel = true, cancel
		}
		return true
	})
	switch {
	case err != nil:
		return explain("starting", childUnit, err)
	case dead:
		return explain("starting", childUnit, errors.New("its supervisor has ended"))
	case canceled:
		return &JobError{Unit: childUnit, Job: "start", Result: "canceled"}
	case up:
		return nil
	}
	c.set(func() { c.active, c.result = "activating", "" })
	err = c.start(ctx)
	if err != nil {
		c.set(func() {
			c.starting, c.cancel = false, nil
			c.active, c.result = "inactive", ""
			if e, ok := errors.AsType[*JobError](err); ok && e.Result != "canceled" {
				c.active, c.result = "failed", e.Result
			}
		})
	}
	return err
}

// start does the work of one start. If it returns an error, no process is left; else sshd was up and c.starting is over.
func (c *Child) start(ctx context.Context) error {
	failed := func(result, detail string) error {
		if errors.Is(context.Cause(ctx), errStopped) {
			return &JobError{Unit: childUnit, Job: "start", Result: "canceled"}
		}
		if ctx.Err() != nil {
			return explain("starting", childUnit, context.Cause(ctx))
		}
		return &JobError{Unit: childUnit, Job: "start", Result: result, Detail: detail}
	}
	if !filepath.IsAbs(c.cfg.SSHD) || c.cfg.ConfigFile == "" {
		return failed("failed", "sshd needs an absolute path and a configuration file: got "+c.cfg.SSHD+" -f "+c.cfg.ConfigFile)
	}
	if c.cfg.Prepare != nil {
		if err := c.cfg.Prepare(ctx); err != nil {
			return failed("failed", err.Error())
		}
	}
	if ctx.Err() != nil {
		return failed("", "")
	}
	p, err := c.launch()
	if err != nil {
		return failed("failed", err.Error())
	}
	select {
	case err = <-p.listening:
	case <-p.exited:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	up := false
	c.set(func() {
		if up = err == nil && c.proc == p; up {
			c.active, c.starting, c.cancel = "active", false, nil
		}
	})
	if up {
		return nil // should it die now, that is no longer this job's concern
	}
	select {
	case <-p.exited:
		return failed(p.result(), p.words())
	default:
	}
	p.kill()
	<-p.exited
	if err == nil { // it died right after it came up
		return failed(p.result(), p.words())
	}
	return failed("failed", err.Error())
}

// exited is told by the goroutine of p that sshd and all it started are gone. Before c.active is "active" the Start that
// waits for p says what has become of it.
func (c *Child) exited(p *process) {
	c.set(func() {
		c.proc = nil
		clear(c.sessions)
		close(p.exited)
		if !c.starting {
			c.active, c.result = "failed", p.result()
			if p.killed {
				c.active, c.result = "inactive", ""
			}
		}
	})
}

// Stop implements Door: the listener and every connection, logged in or not, are gone when it returns nil.
func (c *Child) Stop(ctx context.Context) error {
	c.set(func() {
		c.stops++
		c.stopping++
		if c.cancel != nil {
			c.cancel(errStopped)
		}
		if c.proc != nil {
			if c.active == "active" {
				c.active = "deactivating"
			}
			c.proc.killed = true
			c.proc.kill()
		}
	})
	err := c.await(ctx, func() bool { return !c.starting && c.proc == nil })
	c.set(func() {
		c.stopping--
		if err == nil && c.active == "failed" {
			c.active, c.result = "inactive", ""
		}
	})
	if err != nil {
		return explain("stopping", childUnit, err)
	}
	return nil
}

// EndSessions implements Door: every connection is ended; the listener, if there is one, goes on listening.
func (c *Child) EndSessions(ctx context.Context) error {
	c.mu.Lock()
	p := c.proc
	c.mu.Unlock()
	if p == nil {
		return nil // Stop has ended them
	}
	if err := p.endConnections(ctx); err != nil {
		return explain("ending the sessions of", childUnit, err)
	}
	c.set(func() { clear(c.sessions) })
	return nil
}

// StartOthers implements Door: a Child guards nothing else.
func (c *Child) StartOthers(context.Context) error { return nil }

// WarnSessions implements Door: who is logged in here sits in front of the simulation.
func (c *Child) WarnSessions(context.Context, Warning) error { return nil }
