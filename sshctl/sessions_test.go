package sshctl

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

func TestSessionsAreCounted(t *testing.T) {
	f, _, w := opened(t)
	f.addSession("1", fakeSession{remote: false, service: "login"})
	f.addSession("2", fakeSession{remote: true, service: "sshd"})
	f.addSession("3", fakeSession{remote: true, service: "vsftpd"})
	f.addSession("4", fakeSession{remote: true, service: "sshd"})
	w.until(func(s State) bool { return s.Sessions == 2 })
	f.bus.setOwner(loginName, "") // logind stops
	st := w.until(func(s State) bool { return s.Sessions == 0 })
	if st.Err != nil || st.Active != "inactive" {
		t.Errorf("without logind: %+v", st)
	}
}

func TestTerminateRemoteSessions(t *testing.T) {
	f := newFakeSystemd(t)
	f.sessions["1"] = fakeSession{remote: false, service: "login"}
	f.sessions["2"] = fakeSession{remote: true, service: "sshd"}
	f.sessions["3"] = fakeSession{remote: true, service: "sshd"}
	n, err := terminateSessions(t.Context(), f.bus.address, time.Minute, time.Hour)
	if n != 2 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.sessions["1"]; !ok || len(f.sessions) != 1 {
		t.Fatalf("left: %v", f.sessions)
	}
}

// After a restart of dbus, logind is alive, has the sessions, and is not on the bus. That must not look like no sessions.
func TestLogindOffTheBus(t *testing.T) {
	f := newFakeSystemd(t)
	f.sessions["2"] = fakeSession{remote: true, service: "sshd"}
	f.bus.owners[loginName] = ""
	f.intercept(func(k call) bool {
		if k.method != managerIface+".RestartUnit" {
			return false
		}
		id := f.job()
		k.reply(jobPath(id))
		f.bus.setOwner(loginName, loginOwner)
		f.end(id, loginUnit, "done")
		return true
	})
	if n, err := terminateSessions(t.Context(), f.bus.address, time.Minute, time.Hour); n != 0 || err != nil {
		t.Errorf("on a machine without logind: %d, %v", n, err)
	}
	f.mu.Lock()
	f.units[loginUnit] = &fakeUnit{load: "loaded", active: "active"}
	f.mu.Unlock()
	f.bus.setOwner(loginName, "")
	if n, err := terminateSessions(t.Context(), f.bus.address, time.Minute, time.Hour); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

func TestStubbornSessionIsKilled(t *testing.T) {
	f := newFakeSystemd(t)
	f.sessions["7"] = fakeSession{remote: true, service: "sshd"}
	f.intercept(func(k call) bool {
		switch k.method {
		case loginIface + ".TerminateSession": // heard, not obeyed
			k.reply()
			return true
		case loginIface + ".KillSession":
			if k.body[1] != "all" || k.body[2] != int32(9) {
				t.Errorf("KillSession%v", k.body)
			}
			f.mu.Lock()
			delete(f.sessions, "7")
			f.mu.Unlock()
			k.reply()
			f.bus.signal(loginOwner, loginPath, loginIface+".SessionRemoved", "7", dbus.ObjectPath(loginPath+"/session/x"))
			return true
		}
		return false
	})
	if n, err := terminateSessions(t.Context(), f.bus.address, time.Millisecond, time.Hour); n != 1 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
}

func TestSessionsThatStayAreAnError(t *testing.T) {
	f := newFakeSystemd(t)
	f.sessions["7"] = fakeSession{remote: true, service: "sshd"}
	ctx, cancel := context.WithCancel(t.Context())
	f.intercept(func(k call) bool {
		switch k.method {
		case loginIface + ".KillSession":
			cancel() // that long, and no longer
			fallthrough
		case loginIface + ".TerminateSession":
			k.reply()
			return true
		}
		return false
	})
	_, err := terminateSessions(ctx, f.bus.address, time.Millisecond, time.Hour)
	if err == nil || !strings.Contains(err.Error(), "session 7 of pi") {
		t.Fatalf("got %v", err)
	}
}

func TestEndSessions(t *testing.T) {
	f, s, _ := opened(t)
	if err := s.EndSessions(t.Context()); err != nil {
		t.Fatal(err)
	}
	if f.calls("StartUnit "+EndSessionsUnit) != 1 {
		t.Error("the oneshot was not started")
	}
	f.intercept(func(k call) bool {
		if k.method != managerIface+".StartUnit" {
			return false
		}
		id := f.job()
		k.reply(jobPath(id))
		f.end(id, EndSessionsUnit, "failed")
		return true
	})
	if e, ok := errors.AsType[*JobError](s.EndSessions(t.Context())); !ok || e.Unit != EndSessionsUnit {
		t.Errorf("got %v", e)
	}
}

func TestLook(t *testing.T) {
	f := newFakeSystemd(t)
	d, err := look(t.Context(), f.bus.address)
	if err != nil {
		t.Fatal(err)
	}
	if d.Daemon.ActiveState != "failed" || d.Daemon.Result != "watchdog" || d.Daemon.UnitFileState != "enabled" {
		t.Errorf("daemon %+v", d.Daemon)
	}
	if !d.Service.Interlocked || d.Service.ActiveState != "inactive" || d.Socket.UnitFileState != "disabled" {
		t.Errorf("service %+v, socket %+v", d.Service, d.Socket)
	}
	f.bus.down()
	if _, err := look(t.Context(), f.bus.address); err == nil || !strings.Contains(err.Error(), "systemctl status dbus") {
		t.Errorf("no bus: %v", err)
	}
}
