package sshctl

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

var dropped = []string{"/etc/systemd/system/x.d" + DropIn}

// openedWith is a machine with a service, a socket and the socket's service beside SSH, all with the interlock.
func openedWith(t *testing.T, units ...string) (*fakeSystemd, *Systemd, *watched) {
	f := newFakeSystemd(t)
	f.units["vnc.service"] = &fakeUnit{load: "loaded", active: "inactive", file: "enabled", dropins: dropped, hidden: true}
	f.units["cockpit.socket"] = &fakeUnit{load: "loaded", active: "inactive", file: "enabled", dropins: dropped, triggers: []string{"cockpit.service"}}
	f.units["cockpit.service"] = &fakeUnit{load: "loaded", active: "inactive", file: "static", dropins: dropped}
	f.units["free.service"] = &fakeUnit{load: "loaded", active: "active", file: "enabled"}
	s := NewSystemd(SystemdConfig{Address: f.bus.address, Units: units})
	w := watch(t, s)
	w.until(is("inactive"))
	return f, s, w
}

func other(s State, unit string) Other {
	i := slices.IndexFunc(s.Others, func(o Other) bool { return o.Unit == unit })
	if i < 0 {
		return Other{}
	}
	return s.Others[i]
}

func TestOthers(t *testing.T) {
	f, s, w := openedWith(t, "vnc.service", "cockpit.socket")
	st := w.until(func(s State) bool { return len(s.Others) == 3 })
	if !st.Closed || !st.Down || !st.Interlocked || other(st, "cockpit.service") != (Other{"cockpit.service", "inactive", "", true}) {
		t.Fatalf("at first: %+v", st)
	}
	if err := s.StartOthers(t.Context()); err != nil {
		t.Fatal(err)
	}
	st = w.until(func(s State) bool {
		return other(s, "vnc.service").Active == "active" && other(s, "cockpit.socket").Active == "active"
	})
	if st.Closed || !st.Down || st.Open {
		t.Errorf("with the others open: %+v", st)
	}
	if f.calls("StartUnit cockpit.service") != 0 {
		t.Error("the service was started along with its socket")
	}
	f.set("cockpit.service", "active") // someone connects
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.until(func(s State) bool { return s.Open && !s.Down && other(s, "cockpit.service").Active == "active" })
	f.mu.Lock()
	f.seen = nil
	f.mu.Unlock()
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	first := slices.IndexFunc(f.seen, func(what string) bool { return strings.HasPrefix(what, "StopUnit") })
	if f.seen[first] != "StopUnit ssh.service" {
		t.Errorf("the first to be stopped: %s", f.seen[first])
	}
	f.mu.Unlock()
	w.until(func(s State) bool { return s.Closed && s.Down })
	for _, unit := range []string{"vnc.service", "cockpit.socket", "cockpit.service"} {
		if f.calls("StopUnit "+unit) == 0 {
			t.Errorf("%s was not stopped", unit)
		}
	}
}

// What the interlock isn't on is shown, and left alone.
func TestOthersWithoutTheInterlock(t *testing.T) {
	f, s, w := openedWith(t, "free.service", "nowhere.service")
	st := w.until(func(s State) bool { return len(s.Others) == 2 })
	if !st.Closed || other(st, "free.service") != (Other{"free.service", "active", "", false}) || other(st, "nowhere.service").Guarded {
		t.Fatalf("%+v", st)
	}
	if err := errors.Join(s.StartOthers(t.Context()), s.Stop(t.Context())); err != nil {
		t.Fatal(err)
	}
	if n := f.calls("StartUnit") + f.calls("StopUnit free.service"); n != 0 {
		t.Errorf("%d calls for units without the interlock", n)
	}
	// arm has put it on
	f.mu.Lock()
	f.units["free.service"].dropins = dropped
	f.mu.Unlock()
	f.reloaded()
	w.until(func(s State) bool { return !s.Closed && s.Down && other(s, "free.service").Guarded })
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.until(func(s State) bool { return s.Closed })
}

// A slow one holds up neither the end of SSH nor the news of it, and counts until it is down.
func TestSlowOtherDoesNotHoldUpSSH(t *testing.T) {
	f, s, w := openedWith(t, "vnc.service")
	f.set(Service, "active")
	f.set("vnc.service", "active")
	w.until(func(s State) bool { return s.Open && other(s, "vnc.service").Active == "active" })
	late := make(chan uint32, 1)
	f.intercept(func(k call) bool {
		if k.method != managerIface+".StopUnit" || k.body[0] != "vnc.service" {
			return false
		}
		id := f.job()
		k.reply(jobPath(id))
		f.set("vnc.service", "deactivating")
		late <- id
		return true
	})
	stopped := make(chan error, 1)
	go func() { stopped <- s.Stop(t.Context()) }()
	id := <-late
	if st := w.until(func(s State) bool { return s.Down }); st.Closed {
		t.Errorf("closed with %+v", st)
	}
	select {
	case err := <-stopped:
		t.Fatalf("Stop returned with vnc.service deactivating: %v", err)
	default:
	}
	f.set("vnc.service", "failed")
	f.end(id, "vnc.service", "done")
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	w.until(func(s State) bool { return s.Closed })
	if f.calls("ResetFailedUnit vnc.service") != 1 {
		t.Error("its failed state was not cleared")
	}
}

