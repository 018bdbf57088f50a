package interlock

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// withUnits is machine with a few further units, of which vnc.service and cockpit.socket run.
func withUnits(t *testing.T) (Machine, *fakeSystemd) {
	m, sd := machine(t)
	sd.active["vnc.service"], sd.active["cockpit.socket"] = true, true
	can := func(u Unit) Unit { u.Load, u.CanStart, u.CanStop = "loaded", true, true; return u }
	sd.units = map[string]Unit{
		"keyswitchd.service": can(Unit{Needs: []string{"sysinit.target", "polkit.service"}, After: []string{"basic.target", "dbus.service"}}),
		"polkit.service":     can(Unit{Needs: []string{"dbus.socket"}}),
		"basic.target":       can(Unit{After: []string{"sockets.target", "early.service"}}),
		"sockets.target":     can(Unit{After: []string{"cockpit.socket", "echo.socket"}}),
		"vnc.service":        can(Unit{}),
		"cockpit.socket":     can(Unit{Triggers: []string{"cockpit.service"}}),
		"cockpit.service":    can(Unit{TriggeredBy: []string{"cockpit.socket"}}),
		"echo.socket":        can(Unit{Accept: true, Triggers: []string{"echo@1-127.0.0.1:7.service"}}),
		"early.service":      can(Unit{}),
		"dbus.socket":        can(Unit{}),
		"sshd.service":       can(Unit{ID: "ssh.service"}),
		"manual.service":     {Load: "loaded", CanStart: true},
		"masked.service":     {Load: "masked"},
		"tossh.socket":       can(Unit{Triggers: []string{"ssh.service"}}),
	}
	return m, sd
}

func TestUnitsThatAreRefused(t *testing.T) {
	for _, c := range []struct{ unit, why string }{
		{"nowhere.service", "no such unit"},
		{"rpi-connect.service", "user managers"},
		{"masked.service", "masked"},
		{"manual.service", "by hand"},
		{"cockpit.service", "cockpit.socket starts it"},
		{"dbus.socket", "keyswitchd itself needs it"},
		{"early.service", "keyswitchd starts after it"},
		{"sshd.service", "another name of ssh.service"},
		{"ssh.service", "anyway"},
		{"keyswitchd-end-sessions.service", "anyway"},
		{"tossh.socket", "ssh.service"},
		{"../../x.service", "no name"},
		{"a@.service", "no name"},
		{"a.service\n[Service]", "no name"},
		{"a.timer", "no name"},
		{`a";polkit.spawn(["x"]);".service`, "no name"},
	} {
		t.Run(c.unit, func(t *testing.T) {
			m, sd := withUnits(t)
			user := filepath.Join(m.Root, "usr/lib/systemd/user/rpi-connect.service")
			if err := errors.Join(os.MkdirAll(filepath.Dir(user), 0o755), os.WriteFile(user, nil, 0o644)); err != nil {
				t.Fatal(err)
			}
			before := tree(t, m)
			err := m.Arm(t.Context(), sd, []string{"vnc.service", c.unit}, m.pretendHarden)
			if err == nil || !strings.Contains(err.Error(), c.why) || !strings.Contains(err.Error(), "nothing was changed") {
				t.Fatalf("got %v, want it to say %q", err, c.why)
			}
			if after := tree(t, m); !reflect.DeepEqual(after, before) {
				t.Errorf("after:\n%v\nbefore:\n%v", after, before)
			}
			if armed, err := m.Armed(); armed || err != nil || len(sd.did) > 0 {
				t.Errorf("armed %v, %v; did %q", armed, err, sd.did)
			}
		})
	}
}

