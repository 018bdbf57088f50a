//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"keyswitchd/internal/status"
)

type report struct {
	Checks   []string
	Findings []struct{ Check, Severity, Found, Mend string }
	LeftOut  []struct{ Check, Why string } `json:"left_out"`
}

func (r report) has(check, severity, found string) bool {
	for _, f := range r.Findings {
		if f.Check == check && f.Severity == severity && strings.Contains(f.Found, found) && f.Mend != "" {
			return true
		}
	}
	return false
}

func audit(t *testing.T, want int, before ...string) report {
	t.Helper()
	out, code := run(t, append(before, "keyswitchd", "audit", "--json")...)
	var r report
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("audit --json: %v: %s", err, out)
	}
	if code != want {
		t.Errorf("audit: exit code %d, want %d: %s", code, want, out)
	}
	return r
}

// On the machine as it is armed, the audit finds no way round the key; then it is given some.
func TestAudit(t *testing.T) {
	begin(t)
	freshKey(t, "")
	spare(t, "/etc/shadow")
	must(t, "usermod", "-p", "*", "root") // the virtual Pi's root has no password
	r := report{}
	out, _ := run(t, "keyswitchd", "audit", "--json")
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("audit --json: %v: %s", err, out)
	}
	for _, f := range r.Findings {
		if f.Severity == "critical" {
			t.Errorf("critical on a machine that is armed: %+v", f)
		}
	}
	if len(r.LeftOut) > 0 || len(r.Checks) < 10 {
		t.Errorf("left out with root: %v of %v", r.LeftOut, r.Checks)
	}
	if r := audit(t, exitAny(t, "runuser", "-u", "pi", "--"), "runuser", "-u", "pi", "--"); len(r.LeftOut) < 4 {
		t.Errorf("without root left out is only %v", r.LeftOut)
	}

	must(t, "sh", "-c", "echo pi:raspberry | chpasswd")
	write(t, "/etc/systemd/system/ssh.service.d/99-e2e.conf", "[Service]\nKillMode=process\n")
	write(t, "/etc/systemd/system/e2e-second.service", "[Service]\nExecStart=/usr/sbin/sshd -D -p 2222\n")
	t.Cleanup(func() {
		must(t, "systemctl", "stop", "e2e-second")
		must(t, "systemctl", "daemon-reload")
	})
	must(t, "systemctl", "daemon-reload")
	must(t, "systemctl", "start", "e2e-second")
	await(t, "a second sshd", listens(2222))
	r = audit(t, 1)
	for _, w := range []struct{ check, severity, found string }{
		{"passwords", "critical", "pi has a password that everybody tries"},
		{"interlock", "warning", "99-e2e.conf:2"},
		{"enablers", "critical", "e2e-second.service:2"},
		{"sockets", "critical", "sshd (e2e-second.service) listens on tcp 0.0.0.0:2222"},
	} {
		if !r.has(w.check, w.severity, w.found) {
			t.Errorf("not found: %v among %+v", w, r.Findings)
		}
	}
}

// exitAny runs the audit once to learn its exit code: 1 or 2, never 0 for somebody who can't see everything.
func exitAny(t *testing.T, before ...string) int {
	t.Helper()
	_, code := run(t, append(before, "keyswitchd", "audit", "--json")...)
	if code != 1 && code != 2 {
		t.Errorf("audit without root: exit code %d", code)
	}
	return code
}

// spare puts a file back after the test, with its mode and owner.
func spare(t *testing.T, path string) {
	t.Helper()
	must(t, "cp", "-a", path, path+".e2e")
	t.Cleanup(func() { must(t, "mv", path+".e2e", path) })
}

// Nobody has a key: arm refuses and says what to type, and at the turn of the key it is a problem in the status and no more.
func TestLockedOut(t *testing.T) {
	begin(t)
	const keys = "/home/pi/.ssh/authorized_keys"
	if err := os.Remove(keys); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	before, err := lookAround()
	if err != nil {
		t.Fatal(err)
	}
	if out, code := run(t, "keyswitchd", "arm", "--yes"); code != 1 || !contains(out, "nobody can log in", keys, "ssh-copy-id pi@", "--even-if-locked-out") {
		t.Errorf("arm: exit code %d, want 1: %s", code, out)
	}
	after, err := lookAround()
	if err != nil {
		t.Fatal(err)
	}
	if diff := before.diff(after); diff != "" {
		t.Errorf("arm refused, and changed:\n%s", diff)
	}
	told := func(want bool) condition {
		return all(opened(), statusIs("locked out", func(s status.Status) bool {
			return want == (len(s.Problems) == 1 && contains(s.Problems[0], "nobody can log in"))
		}))
	}
	turn(t, true)
	await(t, "open, with a problem", told(true))
	turn(t, false)
	await(t, "closed", shut())
	freshKey(t, "")
	turn(t, true)
	await(t, "open, without", told(false))
	must(t, "chmod", "0777", "/home/pi")
	t.Cleanup(func() { must(t, "chmod", "0755", "/home/pi") })
	turn(t, false)
	await(t, "closed", shut())
	turn(t, true)
	await(t, "open, with a problem again", all(opened(), statusIs("home", func(s status.Status) bool {
		return len(s.Problems) == 1 && contains(s.Problems[0], "/home/pi can be written by everybody", "chmod go-w /home/pi")
	})))
}
