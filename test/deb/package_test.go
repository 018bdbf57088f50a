//go:build e2e

package deb

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"keyswitchd/test/inside"
)

const (
	older = "/root/packages/older.deb"
	newer = "/root/packages/newer.deb"
)

// config has no pull, which the simulated chip would take for a hand on the key, and lets root log in with a key: the upgrade
// is done over SSH.
const config = "[gpio]\npull = \"none\"\n[hardening]\nroot-login = \"prohibit-password\"\n"

// patience bounds each wait. Nothing here depends on how fast the machine is.
const patience = 3 * time.Minute

// TestPackage is the life of a package, in one go: each step begins where the one before ended.
func TestPackage(t *testing.T) {
	if os.Getenv("VIRTUALPI") == "" {
		t.Fatal("this installs packages; run it in the virtual Pi (package comment)")
	}
	if err := inside.SetKey(false); err != nil {
		t.Fatal(err)
	}
	before, ssh := look(t, "/etc", "/usr", "/var/lib"), show(t, "ActiveState", "MainPID", "UnitFileState", "DropInPaths")

	install(t, older)
	if got := show(t, "ActiveState", "MainPID", "UnitFileState", "DropInPaths"); got != ssh {
		t.Errorf("installing changed SSH:\n%s\nbefore:\n%s", got, ssh)
	}
	if diff := different(before, look(t, "/etc"), "/etc", "/etc/keyswitchd", "/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/passwd-", "/etc/group-", "/etc/shadow-",
		"/etc/gshadow-", "/etc/subuid", "/etc/subgid", "/etc/.pwd.lock"); diff != "" {
		t.Errorf("installing changed /etc:\n%s", diff)
	}
	if out, err := run("systemctl", "is-enabled", "keyswitchd.service"); err == nil {
		t.Errorf("installing enabled the daemon: %s", out)
	}

	write(t, "/etc/keyswitchd/keyswitchd.toml", config)
	must(t, "keyswitchd", "arm", "--yes", "--even-if-locked-out")
	turn(t, true)
	login := freshLogin(t)
	first := version(t)

	// Through the very session that the upgrade might cut.
	args := slices.Concat(login, []string{"dpkg --force-confold -i " + newer + " && echo upgraded"})
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "upgraded") {
		t.Fatalf("upgrading over SSH: %v\n%s", err, out)
	}
	if second := version(t); second == first {
		t.Errorf("after the upgrade it is %s still", second)
	}
	listening(t, true)
	must(t, slices.Concat(login, []string{"true"})...)

	install(t, older)
	if back := version(t); back != first {
		t.Errorf("after the downgrade it is %s, want %s", back, first)
	}
	listening(t, true)
	turn(t, false)
	if out, err := run("systemctl", "start", "ssh.service"); err == nil {
		t.Errorf("SSH starts with the key off: %s", out)
	}

	must(t, "dpkg", "--remove", "keyswitchd")
	if got, want := show(t, "ActiveState", "UnitFileState", "DropInPaths"), drop(ssh, "MainPID"); got != want {
		t.Errorf("removing left SSH as\n%s\nbefore:\n%s", got, want)
	}
	listening(t, strings.Contains(ssh, "ActiveState=active"))
	must(t, "dpkg", "--purge", "keyswitchd")
	// The user and its group stay, as is usual; dpkg, systemd and the journal keep their own accounts; root's key is the test's.
	diff := different(before, look(t, "/etc", "/usr", "/var/lib"), "", "/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/passwd-", "/etc/group-", "/etc/shadow-",
		"/etc/gshadow-", "/etc/subuid", "/etc/subgid", "/etc/.pwd.lock", "/var/lib/dpkg", "/var/lib/systemd", "/usr/lib/udev/hwdb.bin", "/var/lib/private")
	if diff != "" {
		t.Errorf("purging left:\n%s", diff)
	}
}

// install installs a package as an administrator would who keeps his configuration.
func install(t *testing.T, file string) {
	t.Helper()
	must(t, "dpkg", "--force-confold", "-i", file)
}

func version(t *testing.T) string {
	t.Helper()
	out, err := run("keyswitchd", "--version")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// turn turns the key and waits for SSH to follow.
func turn(t *testing.T, on bool) {
	t.Helper()
	if err := inside.SetKey(on); err != nil {
		t.Fatal(err)
	}
	listening(t, on)
}

func listening(t *testing.T, want bool) {
	t.Helper()
	var l inside.Listeners
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		on, err := l.On(22)
		if err != nil {
			t.Fatal(err)
		}
		if on == want {
			return
		}
		if time.Now().After(end) {
			status, _ := run("keyswitchd", "status") // it exits other than 0 when closed
			t.Fatalf("port 22 listens: %v, want %v\n%s", on, want, status)
		}
	}
}

// freshLogin lets root in with a new key, and returns the command line that logs in.
func freshLogin(t *testing.T) []string {
	t.Helper()
	key := filepath.Join(t.TempDir(), "id")
	must(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	must(t, "install", "-d", "-m", "0700", "/root/.ssh")
	write(t, "/root/.ssh/authorized_keys", string(public))
	return []string{"ssh", "-F", "none", "-i", key, "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no",
		"-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "ServerAliveInterval=0", "root@127.0.0.1"}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func run(args ...string) (string, error) {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "PATH=/usr/sbin:/usr/bin:/sbin:/bin")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func must(t *testing.T, args ...string) {
	t.Helper()
	if out, err := run(args...); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// show is what systemd says of ssh.service.
func show(t *testing.T, properties ...string) string {
	t.Helper()
	out, err := run("systemctl", "show", "ssh.service", "-p", strings.Join(properties, ","))
	if err != nil {
		t.Fatalf("systemctl show: %v\n%s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func drop(text, property string) string {
	return strings.Join(slices.DeleteFunc(strings.Split(text, "\n"), func(l string) bool { return strings.HasPrefix(l, property+"=") }), "\n")
}

// look takes down every file below the folders: its kind, mode, owner and content.
func look(t *testing.T, folders ...string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, folder := range folders {
		err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
			if os.IsNotExist(err) {
				return nil // somebody's temporary file
			}
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return nil // likewise
			}
			st := info.Sys().(*syscall.Stat_t)
			seen := fmt.Sprintf("%v %d:%d", info.Mode(), st.Uid, st.Gid)
			switch {
			case info.Mode().IsRegular():
				content, err := os.ReadFile(path)
				if err != nil {
					return nil // likewise
				}
				seen += fmt.Sprintf(" %x", sha256.Sum256(content))
			case info.Mode()&fs.ModeSymlink != 0:
				to, _ := os.Readlink(path) // "" is as good a difference
				seen += " -> " + to
			}
			all[path] = seen
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// different lists what is not the same below a folder, but for some paths and what is below them.
func different(before, after map[string]string, below string, but ...string) string {
	var b strings.Builder
	paths := map[string]bool{}
	for _, m := range []map[string]string{before, after} {
		for path := range m {
			paths[path] = true
		}
	}
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		apart := slices.ContainsFunc(but, func(p string) bool { return path == p || strings.HasPrefix(path, p+"/") })
		if apart || !strings.HasPrefix(path, below) || before[path] == after[path] {
			continue
		}
		fmt.Fprintf(&b, "%s: %q, was %q\n", path, after[path], before[path])
	}
	return b.String()
}