func TestArmAndDisarmUnits(t *testing.T) {
	m, sd := withUnits(t)
	before := tree(t, m)
	arm := func(units ...string) {
		t.Helper()
		if err := m.Arm(t.Context(), sd, units, m.pretendHarden); err != nil {
			t.Fatal(err)
		}
	}
	dropIns := func(want ...string) {
		t.Helper()
		for _, unit := range []string{"vnc.service", "cockpit.socket", "cockpit.service", "echo.socket", "echo@.service"} {
			_, err := os.Stat(m.place(unit))
			if (err == nil) != slices.Contains(want, unit) {
				t.Errorf("drop-in of %s: %v, want them for %q", unit, err, want)
			}
		}
	}
	rule := func(want string) {
		t.Helper()
		text, err := os.ReadFile(m.Rule)
		if (want == "") != errors.Is(err, os.ErrNotExist) || !strings.Contains(string(text), "var units = "+want+";") && want != "" {
			t.Errorf("rule %s, %v; want %s", text, err, want)
		}
	}
	arm("vnc.service", "cockpit.socket")
	dropIns("vnc.service", "cockpit.socket", "cockpit.service")
	rule(`["vnc.service","cockpit.socket","cockpit.service"]`)
	// The key is off, so nothing runs.
	sd.active["vnc.service"], sd.active["cockpit.socket"], sd.active["ssh.service"] = false, false, false

	arm("cockpit.socket", "echo.socket") // one is gone and runs as before, one is new
	dropIns("cockpit.socket", "cockpit.service", "echo.socket", "echo@.service")
	rule(`["cockpit.socket","cockpit.service","echo.socket"]`)
	if !sd.active["vnc.service"] || sd.active["cockpit.socket"] {
		t.Errorf("active %v", sd.active)
	}
	if text, err := os.ReadFile(m.place("echo@.service")); err != nil || !strings.Contains(string(text), "PartOf=echo.socket\n") {
		t.Errorf("%s, %v", text, err)
	}
	arm()
	dropIns()
	rule("")
	if !sd.active["cockpit.socket"] {
		t.Error("a socket that is no longer guarded does not run as before")
	}
	arm("vnc.service", "echo.socket")
	sd.active["vnc.service"], sd.active["echo.socket"] = false, true // as after a restart of the daemon, the key on
	if err := m.Disarm(t.Context(), sd); err != nil {
		t.Fatal(err)
	}
	if after := tree(t, m); !reflect.DeepEqual(after, before) {
		t.Errorf("after:\n%v\nbefore:\n%v", after, before)
	}
	if !sd.active["vnc.service"] || sd.active["echo.socket"] || !sd.active["ssh.service"] {
		t.Errorf("active %v", sd.active)
	}
}

// Whatever fails on the way, nothing stays of the further units either.
func TestArmUnitsFails(t *testing.T) {
	for _, fail := range []string{"reload", "enable keyswitchd.service", "restart keyswitchd.service"} {
		m, sd := withUnits(t)
		before := tree(t, m)
		sd.fail = fail
		if err := m.Arm(t.Context(), sd, []string{"vnc.service", "echo.socket"}, m.pretendHarden); err == nil {
			t.Fatal("armed")
		}
		if after := tree(t, m); !reflect.DeepEqual(after, before) {
			t.Errorf("%s fails: after:\n%v\nbefore:\n%v", fail, after, before)
		}
	}
}

// Arming again that is cut short has not forgotten what to put back.
func TestArmUnitsAgainFails(t *testing.T) {
	m, sd := withUnits(t)
	before := tree(t, m)
	if err := m.Arm(t.Context(), sd, []string{"vnc.service"}, m.pretendHarden); err != nil {
		t.Fatal(err)
	}
	sd.fail = "reload"
	if err := m.Arm(t.Context(), sd, []string{"echo.socket"}, m.pretendHarden); err == nil {
		t.Fatal("armed")
	}
	if err := m.Disarm(t.Context(), sd); err != nil {
		t.Fatal(err)
	}
	if after := tree(t, m); !reflect.DeepEqual(after, before) {
		t.Errorf("after:\n%v\nbefore:\n%v", after, before)
	}
}

// One that was uninstalled, or doesn't start any more, doesn't keep the machine armed.
func TestDisarmWithAUnitThatIsGone(t *testing.T) {
	m, sd := withUnits(t)
	if err := m.Arm(t.Context(), sd, []string{"vnc.service", "cockpit.socket"}, m.pretendHarden); err != nil {
		t.Fatal(err)
	}
	delete(sd.units, "vnc.service")
	sd.active["cockpit.socket"], sd.fail = false, "start cockpit.socket"
	if err := m.Disarm(t.Context(), sd); err == nil || !strings.Contains(err.Error(), "cockpit.socket") {
		t.Errorf("got %v", err)
	}
	if armed, err := m.Armed(); armed || err != nil {
		t.Errorf("armed %v, %v", armed, err)
	}
	if slices.Contains(sd.did, "start vnc.service") {
		t.Error("a unit that is gone was started")
	}
}

func TestSomebodyElsesRuleStays(t *testing.T) {
	m, sd := withUnits(t)
	if err := os.WriteFile(m.Rule, []byte("// mine\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	before := tree(t, m)
	if err := m.Arm(t.Context(), sd, []string{"vnc.service"}, m.pretendHarden); err == nil || !strings.Contains(err.Error(), "move it away") {
		t.Errorf("got %v", err)
	}
	if after := tree(t, m); !reflect.DeepEqual(after, before) {
		t.Errorf("after:\n%v\nbefore:\n%v", after, before)
	}
}
