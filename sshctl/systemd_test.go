package sshctl

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
)

func TestStartStop(t *testing.T) {
	f, s, w := opened(t)
	if st := w.until(is("inactive")); !st.Closed || st.Open || !st.Interlocked || st.Unit != Service {
		t.Fatalf("at first: %+v", st)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st := w.until(is("active")); st.Closed || !st.Open {
		t.Fatalf("started: %+v", st)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.until(func(s State) bool { return s.Closed && s.Active == "inactive" })
	if n := f.calls("StopUnit ssh.socket"); n != 0 {
		t.Errorf("a socket that nobody uses was stopped %d times", n)
	}
}

// What goes over the bus between Start and StartUnit delays each turn of the key.
func TestStartAsksNothingFirst(t *testing.T) {
	f, s, _ := opened(t)
	f.mu.Lock()
	f.seen = nil
	f.mu.Unlock()
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.seen[0] != "StartUnit ssh.service" {
		t.Errorf("before StartUnit: %q", f.seen)
	}
}

func TestJobEndsBeforeTheReply(t *testing.T) {
	f, s, _ := opened(t)
	f.intercept(func(k call) bool {
		if k.method != managerIface+".StartUnit" {
			return false
		}
		id := f.job()
		f.set(Service, "failed")
		f.end(id, Service, "failed")
		k.reply(jobPath(id))
		return true
	})
	err := s.Start(t.Context())
	if e, ok := errors.AsType[*JobError](err); !ok || e.Result != "failed" || e.Unit != Service || e.Job != "start" {
		t.Fatalf("got %v", err)
	}
}

func TestForgedEndOfJobIsNotBelieved(t *testing.T) {
	f, s, _ := opened(t)
	f.intercept(func(k call) bool {
		if k.method != managerIface+".StartUnit" {
			return false
		}
		id := f.job()
		k.reply(jobPath(id))
		// As a unicast signal would arrive: no rule of ours asked for it.
		k.conn.send(&dbus.Message{Type: dbus.TypeSignal, Body: []any{id, jobPath(id), Service, "done"},
			Headers: map[dbus.HeaderField]dbus.Variant{
				dbus.FieldSender: dbus.MakeVariant(":1.666"), dbus.FieldPath: dbus.MakeVariant(dbus.ObjectPath(systemdPath)),
				dbus.FieldInterface: dbus.MakeVariant(managerIface), dbus.FieldMember: dbus.MakeVariant("JobRemoved"),
				dbus.FieldSignature: dbus.MakeVariant(dbus.SignatureOf(id, jobPath(id), "", "")),
			}})
		f.end(id, Service, "timeout")
		return true
	})
	err := s.Start(t.Context())
	if e, ok := errors.AsType[*JobError](err); !ok || e.Result != "timeout" {
		t.Fatalf("got %v", err)
	}
}

func TestStopReplacesStart(t *testing.T) {
	f, s, w := opened(t)
	pending := make(chan uint32, 1)
	f.intercept(func(k call) bool {
		switch k.method {
		case managerIface + ".StartUnit":
			id := f.job()
			k.reply(jobPath(id))
			f.set(Service, "activating")
			pending <- id
			return true
		case managerIface + ".StopUnit":
			f.end(<-pending, Service, "canceled")
		}
		return false
	})
	started := make(chan error)
	go func() { started <- s.Start(t.Context()) }()
	w.until(is("activating"))
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := <-started
	if e, ok := errors.AsType[*JobError](err); !ok || e.Result != "canceled" {
		t.Fatalf("Start: %v", err)
	}
}

// polkit may take its time over a StartUnit, so that systemd acts on it after the StopUnit that was sent later.
func TestStopWinsOverAStartThatArrivesLate(t *testing.T) {
	f, s, w := opened(t)
	asked, stopped := make(chan bool), make(chan bool)
	f.intercept(func(k call) bool {
		switch k.method {
		case managerIface + ".StartUnit":
			asked <- true
			<-stopped
		case managerIface + ".StopUnit":
			if f.calls("StopUnit") == 1 {
				f.normal(k)
				close(stopped)
				return true
			}
		}
		return false
	})
	started := make(chan error)
	go func() { started <- s.Start(t.Context()) }()
	<-asked
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	active := f.units[Service].active
	f.mu.Unlock()
	if active != "inactive" {
		t.Fatalf("Stop returned with ssh.service %s", active)
	}
	if e, ok := errors.AsType[*JobError](<-started); !ok || e.Result != "canceled" {
		t.Fatalf("Start: %v", e)
	}
	w.until(func(s State) bool { return s.Closed })
}

func TestStartWaitsForAStopInProgress(t *testing.T) {
	f, s, w := opened(t)
	f.set(Service, "active")
	w.until(is("active"))
	asked, goOn := make(chan bool), make(chan bool)
	f.intercept(func(k call) bool {
		if k.method == managerIface+".StopUnit" {
			asked <- true
			<-goOn
		}
		return false
	})
	stopped, started := make(chan error, 1), make(chan error, 1)
	go func() { stopped <- s.Stop(t.Context()) }()
	<-asked
	go func() { started <- s.Start(t.Context()) }()
	close(goOn)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	w.until(is("active"))
	f.mu.Lock()
	defer f.mu.Unlock()
	start, stop := -1, -1
	for i, c := range f.seen {
		switch c {
		case "StartUnit ssh.service":
			start = i
		case "StopUnit ssh.service":
			stop = i
		}
	}
	if start < stop {
		t.Errorf("the start overtook the stop: %q", f.seen)
	}
}

func TestStopClearsFailed(t *testing.T) {
	f, s, w := opened(t)
	f.change(Service, func(u *fakeUnit) { u.active, u.result = "failed", "exit-code" })
	if st := w.until(is("failed")); !st.Closed || st.Result != "exit-code" {
		t.Fatalf("%+v", st)
	}
	f.intercept(func(k call) bool { // a stop job of a failed unit leaves it failed
		if k.method == managerIface+".StopUnit" {
			id := f.job()
			k.reply(jobPath(id))
			f.end(id, Service, "done")
			return true
		}
		return false
	})
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.until(is("inactive"))
	// A unit that systemd has dropped meanwhile is not an error.
	f.change(Service, func(u *fakeUnit) { u.active = "failed" })
	w.until(is("failed"))
	f.intercept(func(k call) bool {
		switch k.method {
		case managerIface + ".StopUnit", managerIface + ".ResetFailedUnit":
			k.fail("org.freedesktop.systemd1.NoSuchUnit", "Unit ssh.service not loaded.")
			return true
		}
		return false
	})
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestRefusals(t *testing.T) {
	tests := []struct{ name, dbus, text, want string }{
		{"polkit", "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired", "Interactive authentication required.", PolkitRule},
		{"no polkit", "org.freedesktop.DBus.Error.AccessDenied", "Permission denied", PolkitRule},
		{"masked", "org.freedesktop.systemd1.UnitMasked", "Unit ssh.service is masked.", "systemctl unmask ssh.service"},
		{"polkit masked", "org.freedesktop.systemd1.UnitMasked", "Unit polkit.service is masked.", "systemctl unmask polkit.service"},
		{"not installed", "org.freedesktop.systemd1.NoSuchUnit", "Unit ssh.service not found.", "apt install openssh-server"},
		{"bad unit", "org.freedesktop.systemd1.BadUnitSetting", "bad setting", "systemd-analyze verify ssh.service"},
	}
	f, s, _ := opened(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f.intercept(func(k call) bool {
				if k.method == managerIface+".StartUnit" {
					k.fail(tt.dbus, tt.text)
					return true
				}
				return false
			})
			err := s.Start(t.Context())
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), tt.text) {
				t.Fatalf("got %v, want it to say %q and %q", err, tt.text, tt.want)
			}
		})
	}
	f.intercept(func(k call) bool {
		if k.method == managerIface+".StopUnit" {
			k.fail("org.freedesktop.DBus.Error.AccessDenied", "Permission denied")
			return true
		}
		return false
	})
	if err := s.Stop(t.Context()); err == nil || !strings.Contains(err.Error(), PolkitRule) {
		t.Fatalf("Stop: %v", err)
	}
}

