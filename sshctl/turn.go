package sshctl

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	sd "github.com/coreos/go-systemd/v22/dbus"
)

// Bounds of a Stop that meets trouble; ctx may end it sooner.
const (
	stopRounds = 8  // StopUnit sent again because something started anew meanwhile
	stopTries  = 12 // everything again because the bus or systemd was away: about 40 s
)

// Start implements Door. StartUnit goes out with nothing before it: what it depends on is known from the last reading.
func (s *Systemd) Start(ctx context.Context) error {
	var (
		l        *link
		unit     string
		ticket   uint64
		first    = true
		canceled bool
	)
	err := s.await(ctx, func() bool {
		if first {
			ticket, first = s.stops, false
		}
		unit = s.way
		if s.stops != ticket {
			canceled = true
			return true
		}
		if s.stopping > 0 {
			return false
		}
		if l = s.link; l != nil {
			s.starting++
		}
		return true
	})
	if err != nil {
		return explain("starting", unit, err)
	}
	if canceled {
		return &JobError{Unit: unit, Job: "start", Result: "canceled"}
	}
	if l == nil {
		return explain("starting", unit, errAway)
	}

	j, err := l.enqueue(ctx, "start", unit)
	s.mu.Lock()
	s.starting--
	s.ring()
	s.mu.Unlock()
	if err != nil {
		return explain("starting", unit, err)
	}
	result, err := j.wait(ctx)
	if err != nil {
		return explain("starting", unit, err)
	}
	s.mu.Lock()
	canceled = s.stops != ticket
	s.mu.Unlock()
	if canceled {
		result = "canceled"
	}
	if result != "done" {
		return &JobError{Unit: unit, Job: "start", Result: result}
	}
	return nil
}

// Stop implements Door. It does not trust the ends of jobs: it returns nil only after a list that shows everything down and
// no start pending, taken after each start of ours that was on its way has arrived.
func (s *Systemd) Stop(ctx context.Context) error {
	s.mu.Lock()
	s.stops++
	s.stopping++
	l := s.link
	s.ring()
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.stopping--
		s.ring()
		s.mu.Unlock()
	}()
	if l == nil {
		return explain("stopping", Service, errAway)
	}
	retry := firstRetry
	for try := 1; ; try++ {
		err := s.stop(ctx, l)
		if err == nil || ctx.Err() != nil || !transient(err) || try == stopTries {
			return err
		}
		sleep(ctx, retry, nil)
		retry = min(2*retry, lastRetry)
		s.mu.Lock()
		if s.link != nil {
			l = s.link
		}
		s.mu.Unlock()
	}
}

// stop sends the stop jobs over l and sees them through.
func (s *Systemd) stop(ctx context.Context, l *link) error {
	s.mu.Lock()
	way, known := s.way, s.known
	s.mu.Unlock()
	// A StopUnit costs a polkit check, so what is neither the way in nor active isn't named until a list says so.
	units := []string{Service}
	if way == Socket || !down(known.units[Socket].ActiveState) {
		units = []string{Socket, Service}
	}
	also := slices.DeleteFunc(known.guards(), func(unit string) bool { return down(known.units[unit].ActiveState) })
	var worst error
	for range stopRounds {
		var err error
		if worst, err = l.stopUnits(ctx, units, also); err != nil {
			return err
		}
		if err := s.await(ctx, func() bool { return s.starting == 0 }); err != nil {
			return explain("stopping", Service, err)
		}
		left, err := s.settle(ctx, l, known)
		if err != nil {
			return err
		}
		if shut(left) {
			return l.clearFailed(ctx, left, known)
		}
		running := func(unit string) bool {
			u, ok := left[unit]
			return ok && !shut(map[string]sd.UnitStatus{unit: u})
		}
		units = slices.DeleteFunc([]string{Socket, Service}, func(unit string) bool { return !running(unit) })
		also = slices.DeleteFunc(known.guards(), func(unit string) bool { return !running(unit) })
	}
	if worst != nil {
		return worst
	}
	return &JobError{Unit: way, Job: "stop", Result: "canceled"}
}

