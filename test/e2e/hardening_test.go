//go:build e2e

package e2e

import (
	"os"
	"testing"

	"keyswitchd/internal/status"
)

const conflict = "/etc/ssh/sshd_config.d/10-e2e.conf"

// What contradicts the policy is commented out before SSH opens, with a line in the journal, and can be had back.
func TestConflictIsMended(t *testing.T) {
	begin(t)
	const text = "# a second door\nPort 2222\n"
	write(t, conflict, text)
	if out := must(t, "keyswitchd", "harden", "--diff"); !contains(out, conflict+":2", "+#keyswitchd# Port 2222") {
		t.Errorf("harden --diff: %s", out)
	}
	if now, err := os.ReadFile(conflict); err != nil || string(now) != text {
		t.Errorf("--diff has changed it: %v: %q", err, now)
	}
	turn(t, true)
	await(t, "open", opened())
	if err := all(listens(22), silent(2222))(); err != nil {
		t.Error(err)
	}
	if now, err := os.ReadFile(conflict); err != nil || !contains(string(now), "# a second door\n", "\n#keyswitchd# Port 2222\n") {
		t.Errorf("%v: it is %q", err, now)
	}
	if out := must(t, "journalctl", "--unit=ssh.service", "--no-pager", "--output=cat"); !contains(out, "changed: "+conflict+":2: commented out") {
		t.Errorf("the journal does not tell it: %s", out)
	}
	turn(t, false)
	await(t, "closed", shut())
	must(t, "keyswitchd", "restore")
	if now, err := os.ReadFile(conflict); err != nil || string(now) != text {
		t.Errorf("restored: %v: it is %q", err, now)
	}
}

// A configuration that isn't what the policy wants and can't be mended, here because it is a link: SSH doesn't start, whoever starts
// it, and the status names file and line. Once that is settled it opens, without a hand on the key.
func TestConflictRefusesTheStart(t *testing.T) {
	begin(t)
	door(t)
	turn(t, true)
	await(t, "refused", all(silent(22), silent(2222), statusIs("refused", func(s status.Status) bool {
		return s.Key == "on" && s.Fault && !s.Open && s.Code == "hardening-refused" && s.LED == "fast-blink" &&
			contains(s.Reason, conflict+":1", "symbolic link") && s.Advice != "" && !s.Hardening.Verified && len(s.Hardening.Problems) > 0
	})))
	countDark(t, 5)
	if out, code := run(t, "keyswitchd", "--status"); code != status.ExitFault || !contains(out, conflict+":1") {
		t.Errorf("--status: exit code %d, want %d: %s", code, status.ExitFault, out)
	}
	if out, code := run(t, "keyswitchd", "harden", "--check"); code != 1 || !contains(out, conflict+":1") {
		t.Errorf("harden --check: exit code %d, want 1: %s", code, out)
	}
	// It is tried again with growing intervals, not all the time.
	if out := must(t, "systemctl", "show", "-p", "NRestarts", "ssh"); out != "NRestarts=0\n" {
		t.Errorf("systemd starts sshd again by itself: %s", out)
	}
	if out, code := run(t, "systemctl", "start", "ssh"); code == 0 {
		t.Errorf("systemctl start ssh: it starts: %s", out)
	}
	if err := all(silent(22), silent(2222))(); err != nil {
		t.Error(err)
	}
	if err := os.Remove(conflict); err != nil {
		t.Fatal(err)
	}
	await(t, "open by itself", opened())
}

// door makes the conflicting file a link.
func door(t *testing.T) {
	t.Helper()
	const target = "/root/e2e-door"
	write(t, target, "Port 2222\n")
	if err := os.Symlink(target, conflict); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(conflict) })
}

// Reloading sshd hardens again. With a conflict that can't be mended it is refused, and sshd keeps what it has.
func TestConflictRefusesTheReload(t *testing.T) {
	begin(t)
	key := freshKey(t, "")
	turn(t, true)
	await(t, "open", opened())
	sshd := mainPID(t, "ssh.service")
	door(t)
	if out, code := run(t, "systemctl", "reload", "ssh"); code == 0 {
		t.Errorf("systemctl reload ssh: it is reloaded: %s", out)
	}
	if err := all(listens(22), silent(2222))(); err != nil {
		t.Error(err)
	}
	if now := mainPID(t, "ssh.service"); now != sshd {
		t.Errorf("sshd's process is %d, was %d", now, sshd)
	}
	if out, code := run(t, sshArgs(key, "true")...); code != 0 {
		t.Errorf("ssh: exit code %d: %s", code, out)
	}
	if err := os.Remove(conflict); err != nil {
		t.Fatal(err)
	}
	must(t, "systemctl", "reload", "ssh")
	await(t, "open", opened())
}

// The drop-in is keyswitchd's own: what is changed or removed there is back with the next start.
func TestDropInIsRestored(t *testing.T) {
	begin(t)
	const path = "/etc/ssh/sshd_config.d/00-keyswitchd.conf"
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func() error{
		"changed": func() error { return os.WriteFile(path, []byte("PermitRootLogin yes\n"), 0o644) },
		"removed": func() error { return os.Remove(path) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		turn(t, true)
		await(t, "open", opened())
		if now, err := os.ReadFile(path); err != nil || string(now) != string(want) {
			t.Errorf("%s: %v: it is %q, want %q", name, err, now, want)
		}
		turn(t, false)
		await(t, "closed", shut())
	}
}
