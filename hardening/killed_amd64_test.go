// Only here: make test runs these tests on the other machines in qemu-user, which has no ptrace(2).

package hardening

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// crashDir tells the child of TestKilledAtAnyCall where its machine is.
const crashDir = "KEYSWITCHD_TEST_CRASH_DIR"

// crashFiles are mended: one is commented in, one gets another line, one is the main file. The modes and the text must come back.
var crashFiles = map[string]string{
	"etc/sshd_config.d/00-a.conf":      "# mine\r\nPasswordAuthentication yes\r\nX11Forwarding no\r\n",
	"etc/sshd_config.d/50-guide.conf":  "DisallowUsers bob\nPort 2222",
	"etc/sshd_config.d/90-nothing.txt": "not read\n",
}

func crashMachine(t *testing.T, key string) *machine {
	t.Helper()
	m := &machine{t: t, dir: homeDir(t)}
	m.o = crashOptions(m.dir)
	for _, dir := range []string{"etc/sshd_config.d"} {
		if err := os.MkdirAll(m.path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	m.write("etc/ssh_host_ed25519_key", key)
	if err := os.Chmod(m.path("etc/ssh_host_ed25519_key"), 0o600); err != nil {
		t.Fatal(err)
	}
	m.write("etc/sshd_config", "Port 1022\n"+m.include()+m.stock())
	for name, text := range crashFiles {
		m.write(name, text)
	}
	if err := os.Chmod(m.path("etc/sshd_config.d/00-a.conf"), 0o600); err != nil {
		t.Fatal(err)
	}
	return m
}

func crashOptions(dir string) Options {
	o := Options{Policy: DefaultPolicy(), ConfigFile: filepath.Join(dir, "etc/sshd_config"), DropIn: filepath.Join(dir, dropIn),
		ResultFile: filepath.Join(dir, "run/result.json"), Backup: filepath.Join(dir, "backup")}
	o.Policy.Port = 10022
	return o
}

// snapshot is every file of etc with mode and owner.
func snapshot(t *testing.T, m *machine) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, pattern := range []string{"etc/sshd_config", "etc/sshd_config.d/*", "etc/sshd_config.d/.*"} {
		names, err := filepath.Glob(m.path(pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			info, err := os.Lstat(name)
			if err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			s := info.Sys().(*syscall.Stat_t)
			out[strings.TrimPrefix(name, m.dir)] = info.Mode().String() + string(rune('0'+s.Uid)) + string(rune('0'+s.Gid)) + " " + strings.ReplaceAll(string(text), m.dir, "DIR")
		}
	}
	return out
}

func same(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for name, text := range a {
		if b[name] != text {
			return false
		}
	}
	return true
}

// TestCrashChild is the process that is killed; run by itself it has nothing to do.
func TestCrashChild(t *testing.T) {
	if dir := os.Getenv(crashDir); dir != "" {
		if _, err := Harden(t.Context(), crashOptions(dir)); err != nil {
			t.Fatal(err)
		}
	}
}

// Harden is killed before each system call that changes a file. Each file must be the old or the new one, whole; the next Harden gets to
// the end; and what Restore puts back is the first state, whatever had happened.
func TestKilledAtAnyCall(t *testing.T) {
	runtime.LockOSThread() // a tracer is a thread
	defer runtime.UnlockOSThread()
	key := newMachine(t).read("etc/ssh_host_ed25519_key")
	m := crashMachine(t, key)
	before := snapshot(t, m)
	total, ended := killAt(t, m.dir, 0)
	if !ended || total < 30 {
		t.Fatalf("unkilled it ends: %v, with %d calls", ended, total)
	}
	after := snapshot(t, m)
	if len(after) != len(before)+1 || after["/etc/sshd_config.d/00-a.conf"] == before["/etc/sshd_config.d/00-a.conf"] {
		t.Fatalf("before %q, after %q", before, after)
	}
	mixed := 0
	for k := 1; k <= total; k++ {
		m := crashMachine(t, key)
		if _, ended := killAt(t, m.dir, k); ended {
			continue // one call less this time
		}
		if survived(t, fmt.Sprintf("killed at %d", k), m, before, after) {
			mixed++
		}
	}
	t.Logf("%d calls, at %d of them some files are changed and others not yet", total, mixed)
}

// survived checks the machine of a Harden that came to grief, and says whether some of its files were changed and others not.
func survived(t *testing.T, what string, m *machine, before, after map[string]string) bool {
	t.Helper()
	now := snapshot(t, m)
	for name, text := range now {
		if strings.Contains(name, ".new-") {
			delete(now, name) // sshd doesn't read it
		} else if text != before[name] && text != after[name] {
			t.Errorf("%s: %s is\n%s", what, name, text)
		}
	}
	for name := range before {
		if _, there := now[name]; !there {
			t.Errorf("%s: %s is gone", what, name)
		}
	}
	mixed := !same(now, before) && !same(now, after)
	if _, err := Harden(t.Context(), m.o); err != nil {
		t.Errorf("%s, then: %v", what, err)
	}
	if now := snapshot(t, m); !same(now, after) {
		t.Errorf("%s, then hardened: %q", what, slices.Sorted(maps.Keys(now)))
	}
	m.mustRestore()
	if now := snapshot(t, m); !same(now, before) {
		t.Errorf("%s, then restored: %q", what, now)
	}
	os.RemoveAll(m.dir)
	return mixed
}

// changing are the system calls that change files.
var changing = map[uint64]bool{unix.SYS_RENAMEAT2: true, unix.SYS_RENAMEAT: true, unix.SYS_UNLINKAT: true, unix.SYS_WRITE: true,
	unix.SYS_FSYNC: true, unix.SYS_FCHMOD: true, unix.SYS_FCHMODAT: true, unix.SYS_FCHOWN: true, unix.SYS_LINKAT: true, unix.SYS_MKDIRAT: true,
	unix.SYS_FTRUNCATE: true}

// killAt runs TestCrashChild and kills it at its k-th call that changes something, counted from 1. It returns the calls seen, and whether the
// child has ended by itself.
func killAt(t *testing.T, dir string, k int) (calls int, ended bool) {
	t.Helper()
	calls, code := trace(t, dir, func(call, pid, _ int) (atExit func(tid int)) {
		if call == k {
			unix.Kill(pid, unix.SIGKILL)
		}
		return nil
	})
	if k == 0 && code != 0 {
		t.Fatalf("unkilled it ends with %d", code)
	}
	return calls, code >= 0
}

// trace runs TestCrashChild and calls each before every system call that changes something; what it returns is called after that one.
// The code is the child's exit code, -1 if it was killed.
func trace(t *testing.T, dir string, each func(call, pid, tid int) (atExit func(tid int))) (calls, code int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestCrashChild$")
	cmd.Env = append(os.Environ(), crashDir+"="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	var ws unix.WaitStatus
	if _, err := unix.Wait4(pid, &ws, 0, nil); err != nil {
		t.Fatal(err)
	}
	if err := unix.PtraceSetOptions(pid, unix.PTRACE_O_TRACESYSGOOD|unix.PTRACE_O_TRACECLONE|unix.PTRACE_O_EXITKILL); err != nil {
		t.Fatal(err)
	}
	later := map[int]func(int){}
	for tid, signal := pid, 0; ; {
		err := unix.PtraceSyscall(tid, signal)
		if err != nil && !errors.Is(err, unix.ESRCH) {
			t.Fatal(err)
		}
		if tid, err = unix.Wait4(-1, &ws, unix.WALL, nil); err != nil {
			t.Fatal(err)
		}
		signal = 0
		switch {
		case tid == pid && ws.Exited():
			return calls, ws.ExitStatus()
		case tid == pid && ws.Signaled():
			return calls, -1
		case ws.Stopped() && ws.StopSignal() == unix.SIGTRAP|0x80:
			if f := later[tid]; f != nil {
				f(tid)
				delete(later, tid)
			} else if changes(tid) {
				calls++
				later[tid] = each(calls, pid, tid)
			}
		case ws.Stopped() && ws.StopSignal() != unix.SIGTRAP && ws.StopSignal() != unix.SIGSTOP:
			signal = int(ws.StopSignal())
		}
	}
}

// changes asks what the stopped thread is about to do (PTRACE_GET_SYSCALL_INFO, Linux 5.3).
func changes(tid int) bool {
	var info [88]byte
	n, _, errno := unix.Syscall6(unix.SYS_PTRACE, 0x420e, uintptr(tid), uintptr(len(info)), uintptr(unsafe.Pointer(&info[0])), 0, 0)
	if errno != 0 || n < 32 || info[0] != 1 { // 1: on the way in
		return false
	}
	nr := binary.NativeEndian.Uint64(info[24:])
	if nr == unix.SYS_OPENAT {
		return binary.NativeEndian.Uint64(info[48:])&unix.O_CREAT != 0
	}
	return changing[nr]
}
