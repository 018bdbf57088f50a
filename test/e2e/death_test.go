//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"keyswitchd/internal/status"
)

// However the daemon ends, SSH closes and the LED goes dark. Here it may not come back, so that nothing is missed, and its
// watchdog is in more of a hurry.
func TestDaemonsEndCloses(t *testing.T) {
	begin(t)
	dropIn(t, "keyswitchd.service", "[Service]\nRestart=no\nWatchdogSec=6\n")
	must(t, "systemctl", "restart", "keyswitchd")
	for _, end := range []struct {
		name   string
		do     func(t *testing.T, pid int)
		reason string
	}{
		{"kill -9", func(t *testing.T, pid int) { kill(t, pid, syscall.SIGKILL) }, "it failed (signal)"},
		{"frozen", func(t *testing.T, pid int) { kill(t, pid, syscall.SIGSTOP) }, "it failed (watchdog)"},
		{"stopped", func(t *testing.T, _ int) { must(t, "systemctl", "stop", "keyswitchd") }, "keyswitchd is not running"},
	} {
		t.Run(end.name, func(t *testing.T) {
			begin(t)
			turn(t, true)
			await(t, "open", opened())
			pid, sshd := daemonPID(t), mainPID(t, "ssh.service")
			end.do(t, pid)
			await(t, "the daemon and sshd gone, the LED dark", all(gone(pid), gone(sshd), silent(22), ledIs(false), absent(permitFile)))
			var out string
			var code int
			await(t, "the unit at rest", func() error { // led-off runs as part of it
				out, code = run(t, "keyswitchd", "--status")
				if !strings.Contains(out, end.reason) {
					return fmt.Errorf("--status does not say %q: %s", end.reason, out)
				}
				return nil
			})
			if code != status.ExitNotRunning || !strings.HasPrefix(out, "SSH is closed: ") {
				t.Errorf("--status: exit code %d, want %d: %s", code, status.ExitNotRunning, out)
			}
			if s := asJSON(t, status.ExitNotRunning); s["running"] != false || s["open"] != false || s["key"] != "unknown" {
				t.Errorf("--status --json: %v", s)
			}
			must(t, "systemctl", "start", "keyswitchd")
			await(t, "open again", opened())
		})
	}
}

// With the unit as it is, a daemon that died is back by itself, and then so is SSH.
func TestDaemonComesBack(t *testing.T) {
	begin(t)
	turn(t, true)
	await(t, "open", opened())
	pid, sshd := daemonPID(t), mainPID(t, "ssh.service")
	kill(t, pid, syscall.SIGKILL)
	await(t, "the daemon and sshd gone", all(gone(pid), gone(sshd)))
	await(t, "open again", opened())
}

// dropIn puts settings on a unit until the test ends, in /run, where nothing is armed.
func dropIn(t *testing.T, unit, content string) {
	t.Helper()
	dir := filepath.Join("/run/systemd/system", unit+".d")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
		turn(t, false)
		must(t, "systemctl", "daemon-reload")
		must(t, "systemctl", "restart", unit)
	})
	if err := os.WriteFile(filepath.Join(dir, "99-e2e.conf"), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	must(t, "systemctl", "daemon-reload")
}

func absent(path string) condition {
	return func() error {
		if !missing(path) {
			return fmt.Errorf("%s exists", path)
		}
		return nil
	}
}