func TestReload(t *testing.T) {
	f, _, w := opened(t)
	f.mu.Lock()
	dropins := f.units[Service].dropins
	f.units[Service].dropins = []string{"/etc/systemd/system/ssh.service.d/other.conf"}
	f.mu.Unlock()
	f.reloaded()
	w.until(func(s State) bool { return !s.Interlocked })
	f.mu.Lock()
	f.units[Service].dropins = dropins
	f.mu.Unlock()
	f.reloaded()
	w.until(func(s State) bool { return s.Interlocked })
	f.mu.Lock()
	f.units[Service].emptied = true // AssertPathExists= in a drop-in after ours
	f.mu.Unlock()
	f.reloaded()
	w.until(func(s State) bool { return !s.Interlocked })
	f.mu.Lock()
	f.units[Service].emptied = false
	f.mu.Unlock()
	f.reloaded()
	w.until(func(s State) bool { return s.Interlocked })
	f.mu.Lock()
	f.units[Service].unhardened = true // ExecStartPre= in a drop-in after ours
	f.mu.Unlock()
	f.reloaded()
	w.until(func(s State) bool { return !s.Interlocked })
	f.mu.Lock()
	f.units[Service].unhardened = false
	f.units[Socket].file = "enabled"
	f.mu.Unlock()
	f.reloaded()
	w.until(func(s State) bool { return s.Interlocked && s.Unit == Socket })
}

