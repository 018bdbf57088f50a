//go:build virtualpi

package power

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keyswitchd/internal/status"
	"keyswitchd/test/virtualpi/vm"
)

// patience is how long a condition may take to come true; only a test that fails waits for so long.
const patience = 2 * time.Minute

const configFile = "/etc/keyswitchd/keyswitchd.toml"

// lookout is a unit that tries to connect to SSH from the first moments of the boot on. It is one process that starts no
// others: starting processes is what takes the time there.
const lookout = `[Unit]
Description=Tries to connect to SSH all the time
DefaultDependencies=no
Before=sysinit.target

[Service]
ExecStart=/bin/bash -c 'exec 9< <(exec sleep infinity); echo watching; while :; do { : <>/dev/tcp/127.0.0.1/22; } 2>/dev/null && echo answered; read -t 0.03 -u 9; done'
StandardOutput=journal
SyslogIdentifier=lookout
`

// tree is what is installed beside keyswitchd.
func tree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	units := filepath.Join(dir, "etc/systemd/system")
	wants := filepath.Join(units, "sysinit.target.wants")
	if err := os.MkdirAll(wants, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(units, "lookout.service"), []byte(lookout), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../lookout.service", filepath.Join(wants, "lookout.service")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func image(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("KEYSWITCHD_IMAGE")
	if dir == "" {
		dir = "../../build/image"
	}
	if _, err := os.Stat(filepath.Join(dir, "usr/sbin/keyswitchd")); err != nil {
		t.Fatalf("%v; make install DESTDIR=DIR makes it, KEYSWITCHD_IMAGE=DIR names it", err)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// pi is a virtual Pi and the test that looks at it.
type pi struct {
	*vm.Machine
	t *testing.T
}

func (p pi) run(args ...string) vm.Result {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := p.Run(ctx, args...)
	if err != nil {
		p.t.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
	return r
}

func (p pi) must(args ...string) string {
	p.t.Helper()
	r := p.run(args...)
	if r.Code != 0 {
		p.t.Fatalf("%s: exit code %d: %s%s", strings.Join(args, " "), r.Code, r.Stdout, r.Stderr)
	}
	return r.Stdout
}

func (p pi) turn(on bool) {
	p.t.Helper()
	if err := p.SetKey(context.Background(), on); err != nil {
		p.t.Fatal(err)
	}
}

func (p pi) configure(content string) {
	p.t.Helper()
	// The simulated chip takes a requested pull for somebody's hand on the key.
	if err := p.WriteFile(context.Background(), configFile, []byte(content+"[gpio]\npull = \"none\"\n"), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// await waits until the status is as it should be.
func (p pi) await(what string, right func(status.Status) bool) {
	p.t.Helper()
	var s status.Status
	for begun := time.Now(); time.Since(begun) < patience; time.Sleep(100 * time.Millisecond) {
		r := p.run("/usr/sbin/keyswitchd", "--status", "--json")
		s = status.Status{}
		if err := json.Unmarshal([]byte(r.Stdout), &s); err != nil {
			p.t.Fatalf("--status --json: %v: %s%s", err, r.Stdout, r.Stderr)
		}
		if right(s) && s.Exit() == r.Code {
			return
		}
	}
	p.t.Fatalf("%s: not within %s: the status is %+v; the journal:\n%s", what, patience, s,
		p.run("journalctl", "-b", "--no-pager", "-u", "keyswitchd", "-u", "ssh.service", "-u", "ssh.socket").Stdout)
}

func isOpen(s status.Status) bool {
	return s.Key == "on" && s.Open && s.SSH == "active" && s.LED == "solid" && s.Code == "key-on" && s.Hardening.Verified
}

func isClosed(code, key string) func(status.Status) bool {
	return func(s status.Status) bool {
		return s.Key == key && s.Code == code && !s.Open && s.SSH == "inactive" && s.LED == "dark" && !s.Fault
	}
}

// opened waits until SSH is open and the LED lit, and sees that the lookout got its answer.
func (p pi) opened() {
	p.t.Helper()
	p.await("open", isOpen)
	p.led(true)
	for begun := time.Now(); p.answers() == 0; time.Sleep(100 * time.Millisecond) {
		if time.Since(begun) > patience {
			p.t.Fatal("the lookout gets no answer although SSH is open: it sees nothing")
		}
	}
}

// neverOpen sees that SSH has not been open for a moment since the machine was switched on.
func (p pi) neverOpen() {
	p.t.Helper()
	if n := p.answers(); n != 0 {
		p.t.Errorf("the lookout was answered %d times", n)
	}
	for _, unit := range []string{"ssh.service", "ssh.socket"} {
		out := p.must("systemctl", "show", "-p", "ActiveEnterTimestampMonotonic,ActiveState", unit)
		if !strings.Contains(out, "ActiveEnterTimestampMonotonic=0\n") || !strings.Contains(out, "ActiveState=inactive\n") {
			p.t.Errorf("%s was active: %s", unit, out)
		}
	}
	if out := p.run("journalctl", "-b", "-q", "--no-pager", "-g", "Server listening").Stdout; out != "" {
		p.t.Errorf("sshd listened: %s", out)
	}
	p.led(false)
}

// answers counts the connections that the lookout was granted in this boot.
func (p pi) answers() int {
	p.t.Helper()
	out := p.run("journalctl", "-b", "-q", "--no-pager", "-o", "cat", "-t", "lookout").Stdout
	if !strings.Contains(out, "watching\n") {
		p.t.Fatalf("the lookout does not watch: %q: %s", out, p.run("systemctl", "status", "lookout").Stdout)
	}
	return strings.Count(out, "answered\n")
}

func (p pi) led(want bool) {
	p.t.Helper()
	lit, err := p.LED(context.Background())
	if err == nil && lit != want {
		err = fmt.Errorf("the LED is lit: %t, want %t", lit, want)
	}
	if err != nil {
		p.t.Error(err)
	}
}