// settle lists the units once the named ones have been stopped. Instances are stopped by systemd along with the socket
// (PartOf in their drop-in), or end by themselves: as long as only they are left, it waits.
func (s *Systemd) settle(ctx context.Context, l *link, known facts) (map[string]sd.UnitStatus, error) {
	for {
		s.mu.Lock()
		bell := s.bell
		s.mu.Unlock()
		units, err := l.list(ctx, known.others)
		if err != nil {
			return nil, err
		}
		units = known.held(units)
		waiting := false
		for name, u := range units {
			up := !shut(map[string]sd.UnitStatus{name: u})
			if up && !known.connection(name) {
				return units, nil
			}
			waiting = waiting || up
		}
		if !waiting {
			return units, nil
		}
		select {
		case <-bell: // the watcher has read again
		case <-l.done():
			return nil, errAway
		case <-ctx.Done():
			return nil, explain("stopping", "the connections of sockets", context.Cause(ctx))
		}
	}
}

// stopUnits stops units and also all at once, and waits for the jobs. The calls for also go out when systemd has taken those
// for units, so that polkit, which answers one at a time, is first asked about these; no unit waits for the end of another. bad
// is the first job that didn't end well.
func (l *link) stopUnits(ctx context.Context, units, also []string) (bad, err error) {
	all := slices.Concat(units, also)
	results, errs := make([]string, len(all)), make([]error, len(all))
	var wg, taken sync.WaitGroup
	stop := func(i int, accepted func()) {
		j, err := l.enqueue(ctx, "stop", all[i])
		accepted()
		if notLoaded(err) {
			results[i] = "done"
			return
		}
		if err == nil {
			results[i], err = j.wait(ctx)
		}
		if err != nil {
			errs[i] = explain("stopping", all[i], err)
		}
	}
	for i := range units {
		taken.Add(1)
		wg.Go(func() { stop(i, taken.Done) })
	}
	taken.Wait()
	for i := range also {
		wg.Go(func() { stop(len(units)+i, func() {}) })
	}
	wg.Wait()
	for i, unit := range all {
		if results[i] != "done" && bad == nil {
			bad = &JobError{Unit: unit, Job: "stop", Result: results[i]}
		}
	}
	return bad, errors.Join(errs...)
}

// clearFailed resets units that are down because they failed, so that no limit of theirs holds up the next start.
func (l *link) clearFailed(ctx context.Context, units map[string]sd.UnitStatus, known facts) error {
	for unit, u := range units {
		if u.ActiveState != "failed" || known.connection(unit) {
			continue
		}
		bounded, cancel := l.bound(ctx)
		err := l.sd.ResetFailedUnitContext(bounded, unit)
		cancel()
		if err != nil && !notLoaded(err) {
			return explain("clearing the failed state of", unit, err)
		}
	}
	return nil
}

// EndSessions implements Door: it starts the root-owned oneshot and waits until it has finished.
func (s *Systemd) EndSessions(ctx context.Context) error { return s.oneshot(ctx, EndSessionsUnit) }

// WarnSessions implements Door: it starts the root-owned oneshot and waits until it has finished.
func (s *Systemd) WarnSessions(ctx context.Context, w Warning) error {
	if w != Closing && w != Expiring {
		return fmt.Errorf("sshctl: warning the sessions: there is no warning %q", string(w))
	}
	return s.oneshot(ctx, WarnUnit+string(w)+".service")
}

// oneshot starts one of keyswitchd's own units and waits until it has finished.
func (s *Systemd) oneshot(ctx context.Context, unit string) error {
	s.mu.Lock()
	l := s.link
	s.mu.Unlock()
	if l == nil {
		return explain("starting", unit, errAway)
	}
	j, err := l.enqueue(ctx, "start", unit)
	if err != nil {
		return explain("starting", unit, err)
	}
	result, err := j.wait(ctx)
	if err != nil {
		return explain("starting", unit, err)
	}
	if result != "done" {
		return &JobError{Unit: unit, Job: "start", Result: result}
	}
	return nil
}
