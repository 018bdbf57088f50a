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
	f.addSession("5", fakeSession{service: "sshd"})                                                      // through a tunnel that ends here
	f.addSession("6", fakeSession{remote: true, service: "sshd-lan", title: "sshd-session: pi [priv]"})  // PAMServiceName
	f.addSession("7", fakeSession{remote: true, service: "login", title: "sshd: pi [priv]"})             // PAMServiceName, older
	f.addSession("8", fakeSession{seat: "seat0", service: "sshd", title: "sshd: pi [priv]"})             // at the screen, whatever it says
	f.addSession("9", fakeSession{service: "cron", title: "/usr/sbin/CRON -f"})                          //
	f.addSession("10", fakeSession{remote: true, service: "login", title: "login -- pi sshd: x [priv]"}) //
	w.until(func(s State) bool { return s.Sessions == 5 })
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
	if len(n) != 2 || n[0] != (Ended{ID: "2", User: "pi"}) || err != nil {
		t.Fatalf("%v, %v", n, err)
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
	if n, err := terminateSessions(t.Context(), f.bus.address, time.Minute, time.Hour); len(n) != 0 || err != nil {
		t.Errorf("on a machine without logind: %v, %v", n, err)
	}
	f.mu.Lock()
	f.units[loginUnit] = &fakeUnit{load: "loaded", active: "active"}
	f.mu.Unlock()
	f.bus.setOwner(loginName, "")
	if n, err := terminateSessions(t.Context(), f.bus.address, time.Minute, time.Hour); len(n) != 1 || err != nil {
		t.Errorf("%v, %v", n, err)
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
	if n, err := terminateSessions(t.Context(), f.bus.address, time.Millisecond, time.Hour); len(n) != 1 || !n[0].Killed || err != nil {
		t.Fatalf("%v, %v", n, err)
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

// Without logind the sessions are still in the scopes that it has made.
func TestSessionsWithoutLogind(t *testing.T) {
	f, s, w := opened(t)
	f.bus.setOwner(loginName, "")
	w.until(func(s State) bool { return s.Sessions == 0 })
	f.sessions["3"] = fakeSession{title: "sshd-session: pi [priv]"}
	f.sessions["4"] = fakeSession{title: "login -- pi"}
	f.set("session-3.scope", "active")
	f.set("session-4.scope", "active")
	if err := s.Start(t.Context()); err != nil { // makes it look again
		t.Fatal(err)
	}
	w.until(func(s State) bool { return s.Sessions == 1 })

	l, err := dial(t.Context(), f.bus.address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	// The title alone, set by whoever owns process 4711 here, is not enough to end somebody's session.
	found, err := l.sshScopes(t.Context(), func(uint32) bool { return false })
	if len(found) != 0 || err != nil {
		t.Errorf("%v, %v", found, err)
	}
	found, err = l.sshScopes(t.Context(), func(pid uint32) bool { return pid == 4711 })
	if len(found) != 1 || found[0].id != "3" || err != nil {
		t.Fatalf("%v, %v", found, err)
	}
	if err := l.endScope(t.Context(), found[0], true); err != nil {
		t.Fatal(err)
	}
	if f.calls("StopUnit session-3.scope") != 1 || f.calls("KillUnit session-3.scope") != 1 || f.calls("StopUnit session-4.scope") != 0 {
		t.Error("not that scope, or not it alone")
	}
	if err := s.EndSessions(t.Context()); err != nil { // its end makes it look again
		t.Fatal(err)
	}
	w.until(func(s State) bool { return s.Sessions == 0 })
}

// A bus that is restarted meanwhile costs a moment, nothing else.
func TestBusIsRestartedWhileSessionsEnd(t *testing.T) {
	f := newFakeSystemd(t)
	f.sessions["7"] = fakeSession{remote: true, service: "sshd"}
	cut := false
	f.intercept(func(k call) bool {
		if k.method != loginIface+".TerminateSession" || cut {
			return false
		}
		cut = true
		f.bus.mu.Lock()
		for c := range f.bus.conns {
			c.net.Close()
		}
		f.bus.mu.Unlock()
		return true
	})
	ended, err := terminateSessions(t.Context(), f.bus.address, time.Millisecond, time.Hour)
	if len(ended) != 1 || ended[0].ID != "7" || err != nil {
		t.Fatalf("%v, %v", ended, err)
	}
}
