package hardening

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A mended file keeps what it had beside its text, and gets it back with it.
func TestAttributesStay(t *testing.T) {
	m := newMachine(t)
	m.write(guide, "Port 2222\n")
	m.write(dropIn, "PrintMotd no\n") // the admin's own, of that name
	note := func(name string) string {
		var buf [64]byte
		n, err := unix.Getxattr(m.path(name), "user.note", buf[:])
		if err != nil {
			return err.Error()
		}
		return string(buf[:n])
	}
	for _, name := range []string{guide, dropIn} {
		m.must(os.Chmod(m.path(name), 0o640))
		if err := unix.Setxattr(m.path(name), "user.note", []byte("mine"), 0); err != nil {
			t.Logf("%v: not tried here", err)
			return
		}
	}
	look := func(when string) {
		t.Helper()
		for _, name := range []string{guide, dropIn} {
			info, err := os.Stat(m.path(name))
			if err != nil || info.Mode().Perm() != 0o640 || note(name) != "mine" {
				t.Errorf("%s, %s: %v, %v, note %s", when, name, info.Mode(), err, note(name))
			}
		}
	}
	m.mustMend("50-guide.conf:1: commented out")
	look("mended")
	m.must(unix.Removexattr(m.path(guide), "user.note"))
	m.must(os.Chmod(m.path(guide), 0o600))
	m.mustRestore()
	look("restored")
}

// What chattr has shut is told with the command that opens it; nothing else is changed.
func TestImmutable(t *testing.T) {
	for name, c := range map[string]struct{ what, do string }{
		guide:               {"is immutable", "chattr -i "},
		"etc/sshd_config.d": {"is append-only", "chattr -a "},
		"backup":            {"is immutable", "chattr -i "},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.write("etc/sshd_config.d/40-port.conf", "Port 2224\n")
			m.write(guide, "Port 2222\n")
			m.must(os.Mkdir(m.o.Backup, 0o700))
			flag := unix.STATX_ATTR_IMMUTABLE
			if c.do == "chattr -a " {
				flag = unix.STATX_ATTR_APPEND
			}
			if err := setFlags(m.path(name), flag); err != nil {
				t.Logf("%v: not tried here", err)
				return
			}
			defer setFlags(m.path(name), 0)
			m.mustRefuse(m.path(name) + " " + c.what + "; " + c.do + m.path(name))
			if m.read(guide) != "Port 2222\n" || m.read("etc/sshd_config.d/40-port.conf") != "Port 2224\n" || m.read(dropIn) != "" {
				t.Error("something was changed")
			}
			m.must(setFlags(m.path(name), 0))
			m.mustMend("40-port.conf:1: commented out", "50-guide.conf:1: commented out")
			m.must(setFlags(m.path(name), flag))
			if _, err := Restore(t.Context(), m.o); err == nil || !strings.Contains(err.Error(), c.do+m.path(name)) {
				t.Errorf("restored: %v", err)
			}
			if name != "backup" && m.read(dropIn) == "" {
				t.Error("half of it was restored")
			}
			m.must(setFlags(m.path(name), 0))
			m.mustRestore()
		})
	}
}

// setFlags turns these on, or with 0 both off, as chattr does.
func setFlags(path string, flags int) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	has, err := unix.IoctlGetInt(int(file.Fd()), unix.FS_IOC_GETFLAGS)
	if err != nil {
		return err
	}
	return unix.IoctlSetPointerInt(int(file.Fd()), unix.FS_IOC_SETFLAGS, has&^(unix.STATX_ATTR_IMMUTABLE|unix.STATX_ATTR_APPEND)|flags)
}

// Somebody cleans /var/lib up, or brings /etc back from another day's backup: what is keyswitchd's can be told from the files alone.
func TestRestoreWithoutBackups(t *testing.T) {
	m := newMachine(t)
	m.write(guide, "Port 2222\nMatch User bob\nPasswordAuthentication yes")
	before := m.read(guide)
	m.mustHold()
	m.must(os.RemoveAll(m.o.Backup))
	if there, err := Hardened(m.o); !there || err != nil {
		t.Errorf("hardened: %v, %v", there, err)
	}
	m.write("etc/sshd_config.d/60-new.conf", "Port 2223\n") // mended without a record of the drop-in
	m.o.Force = true
	m.mustHold()
	for n := range 2 {
		if said := strings.Join(m.mustRestore(), "\n"); n == 0 && !strings.Contains(said, "50-guide.conf: has no backup any more") {
			t.Errorf("said:\n%s", said)
		}
		if m.read(guide) != before || m.read(dropIn) != "" || m.read("etc/sshd_config.d/60-new.conf") != "Port 2223\n" {
			t.Errorf("restored:\n%s\n%s\n%s", m.read(guide), m.read(dropIn), m.read("etc/sshd_config.d/60-new.conf"))
		}
	}
	if there, err := Hardened(m.o); there || err != nil {
		t.Errorf("hardened: %v, %v", there, err)
	}
}

// /etc is back as it was before keyswitchd, and the backups are of later: nothing is to be done, and nothing is.
func TestRestoreWhatIsBack(t *testing.T) {
	m := newMachine(t)
	m.write(guide, "Port 2222\n")
	m.mustHold()
	m.write(guide, "Port 2222\n")
	m.must(os.Remove(m.path(dropIn)))
	said := strings.Join(m.mustRestore(), "\n")
	if !strings.Contains(said, "50-guide.conf: is as it was") || !strings.Contains(said, "00-keyswitchd.conf: is not there, as before") {
		t.Errorf("said:\n%s", said)
	}
}

// The barrier is what it says: sshd does not start, and its own words say what to type.
func TestBarrier(t *testing.T) {
	m := newMachine(t)
	m.write(dropIn, barrier)
	out, err := runProgram(t.Context(), DefaultSSHD, "-t", "-f", m.path("etc/sshd_config"))
	if err == nil || !strings.Contains(out.stderr, "run--keyswitchd-harden--or--keyswitchd-restore") {
		t.Errorf("%v: %s", err, out.stderr)
	}
	m.mustMend()
	m.mustRestore()
	if m.read(dropIn) != "" {
		t.Errorf("restored:\n%s", m.read(dropIn))
	}
}

// Several at once: one after the other, and each comes to the same.
func TestHardenAtOnce(t *testing.T) {
	m := newMachine(t)
	m.write(guide, "Port 2222\n")
	m.write("etc/sshd_config.d/60-new.conf", "Port 2223\n")
	ends := make(chan error)
	for n := range 6 {
		go func() {
			o := m.o
			o.Force = true
			var err error
			if n%3 == 2 {
				_, err = Restore(t.Context(), o)
			} else {
				_, err = Harden(t.Context(), o)
			}
			if err != nil {
				err = fmt.Errorf("%d: %w", n, err)
			}
			ends <- err
		}()
	}
	var errs []error
	for range 6 {
		errs = append(errs, <-ends)
	}
	m.must(errors.Join(errs...))
	m.mustHold()
	m.mustRestore()
	if m.read(guide) != "Port 2222\n" || m.read("etc/sshd_config.d/60-new.conf") != "Port 2223\n" || m.read(dropIn) != "" {
		t.Errorf("restored:\n%s\n%s", m.read(guide), m.read(dropIn))
	}
}