func TestSocketActivation(t *testing.T) {
	f := newFakeSystemd(t)
	f.units[Socket].file = "enabled"
	s := NewSystemd(SystemdConfig{Address: f.bus.address})
	w := watch(t, s)
	if st := w.until(is("inactive")); st.Unit != Socket {
		t.Fatalf("way in: %s", st.Unit)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := f.calls("StartUnit ssh.service"); n != 0 {
		t.Error("the service was started along with its socket")
	}
	w.until(func(s State) bool { return s.Open && s.Active == "active" })
	f.set(Service, "active") // someone connects
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.until(func(s State) bool { return s.Closed })
	for _, unit := range []string{Socket, Service} {
		if f.calls("StopUnit "+unit) == 0 {
			t.Errorf("%s was not stopped", unit)
		}
	}
}

// With Accept=yes there is a unit for each connection. PartOf= stops them; Stop may not return before they are gone.
func TestInstances(t *testing.T) {
	const unit = "sshd@1-192.0.2.1:22-192.0.2.2:4711.service"
	f := newFakeSystemd(t)
	f.units[Socket] = &fakeUnit{load: "loaded", active: "active", file: "enabled", accept: true, dropins: []string{"/x" + DropIn}}
	s := NewSystemd(SystemdConfig{Address: f.bus.address})
	w := watch(t, s)
	w.until(is("active"))
	f.change(unit, func(u *fakeUnit) { u.active, u.hidden, u.dropins = "active", false, []string{"/x" + DropIn} })
	f.bus.signal(systemdOwner, systemdPath, managerIface+".UnitNew", unit, unitObject(unit))
	stopped := make(chan error, 1)
	go func() { stopped <- s.Stop(t.Context()) }()
	if st := w.until(is("inactive")); st.Closed {
		t.Errorf("an instance is left: %+v", st)
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
		t.Error("polkit lets us stop no instance")
	}
}

func TestStopNeverSaysClosedWhileOpen(t *testing.T) {
	f, s, w := opened(t)
	f.set(Service, "active")
	w.until(is("active"))
	f.intercept(func(k call) bool { // each stop is undone by somebody's start
		if k.method == managerIface+".StopUnit" {
			id := f.job()
			k.reply(jobPath(id))
			f.end(id, Service, "canceled")
			return true
		}
		return false
	})
	err := s.Stop(t.Context())
	if e, ok := errors.AsType[*JobError](err); !ok || e.Job != "stop" || e.Result != "canceled" {
		t.Fatalf("got %v", err)
	}
}

func TestNothingIsReportedTwice(t *testing.T) {
	f, s, w := opened(t)
	for range 3 {
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.until(is("active"))
		f.reloaded()
		if err := s.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.until(is("inactive"))
	}
	all := w.reports()
	for i := 1; i < len(all); i++ {
		if all[i].same(all[i-1]) {
			t.Errorf("report %d repeats: %s", i, fmt.Sprintf("%+v", all[i]))
		}
	}
}
