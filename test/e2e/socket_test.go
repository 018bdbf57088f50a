//go:build e2e

package e2e

import (
	"testing"

	"keyswitchd/internal/status"
)

// With socket activation the key opens the socket; sshd comes with the first connection and goes with the key.
func TestSocketActivation(t *testing.T) {
	begin(t)
	key := freshKey(t, "")
	t.Cleanup(func() {
		turn(t, false)
		exchange(t, "ssh.socket", "ssh.service")
	})
	exchange(t, "ssh.service", "ssh.socket")
	byWay := func(open bool) condition {
		return statusIs("by the socket", func(s status.Status) bool {
			return s.Unit == "ssh.socket" && s.Open == open && (s.SSH == "active") == open && !s.Fault
		})
	}
	await(t, "closed, by the socket", all(silent(22), byWay(false)))
	if out, code := run(t, "systemctl", "start", "ssh.socket"); code == 0 || !contains(out, "Assertion failed") {
		t.Errorf("systemctl start ssh.socket with the key off: exit code %d: %s", code, out)
	}
	turn(t, true)
	await(t, "open, by the socket", all(listens(22), byWay(true), ledIs(true)))
	if pid := mainPID(t, "ssh.service"); pid != 0 {
		t.Errorf("sshd runs before anybody came: %d", pid)
	}
	if out, code := run(t, sshArgs(key, "id", "-un")...); code != 0 || out != "pi\n" {
		t.Errorf("ssh: exit code %d: %s", code, out)
	}
	s := logIn(t, key)
	await(t, "one session", statusIs("one session", func(s status.Status) bool { return s.Sessions == 1 && s.LED == "wink" }))
	sshd := mainPID(t, "ssh.service")
	if sshd == 0 {
		t.Error("no ssh.service serves the connection")
	}
	turn(t, false)
	await(t, "closed", all(silent(22), byWay(false), ledIs(false), gone(sshd), codeIs("key-off")))
	await(t, "the session ended", s.over)
}

// exchange enables one unit in place of another, with one daemon-reload: each takes seconds here.
func exchange(t *testing.T, off, on string) {
	t.Helper()
	must(t, "systemctl", "disable", "--no-reload", off)
	must(t, "systemctl", "enable", "--no-reload", on)
	must(t, "systemctl", "daemon-reload")
}
