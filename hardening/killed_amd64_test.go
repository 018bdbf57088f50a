//go:build crash

// Only here: make test runs these tests on the other machines in qemu-user, which has no ptrace(2).

package hardening

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// What the child of these tests is to do, and where its machine is.
const (
	crashDir = "KEYSWITCHD_TEST_CRASH_DIR"
	crashDo  = "KEYSWITCHD_TEST_CRASH_DO"
)

// crash is a deed that is cut short. With half of each of them, sshd would do what neither the old nor the new files say.
type crash struct {
	name string
	do   string // harden or restore
	// everyCall: not only those that change what a name stands for.
	everyCall bool
	lay       func(m *machine)
}

var crashes = []crash{
	{"first", "harden", true, func(m *machine) { m.layCrash(m.include()) }},
	{"without Include", "harden", false, func(m *machine) { m.layCrash("Include " + m.path("etc/more/*.conf") + "\n") }},
	{"again", "harden", false, layAgain},
	{"restore", "restore", true, func(m *machine) { m.layCrash(m.include()); m.mustHold() }},
	{"restore without Include", "restore", false, func(m *machine) { m.layCrash("Include " + m.path("etc/more/*.conf") + "\n"); m.mustHold() }},
	{"restore what was edited", "restore", false, func(m *machine) { layAgain(m); m.mustHold() }},
}

// layAgain has been hardened; then somebody edited two files, and the drop-in is as it should be.
func layAgain(m *machine) {
	m.layCrash(m.include())
	m.mustHold()
	for _, name := range []string{"00-a.conf", "50-guide.conf"} {
		m.write("etc/sshd_config.d/"+name, m.read("etc/sshd_config.d/"+name)+"\nAllowUsers bob\nMatch User carol\nPasswordAuthentication yes\n")
	}
}

// layCrash makes three files that have to be mended; modes and text must come back. The backups are as many as are kept.
func (m *machine) layCrash(include string) {
	m.write("etc/sshd_config", "Port 1022\n"+include+m.stock())
	for _, dir := range []string{"etc/sshd_config.d", "etc/more"} {
		m.write(dir+"/00-a.conf", "# mine\r\nPort 2222\r\nX11Forwarding no\r\n")
		m.write(dir+"/50-guide.conf", "AllowUsers bob\nMatch User carol\nX11Forwarding yes")
		m.write(dir+"/90-nothing.txt", "not read\n")
		m.must(os.Chmod(m.path(dir+"/00-a.conf"), 0o600))
	}
	m.must(os.Mkdir(m.o.Backup, 0o700))
	for n := range keptChanges {
		m.write("backup/"+changeName(n+1), "{}")
	}
}

func (c crash) machine(t *testing.T, key string) *machine {
	t.Helper()
	m := &machine{t: t, dir: c.dir(t)}
	m.o = crashOptions(m.dir)
	for _, dir := range []string{"etc/sshd_config.d", "etc/more"} {
		m.must(os.MkdirAll(m.path(dir), 0o755))
	}
	m.write("etc/ssh_host_ed25519_key", key)
	m.must(os.Chmod(m.path("etc/ssh_host_ed25519_key"), 0o600))
	c.lay(m)
	return m
}

// dir is in memory for all but the first: the others need no disk that is told to be quick about it.
func (c crash) dir(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "keyswitchd-test-")
	if err != nil || c.name == crashes[0].name {
		return homeDir(t)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func crashOptions(dir string) Options {
	o := Options{Policy: DefaultPolicy(), ConfigFile: filepath.Join(dir, "etc/sshd_config"), DropIn: filepath.Join(dir, dropIn),
		ResultFile: filepath.Join(dir, "run/result.json"), Backup: filepath.Join(dir, "backup")}
	o.Policy.Port, o.Policy.AllowUsers = 10022, []string{"pi"}
	return o
}

// snapshot is every file of etc with mode and owner.
func snapshot(t *testing.T, m *machine) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, pattern := range []string{"etc/sshd_config", "etc/sshd_config.d/*", "etc/sshd_config.d/.*", "etc/more/*", "etc/more/.*"} {
		names, err := filepath.Glob(m.path(pattern))
		m.must(err)
		for _, name := range names {
			info, err := os.Lstat(name)
			m.must(err)
			text, err := os.ReadFile(name)
			m.must(err)
			s := info.Sys().(*syscall.Stat_t)
			out[strings.TrimPrefix(name, m.dir)] = fmt.Sprint(info.Mode(), s.Uid, s.Gid, " ") + strings.ReplaceAll(string(text), m.dir, "DIR")
		}
	}
	return out
}

// refusal is the view of an sshd that does not start.
const refusal = "refused"

