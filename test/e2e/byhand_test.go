//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"keyswitchd/internal/status"
)

// With the key off nobody starts SSH, not even root, whatever the words.
func TestStartByHandIsRefused(t *testing.T) {
	begin(t)
	for _, words := range []string{
		"start ssh", "restart ssh", "reload-or-restart ssh.service", "start sshd", "start ssh.socket", "restart ssh.socket",
		"start sshd@7.service", "start --job-mode=ignore-dependencies ssh", "start --job-mode=ignore-requirements ssh.socket",
	} {
		out, code := run(t, append([]string{"systemctl"}, strings.Fields(words)...)...)
		// bookworm has no such template
		if code == 0 || !strings.Contains(out, "Assertion failed") && !strings.Contains(out, "sshd@7.service not found") {
			t.Errorf("systemctl %s: exit code %d: %s", words, code, out)
		}
		if err := silent(22)(); err != nil {
			t.Errorf("systemctl %s: %v", words, err)
		}
	}
	await(t, "closed as before", shut())
}

// Stopped by hand with the key on: the status says so and the LED doesn't lie; started by hand it is as before; and the next
// turn opens again.
func TestStoppedByHand(t *testing.T) {
	begin(t)
	stopped := all(silent(22), ledIs(false), statusIs("stopped by hand", func(s status.Status) bool {
		return s.Key == "on" && !s.Open && s.LED == "dark" && s.Code == "stopped-by-hand" && s.Advice != ""
	}))
	turn(t, true)
	await(t, "open", opened())
	must(t, "systemctl", "stop", "ssh")
	await(t, "stopped by hand", stopped)
	if out, code := run(t, "keyswitchd", "--status"); code != status.ExitClosed {
		t.Errorf("--status: exit code %d, want %d: %s", code, status.ExitClosed, out)
	}
	must(t, "systemctl", "start", "ssh")
	await(t, "open again", opened())
	must(t, "systemctl", "stop", "ssh")
	await(t, "stopped by hand again", stopped)
	turn(t, false)
	await(t, "closed", shut())
	turn(t, true)
	await(t, "open with the next turn", opened())
}

// sshd dies: keyswitchd starts it anew, hardened.
func TestSSHDKilled(t *testing.T) {
	begin(t)
	turn(t, true)
	await(t, "open", opened())
	sshd := mainPID(t, "ssh.service")
	kill(t, sshd, syscall.SIGKILL)
	await(t, "the old sshd gone", gone(sshd))
	await(t, "open again", opened())
	turn(t, false)
	await(t, "closed", shut())
}

func kill(t *testing.T, pid int, signal syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, signal); err != nil {
		t.Fatalf("signalling %d: %v", pid, err)
	}
}

// gone is the condition that a process has ended. Process numbers are not used again within a test.
func gone(pid int) condition {
	return func() error {
		if err := syscall.Kill(pid, 0); err == nil {
			return fmt.Errorf("process %d lives", pid)
		}
		return nil
	}
}

func contains(s string, parts ...string) bool {
	for _, part := range parts {
		if !strings.Contains(s, part) {
			return false
		}
	}
	return true
}
