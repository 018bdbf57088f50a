//go:build e2e

package e2e

import (
	"testing"

	"keyswitchd/internal/status"
)

// winking: somebody is logged in, and everything says so.
func winking(sessions int) condition {
	return all(listens(22), statusIs("open with sessions", func(s status.Status) bool {
		return s.Open && s.LED == "wink" && s.Sessions == sessions && s.Code == "key-on"
	}))
}

// The LED winks while somebody is logged in, and with sessions = "end" the key ends the session.
func TestSessionEndsWithTheKey(t *testing.T) {
	begin(t)
	key := freshKey(t, "")
	turn(t, true)
	await(t, "open", opened())
	s := logIn(t, key)
	await(t, "one session", winking(1))
	countDark(t, 2)
	if err := s.echo("still there"); err != nil {
		t.Error(err)
	}
	turn(t, false)
	await(t, "closed", shut())
	await(t, "the session ended", s.over)
}

// With sessions = "keep" those who are in stay, and nobody else gets in. The change takes effect without a restart, and
// without anything happening to the open SSH.
func TestSessionsMayStay(t *testing.T) {
	begin(t)
	key := freshKey(t, "")
	turn(t, true)
	await(t, "open", opened())
	s := logIn(t, key)
	await(t, "one session", winking(1))
	sshd, daemon := mainPID(t, "ssh.service"), daemonPID(t)
	configureAndReload(t, "sessions = \"keep\"\n")
	if now := mainPID(t, "ssh.service"); now != sshd {
		t.Errorf("reloading the daemon changed sshd's process: %d, was %d", now, sshd)
	}
	if now := daemonPID(t); now != daemon {
		t.Errorf("reloading changed the daemon's process: %d, was %d", now, daemon)
	}
	turn(t, false)
	await(t, "closed, one session left", all(silent(22), ledIs(false), statusIs("closed", func(s status.Status) bool {
		return s.Key == "off" && !s.Open && s.SSH == "inactive" && s.LED == "dark" && s.Sessions == 1 && !s.Fault
	})))
	if err := s.echo("still there"); err != nil {
		t.Errorf("with sessions = \"keep\": %v", err)
	}
	if _, code := run(t, sshArgs(key, "true")...); code != 255 {
		t.Errorf("a new login while the key is off: exit code %d, want 255", code)
	}
	s.in.Close() // it leaves by itself
	await(t, "nobody left", shut())
}

// A configuration with a mistake in it changes nothing but the status.
func TestBadReloadChangesNothing(t *testing.T) {
	begin(t)
	freshKey(t, "") // nobody having one would be a problem, too
	turn(t, true)
	await(t, "open", opened())
	sshd := mainPID(t, "ssh.service")
	configureAndReload(t, "sesions = \"keep\"\n")
	await(t, "the problem told", statusIs("open with a problem", func(s status.Status) bool {
		return s.Open && !s.Fault && len(s.Problems) == 1 && contains(s.Problems[0], "not reloaded", configFile, "sesions", "sessions")
	}))
	if now := mainPID(t, "ssh.service"); now != sshd {
		t.Errorf("sshd's process is %d, was %d", now, sshd)
	}
}
