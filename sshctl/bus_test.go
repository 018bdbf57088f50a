package sshctl

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestBusDiesWhileAJobRuns(t *testing.T) {
	f, s, w := opened(t)
	f.intercept(func(k call) bool {
		if k.method == managerIface+".StartUnit" {
			k.reply(jobPath(f.job()))
			f.bus.down()
			return true
		}
		return false
	})
	if err := s.Start(t.Context()); !errors.Is(err, errAway) {
		t.Fatalf("Start: %v", err)
	}
	st := w.until(is("unknown"))
	if st.Closed || st.Open || st.Err == nil {
		t.Errorf("with no bus: %+v", st)
	}
	if err := s.Start(t.Context()); !errors.Is(err, errAway) {
		t.Errorf("Start with no bus: %v", err)
	}
	if err := s.Stop(t.Context()); !errors.Is(err, errAway) {
		t.Errorf("Stop with no bus: %v", err)
	}
	f.intercept(nil)
	f.mu.Lock()
	f.units[Service].active = "active"
	f.mu.Unlock()
	f.bus.listen()
	w.until(is("active"))
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("Stop after the bus is back: %v", err)
	}
	f.set(Service, "activating") // subscribed again
	w.until(is("activating"))
}

func TestStopOutlivesARestartOfTheBus(t *testing.T) {
	f, s, w := opened(t)
	f.set(Service, "active")
	w.until(is("active"))
	f.intercept(func(k call) bool {
		if k.method == managerIface+".StopUnit" && f.calls("StopUnit") == 1 {
			f.bus.down()
			f.bus.listen()
			return true
		}
		return false
	})
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.until(is("inactive"))
}

func TestReexecution(t *testing.T) {
	f, s, w := opened(t)
	f.set(Service, "active")
	w.until(is("active"))
	f.bus.setOwner(systemdName, "")
	if st := w.until(is("unknown")); st.Closed || st.Err == nil {
		t.Fatalf("%+v", st)
	}
	stopped := make(chan error)
	go func() { stopped <- s.Stop(t.Context()) }() // meets nobody, tries again
	f.bus.setOwner(systemdName, systemdOwner)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	w.until(is("inactive"))
	f.mu.Lock()
	subs := f.subs
	f.mu.Unlock()
	if subs < 2 {
		t.Errorf("subscribed %d times", subs)
	}
}

// A job that ends while systemd re-executes itself ends unheard.
func TestJobLostInReexecution(t *testing.T) {
	f, s, _ := opened(t)
	f.intercept(func(k call) bool {
		if k.method == managerIface+".StartUnit" {
			k.reply(jobPath(f.job()))
			f.bus.setOwner(systemdName, "")
			f.bus.setOwner(systemdName, systemdOwner)
			return true
		}
		return false
	})
	err := s.Start(t.Context())
	if e, ok := errors.AsType[*JobError](err); !ok || e.Result != "lost" {
		t.Fatalf("got %v", err)
	}
}

// A flood of signals may be told in fewer reports, but the last state is always told.
func TestFloodOfSignals(t *testing.T) {
	f, _, w := opened(t)
	for i := range 2000 {
		f.set(Service, []string{"activating", "active", "deactivating"}[i%3])
	}
	f.set(Service, "failed")
	w.until(is("failed"))
}

func TestCallerGivesUp(t *testing.T) {
	f, s, _ := opened(t)
	f.intercept(func(k call) bool {
		return k.method == managerIface+".StartUnit" || k.method == managerIface+".StopUnit"
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.Start(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Start: %v", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Stop: %v", err)
	}
}