// One that can't be started says so by its name; the others are started.
func TestOtherFailsToStart(t *testing.T) {
	f, s, w := openedWith(t, "vnc.service", "cockpit.socket")
	w.until(func(s State) bool { return len(s.Others) == 3 })
	f.intercept(func(k call) bool {
		if k.method != managerIface+".StartUnit" || k.body[0] != "vnc.service" {
			return false
		}
		k.fail("org.freedesktop.DBus.Error.InteractiveAuthorizationRequired", "Interactive authentication required.")
		return true
	})
	err := s.StartOthers(t.Context())
	if err == nil || !strings.Contains(err.Error(), "vnc.service") || !strings.Contains(err.Error(), "keyswitchd arm") || strings.Contains(err.Error(), "cockpit") {
		t.Errorf("got %v", err)
	}
	w.until(func(s State) bool { return other(s, "cockpit.socket").Active == "active" })
}

// One that refuses to be stopped is not closed.
func TestOtherRefusesToStop(t *testing.T) {
	f, s, w := openedWith(t, "vnc.service")
	f.set("vnc.service", "active")
	w.until(func(s State) bool { return !s.Closed })
	f.intercept(func(k call) bool {
		if k.method != managerIface+".StopUnit" || k.body[0] != "vnc.service" {
			return false
		}
		id := f.job()
		k.reply(jobPath(id))
		f.end(id, "vnc.service", "done") // done, it says, and runs
		return true
	})
	if err := s.Stop(t.Context()); err == nil {
		t.Error("closed with vnc.service running")
	}
	if st := w.until(func(s State) bool { return other(s, "vnc.service").Active == "active" }); st.Closed {
		t.Errorf("%+v", st)
	}
}

// A stop overtakes a start of the others that polkit has not answered yet, and returns only when that start has been undone.
func TestStopWinsOverALateStartOfOthers(t *testing.T) {
	f, s, w := openedWith(t, "vnc.service")
	w.until(func(s State) bool { return len(s.Others) == 1 })
	asked, stopped := make(chan bool), make(chan bool)
	f.intercept(func(k call) bool {
		switch {
		case k.method == managerIface+".StartUnit":
			asked <- true
			<-stopped
		case k.method == managerIface+".StopUnit" && k.body[0] == Service:
			if f.calls("StopUnit ssh.service") == 1 {
				f.normal(k)
				close(stopped)
				return true
			}
		}
		return false
	})
	started := make(chan error)
	go func() { started <- s.StartOthers(t.Context()) }()
	<-asked
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	active := f.units["vnc.service"].active
	f.mu.Unlock()
	if active != "inactive" {
		t.Errorf("Stop returned with vnc.service %s", active)
	}
	<-started
	w.until(func(s State) bool { return s.Closed })
}

// A socket with Accept=yes makes a unit for each connection, which is not listed but counts.
func TestConnectionsOfOthers(t *testing.T) {
	const unit = "echo@1-192.0.2.1:7-192.0.2.2:4711.service"
	f := newFakeSystemd(t)
	f.units["echo.socket"] = &fakeUnit{load: "loaded", active: "active", accept: true, dropins: dropped}
	s := NewSystemd(SystemdConfig{Address: f.bus.address, Units: []string{"echo.socket"}})
	w := watch(t, s)
	w.until(func(s State) bool { return other(s, "echo.socket").Active == "active" })
	f.change(unit, func(u *fakeUnit) { u.active, u.hidden, u.dropins = "active", false, dropped })
	f.bus.signal(systemdOwner, systemdPath, managerIface+".UnitNew", unit, unitObject(unit))
	stopped := make(chan error, 1)
	go func() { stopped <- s.Stop(t.Context()) }()
	if st := w.until(func(s State) bool { return other(s, "echo.socket").Active == "inactive" }); st.Closed || len(st.Others) != 1 {
		t.Errorf("a connection is left: %+v", st)
	}
	f.mu.Lock()
	delete(f.units, unit)
	f.mu.Unlock()
	f.bus.signal(systemdOwner, systemdPath, managerIface+".UnitRemoved", unit, unitObject(unit))
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	w.until(func(s State) bool { return s.Closed })
	if f.calls("StopUnit "+unit) != 0 {
		t.Error("polkit lets us stop no connection")
	}
}

func TestOthersWhileTheBusIsAway(t *testing.T) {
	f, s, w := openedWith(t, "vnc.service")
	w.until(func(s State) bool { return len(s.Others) == 1 })
	f.bus.setOwner(systemdName, "")
	st := w.until(is("unknown"))
	if st.Closed || st.Down || len(st.Others) != 1 || st.Others[0].Active != "unknown" {
		t.Errorf("%+v", st)
	}
	f.bus.setOwner(systemdName, systemdOwner)
	w.until(func(s State) bool { return s.Closed && other(s, "vnc.service").Active == "inactive" })
	if err := s.StartOthers(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestWarnSessions(t *testing.T) {
	f, s, _ := opened(t)
	for _, w := range []Warning{Closing, Expiring} {
		if err := s.WarnSessions(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		if f.calls("StartUnit keyswitchd-warn@"+string(w)+".service") != 1 {
			t.Errorf("the oneshot for %s was not started", w)
		}
	}
	if err := s.WarnSessions(t.Context(), "x.service@"); err == nil {
		t.Error("any word starts a unit")
	}
}