// view is what sshd makes of the files as they lie there.
func view(t *testing.T, m *machine) string {
	t.Helper()
	var all []string
	for _, user := range []string{"pi", "root", "carol"} {
		c := Connection{User: user, Host: "h", Addr: "192.0.2.1", LAddr: "192.0.2.2", LPort: 10022}
		out, err := runProgram(t.Context(), DefaultSSHD, "-T", "-f", m.o.ConfigFile, "-C", c.Spec())
		if err != nil {
			return refusal
		}
		all = append(all, strings.ReplaceAll(out.stdout, m.dir, "DIR"))
	}
	return strings.Join(all, "\n")
}

// TestCrashChild is the process that is killed; run by itself it has nothing to do.
func TestCrashChild(t *testing.T) {
	dir := os.Getenv(crashDir)
	var err error
	switch os.Getenv(crashDo) {
	case "harden":
		_, err = Harden(t.Context(), crashOptions(dir))
	case "restore":
		_, err = Restore(t.Context(), crashOptions(dir))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// states are what a deed leads from and to.
type states struct {
	before, after     map[string]string
	viewed            map[string]string // what sshd makes of a snapshot, asked once for each
	old, new          string
	hardened, settled map[string]string // what harden and restore lead to from either
}

// reference does the deed undisturbed.
func (c crash) reference(t *testing.T, key string, which map[uint64]bool) (s states, calls int) {
	t.Helper()
	m := c.machine(t, key)
	s.viewed = map[string]string{}
	s.before, s.old = snapshot(t, m), view(t, m)
	calls, ended := killAt(t, m.dir, c.do, which, 0)
	s.after, s.new = snapshot(t, m), view(t, m)
	if !ended || calls < 10 || same(s.before, s.after) || s.old == s.new || s.old == refusal || s.new == refusal {
		t.Fatalf("undisturbed it ends: %v, with %d calls, from %q to %q", ended, calls, s.before, s.after)
	}
	s.hardened, s.settled = s.before, s.after
	if c.do == "harden" {
		m.mustRestore()
		s.hardened, s.settled = s.after, snapshot(t, m)
	}
	return s, calls
}

func same(a, b map[string]string) bool { return maps.Equal(a, b) }

// A deed is killed before each system call that changes a file. What lies on the disk then is, to sshd, the old state, the new one, or
// none that it starts with; the next harden or restore gets to its end, and nothing that ever stood there is lost.
func TestKilledAtAnyCall(t *testing.T) {
	for _, c := range crashes {
		t.Run(c.name, func(t *testing.T) {
			runtime.LockOSThread() // a tracer is a thread
			defer runtime.UnlockOSThread()
			key := newMachine(t).read("etc/ssh_host_ed25519_key")
			which := naming
			if c.everyCall {
				which = changing
			}
			s, calls := c.reference(t, key, which)
			counts := map[string]int{}
			for k := 1; k <= calls; k++ {
				m := c.machine(t, key)
				if _, ended := killAt(t, m.dir, c.do, which, k); ended {
					continue // one call less this time
				}
				counts[s.survived(t, fmt.Sprintf("killed at %d", k), m, k%2 == 0)]++
			}
			t.Logf("%d calls: %v", calls, counts)
			for _, what := range []string{"old", "new", refusal} {
				if counts[what] == 0 {
					t.Errorf("it was never %s", what)
				}
			}
		})
	}
}

// survived checks the machine of a deed that came to grief, and says which state sshd sees there.
func (s states) survived(t *testing.T, what string, m *machine, hardenFirst bool) string {
	t.Helper()
	now := snapshot(t, m)
	maps.DeleteFunc(now, func(name, _ string) bool { return strings.Contains(name, ".new-") }) // sshd doesn't read it
	key := fmt.Sprint(now)
	if s.viewed[key] == "" {
		s.viewed[key] = view(t, m)
	}
	seen := ""
	switch s.viewed[key] {
	case s.old:
		seen = "old"
	case s.new:
		seen = "new"
	case refusal:
		seen = refusal
	default:
		t.Errorf("%s: sshd sees neither the old nor the new state:\n%q", what, now)
	}
	if hardenFirst {
		if _, err := Harden(t.Context(), m.o); err != nil {
			t.Errorf("%s, then: %v", what, err)
		}
		if now := snapshot(t, m); !same(now, s.hardened) {
			t.Errorf("%s, then hardened: %q", what, now)
		}
	}
	m.mustRestore()
	if now := snapshot(t, m); !same(now, s.settled) {
		t.Errorf("%s, then restored: %q\nwant %q", what, now, s.settled)
	}
	if n, err := filepath.Glob(m.path("backup/" + changeFiles + "*")); err != nil || len(n) > keptChanges+1 { // the next one puts it right
		t.Errorf("%s: %d changes are kept, %v", what, len(n), err)
	}
	if left, err := filepath.Glob(m.path("backup/.*")); err != nil || len(left) > 0 && hardenFirst {
		t.Errorf("%s: left behind: %q, %v", what, left, err)
	}
	os.RemoveAll(m.dir)
	return seen
}
