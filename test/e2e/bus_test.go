//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// The bus is restarted while SSH is open. Whatever happens meanwhile, it ends true: as the key says.
func TestBusRestarted(t *testing.T) {
	for _, end := range []bool{true, false} {
		t.Run(map[bool]string{true: "key left on", false: "key turned off meanwhile"}[end], func(t *testing.T) {
			begin(t)
			t.Cleanup(func() {
				// logind does not come back to a new bus by itself (systemd supports no restart of it), and logins
				// without logind are no sessions.
				must(t, "systemctl", "restart", "systemd-logind.service")
			})
			turn(t, true)
			await(t, "open", opened())
			broker := mainPID(t, "dbus.service")
			must(t, "systemctl", "restart", "dbus.service")
			turn(t, end) // the daemon's connections are gone, and hardly back
			if now := mainPID(t, "dbus.service"); now == broker {
				t.Fatalf("the bus is the same process as before, %d", now)
			}
			if end {
				await(t, "open", opened())
			} else {
				await(t, "closed", shut())
			}
			// And the next turn works as ever.
			turn(t, !end)
			if end {
				await(t, "closed", shut())
			} else {
				await(t, "open", opened())
			}
		})
	}
}

// The daemon's user may do with systemd what the key needs, and nothing else.
func TestDaemonsUserIsBound(t *testing.T) {
	begin(t)
	manager := strings.Fields("runuser -u keyswitchd -- busctl call org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager")
	call := func(words ...string) (string, int) {
		return run(t, append(manager[:len(manager):len(manager)], words...)...)
	}
	for _, words := range [][]string{
		{"StartUnit", "ss", "systemd-tmpfiles-clean.service", "replace"},
		{"StopUnit", "ss", "systemd-logind.service", "replace"},
		{"RestartUnit", "ss", "ssh.service", "replace"},
		{"ReloadUnit", "ss", "ssh.service", "replace"},
		{"StopUnit", "ss", "keyswitchd-end-sessions.service", "replace"},
		{"StopUnit", "ss", "keyswitchd.service", "replace"},
		{"KillUnit", "ssi", "ssh.service", "all", "9"},
		{"SetUnitProperties", "sba(sv)", "ssh.service", "true", "1", "Description", "s", "mine"},
		{"EnableUnitFiles", "asbb", "1", "ssh.service", "false", "false"},
		{"MaskUnitFiles", "asbb", "1", "ssh.service", "true", "false"},
		{"StartTransientUnit", "ssa(sv)a(sa(sv))", "mine.service", "replace", "1", "Description", "s", "mine", "0"},
		{"Reload"},
		{"Reboot"},
	} {
		if out, code := call(words...); code == 0 || !contains(out, "denied") && !contains(out, "authentication required") {
			t.Errorf("%s as keyswitchd: exit code %d, want it denied: %s", words, code, out)
		}
	}
	if out, code := call("StopUnit", "ss", "ssh.service", "replace"); code != 0 {
		t.Errorf("StopUnit ssh.service as keyswitchd: exit code %d: %s", code, out)
	}
	// What the key needs, the key has to have said.
	if out, code := call("StartUnit", "ss", "ssh.service", "replace"); code != 0 {
		t.Errorf("StartUnit ssh.service as keyswitchd: exit code %d: %s", code, out)
	}
	await(t, "closed: the start that was asked for was refused", shut())
	if out, code := run(t, "runuser", "-u", "pi", "--", "busctl", "call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1",
		"org.freedesktop.systemd1.Manager", "StopUnit", "ss", "keyswitchd.service", "replace"); code == 0 {
		t.Errorf("pi stops the daemon: %s", out)
	}
	if out, code := run(t, "runuser", "-u", "pi", "--", "busctl", "call", "org.freedesktop.DBus", "/org/freedesktop/DBus",
		"org.freedesktop.DBus", "RequestName", "su", "org.keyswitchd1", "2"); code == 0 {
		t.Errorf("pi takes the daemon's name: %s", out)
	}
}
