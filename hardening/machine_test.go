package hardening

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

const dropIn = "etc/sshd_config.d/00-keyswitchd.conf"

// machine is a directory laid out like /etc/ssh, for the real sshd of this machine.
type machine struct {
	t    testing.TB
	dir  string
	o    Options
	runs atomic.Int32 // programs run since it was last set to 0
}

// newMachine has Debian's sshd_config as far as it matters, and a host key.
func newMachine(t testing.TB) *machine {
	t.Helper()
	if os.Geteuid() == 0 { // ssh.service's RuntimeDirectory, which sshd run by root wants
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	m := &machine{t: t, dir: homeDir(t)}
	m.o = Options{
		Policy:     DefaultPolicy(),
		Source:     "/etc/keyswitchd/keyswitchd.toml",
		ConfigFile: m.path("etc/sshd_config"),
		DropIn:     m.path("etc/sshd_config.d/00-keyswitchd.conf"),
		ResultFile: m.path("run/result.json"),
		Backup:     m.path("backup"),
	}
	m.o.Policy.Port = 10022
	m.o.exec = func(ctx context.Context, path string, args ...string) (output, error) {
		m.runs.Add(1)
		return runProgram(ctx, path, args...)
	}
	if err := os.MkdirAll(m.path("etc/sshd_config.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	writeHostKey(t, m.path("etc/ssh_host_ed25519_key"))
	m.write("etc/sshd_config", m.include()+m.stock())
	return m
}

// homeDir is a temporary directory on a path that nobody else can write to, as StrictModes wants it:
// /tmp is none.
func homeDir(t testing.TB) string {
	t.Helper()
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(home, "keyswitchd-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (m *machine) path(name string) string { return filepath.Join(m.dir, name) }
func (m *machine) include() string         { return "Include " + m.path("etc/sshd_config.d/*.conf") + "\n" }
func (m *machine) stock() string {
	return "HostKey " + m.path("etc/ssh_host_ed25519_key") + `
KbdInteractiveAuthentication no
UsePAM yes
X11Forwarding yes
PrintMotd no
AcceptEnv LANG LC_*
Subsystem	sftp	internal-sftp
`
}

func (m *machine) write(name, text string) {
	m.t.Helper()
	if err := os.WriteFile(m.path(name), []byte(text), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) read(name string) string {
	m.t.Helper()
	text, err := os.ReadFile(m.path(name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		m.t.Fatal(err)
	}
	return string(text)
}

// harden runs Harden and checks what must be true of any outcome.
func (m *machine) harden() (Result, error) {
	m.t.Helper()
	m.runs.Store(0)
	r, err := Harden(m.t.Context(), m.o)
	if r.Verified != (err == nil) || r.Verified != (len(r.Problems) == 0) || r.At.IsZero() || r.Verified != (r.Digest != "") {
		m.t.Errorf("result and error contradict: %+v, %v", r, err)
	}
	if !m.o.CheckOnly {
		kept, readErr := ReadResult(m.o.ResultFile)
		if readErr != nil || kept.Verified != r.Verified || strings.Join(kept.Problems, "\n") != strings.Join(r.Problems, "\n") {
			m.t.Errorf("kept %+v, %v; want %+v", kept, readErr, r)
		}
	}
	left, globErr := filepath.Glob(m.path("etc/sshd_config.d/.*"))
	if globErr != nil || len(left) > 0 {
		m.t.Errorf("left behind: %v, %v", left, globErr)
	}
	return r, err
}

func (m *machine) mustHold() Result {
	m.t.Helper()
	r, err := m.harden()
	if err != nil {
		m.t.Fatal(err)
	}
	return r
}

// mustRefuse wants an error with each of the texts.
func (m *machine) mustRefuse(texts ...string) error {
	m.t.Helper()
	_, err := m.harden()
	if err == nil {
		m.t.Fatalf("hardened; want an error with %q", texts)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			m.t.Errorf("error is\n%v\nwant %q in it", err, text)
		}
	}
	return err
}

// mustMend wants the policy to hold after changes that are told with each of the texts; none means that only the drop-in is written. A second
// time there is nothing to do.
func (m *machine) mustMend(texts ...string) {
	m.t.Helper()
	r := m.mustHold()
	said := strings.Join(r.Changes, "\n")
	for _, text := range texts {
		if !strings.Contains(said, text) {
			m.t.Errorf("changes are\n%s\nwant %q in it", said, text)
		}
	}
	if len(r.Changes) != len(texts)+1 {
		m.t.Errorf("changes are\n%s\nwant %d", said, len(texts)+1)
	}
	m.o.Force = true
	if r := m.mustHold(); len(r.Changes) > 0 {
		m.t.Errorf("again: %q", r.Changes)
	}
	m.o.Force = false
}

func (m *machine) mustRestore() []string {
	m.t.Helper()
	said, err := Restore(m.t.Context(), m.o)
	if err != nil {
		m.t.Fatal(err)
	}
	return said
}

func (m *machine) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}
