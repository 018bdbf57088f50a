package hardening

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"keyswitchd/internal/folder"
)

func TestDropInIsNoSurprise(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(m *machine) error
		want string
	}{
		"a symbolic link": {func(m *machine) error {
			m.write("victim", "mine\n")
			return os.Symlink(m.path("victim"), m.path(dropIn))
		}, "is a symbolic link; remove it"},
		"a dangling link": {func(m *machine) error { return os.Symlink("/nonexistent", m.path(dropIn)) }, "is a symbolic link; remove it"},
		"a hard link": {func(m *machine) error {
			m.write("victim", "mine\n")
			return os.Link(m.path("victim"), m.path(dropIn))
		}, "2 names"},
		"a directory": {func(m *machine) error { return os.Mkdir(m.path(dropIn), 0o755) }, "is not a regular file"},
		"a FIFO":      {func(m *machine) error { return syscall.Mkfifo(m.path(dropIn), 0o644) }, "is not a regular file"},
		"the folder is a link": {func(m *machine) error {
			return errors.Join(os.Rename(m.path("etc/sshd_config.d"), m.path("etc/real")), os.Symlink("real", m.path("etc/sshd_config.d")))
		}, "is a link or no directory"},
		"the folder is a file": {func(m *machine) error {
			return errors.Join(os.Remove(m.path("etc/sshd_config.d")), os.WriteFile(m.path("etc/sshd_config.d"), nil, 0o644))
		}, "is a link or no directory"},
		"the folder is gone":      {func(m *machine) error { return os.Remove(m.path("etc/sshd_config.d")) }, "no such file or directory"},
		"the folder is everyones": {func(m *machine) error { return os.Chmod(m.path("etc/sshd_config.d"), 0o777) }, "can be written by others"},
		"another file is everyones": {func(m *machine) error {
			m.write("etc/sshd_config.d/x.conf", "")
			return os.Chmod(m.path("etc/sshd_config.d/x.conf"), 0o666)
		}, "x.conf can be changed by others"},
		"another file is a FIFO":  {func(m *machine) error { return syscall.Mkfifo(m.path("etc/sshd_config.d/x.conf"), 0o644) }, "x.conf is not a regular file"},
		"another file is endless": {func(m *machine) error { return os.Symlink("/dev/zero", m.path("etc/sshd_config.d/x.conf")) }, "x.conf is not a regular file"},
		"another file is too large": {func(m *machine) error {
			m.write("etc/sshd_config.d/x.conf", "")
			return os.Truncate(m.path("etc/sshd_config.d/x.conf"), 100<<20)
		}, "x.conf is larger than"},
		"another file is gone": {func(m *machine) error { return os.Symlink("gone", m.path("etc/sshd_config.d/x.conf")) }, "x.conf: no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			if err := c.do(m); err != nil {
				t.Fatal(err)
			}
			m.mustRefuse(c.want)
			if victim := m.read("victim"); victim != "" && victim != "mine\n" {
				t.Errorf("the victim became:\n%s", victim)
			}
		})
	}
}

func TestResultFolder(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(m *machine) error
		want string
	}{
		"everyones": {func(m *machine) error {
			return errors.Join(os.Mkdir(m.path("run"), 0o777), os.Chmod(m.path("run"), 0o777))
		}, "can be written by others"},
		"a link": {func(m *machine) error {
			return errors.Join(os.Mkdir(m.path("r"), 0o755), os.Symlink("r", m.path("run")))
		}, "is a link or no directory"},
		"a file": {func(m *machine) error { m.write("run", ""); return nil }, "is a link or no directory"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			if err := c.do(m); err != nil {
				t.Fatal(err)
			}
			r, err := Harden(t.Context(), m.o)
			if err == nil || r.Verified || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%+v, %v; want %q", r, err, c.want)
			}
			if _, err := ReadResult(m.o.ResultFile); err == nil {
				t.Error("a result can be read there")
			}
		})
	}
}

func TestReadResult(t *testing.T) {
	m := newMachine(t)
	if _, err := ReadResult(m.path("etc/none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	for name, do := range map[string]func(file string) error{
		"everyones": func(f string) error { return os.Chmod(f, 0o646) },
		"a link":    func(f string) error { return errors.Join(os.Rename(f, f+"2"), os.Symlink(f+"2", f)) },
		"two names": func(f string) error { return os.Link(f, f+"2") },
		"not JSON":  func(f string) error { return os.WriteFile(f, []byte("verified"), 0o644) },
		"truncated": func(f string) error { return os.Truncate(f, 40) },
	} {
		m.mustHold()
		if err := do(m.o.ResultFile); err != nil {
			t.Fatal(err)
		}
		if r, err := ReadResult(m.o.ResultFile); err == nil || r.Verified {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		os.Remove(m.o.ResultFile + "2")
		os.Remove(m.o.ResultFile)
	}
}

// With nothing to change, /etc and /run are not written to: they may be read-only.
func TestUnchangedWritesNothing(t *testing.T) {
	m := newMachine(t)
	m.mustHold()
	long := time.Unix(1e9, 0)
	watched := []string{"etc/sshd_config.d", "etc", dropIn}
	for _, name := range append(watched, "run") {
		if err := os.Chtimes(m.path(name), long, long); err != nil {
			t.Fatal(err)
		}
	}
	check := func(names ...string) {
		t.Helper()
		for _, name := range names {
			if info, err := os.Stat(m.path(name)); err != nil || !info.ModTime().Equal(long) {
				t.Errorf("%s was written to (%v)", name, err)
			}
		}
	}
	m.mustHold()
	check(append(watched, "run")...)
	m.o.Force = true
	m.mustHold()
	check(watched...)
}

func TestSweep(t *testing.T) {
	m := newMachine(t)
	dir := m.path("etc/sshd_config.d")
	ours := folder.TemporaryPrefix("00-keyswitchd.conf") + strings.Repeat("A", 26)
	for _, name := range []string{ours, "~keep", "00-keyswitchd.conf.new-x"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m.mustHold()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 {
		t.Errorf("%v, %v", entries, err)
	}
}

// A second harden waits for the first, and gives up with its context.
func TestLock(t *testing.T) {
	m := newMachine(t)
	m.mustHold()
	f, err := folder.Open(m.path("run"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	release, err := f.Lock(t.Context(), "lock")
	if err != nil {
		t.Fatal(err)
	}
	m.o.Force = true
	short, cancel := context.WithCancel(t.Context())
	cancel()
	if r, err := Harden(short, m.o); !errors.Is(err, context.Canceled) || r.Verified || !strings.Contains(err.Error(), "waiting for whoever holds") {
		t.Errorf("%+v, %v", r, err)
	}
	done := make(chan error)
	go func() {
		_, err := Harden(t.Context(), m.o)
		done <- err
	}()
	release()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
