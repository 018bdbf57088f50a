//go:build crash

// Only here: make test runs these tests on the other machines in qemu-user, which has no ptrace(2).

package hardening

import (
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// changing are the system calls that change files.
var changing = map[uint64]bool{unix.SYS_RENAMEAT2: true, unix.SYS_RENAMEAT: true, unix.SYS_UNLINKAT: true, unix.SYS_OPENAT: true, unix.SYS_WRITE: true,
	unix.SYS_FSYNC: true, unix.SYS_FCHMOD: true, unix.SYS_FCHMODAT: true, unix.SYS_FCHOWN: true, unix.SYS_LINKAT: true, unix.SYS_MKDIRAT: true,
	unix.SYS_FTRUNCATE: true, unix.SYS_FSETXATTR: true}

// naming are those that change what a name stands for, which is all that sshd sees.
var naming = map[uint64]bool{unix.SYS_RENAMEAT2: true, unix.SYS_RENAMEAT: true, unix.SYS_UNLINKAT: true, unix.SYS_LINKAT: true}

// killAt has TestCrashChild do something and kills it at its k-th call that changes something, counted from 1. It returns the calls seen, and whether the
// child has ended by itself.
func killAt(t *testing.T, dir, do string, which map[uint64]bool, k int) (calls int, ended bool) {
	t.Helper()
	calls, code := trace(t, dir, do, which, func(call, pid, _ int) (atExit func(tid int)) {
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

// trace runs TestCrashChild and calls each before every system call of these; what it returns is called after that one.
// The code is the child's exit code, -1 if it was killed.
func trace(t *testing.T, dir, do string, which map[uint64]bool, each func(call, pid, tid int) (atExit func(tid int))) (calls, code int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestCrashChild$")
	cmd.Env = append(os.Environ(), crashDir+"="+dir, crashDo+"="+do)
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
			} else if changes(tid, which) {
				calls++
				later[tid] = each(calls, pid, tid)
			}
		case ws.Stopped() && ws.StopSignal() != unix.SIGTRAP && ws.StopSignal() != unix.SIGSTOP:
			signal = int(ws.StopSignal())
		}
	}
}

// changes asks what the stopped thread is about to do (PTRACE_GET_SYSCALL_INFO, Linux 5.3).
func changes(tid int, which map[uint64]bool) bool {
	var info [88]byte
	n, _, errno := unix.Syscall6(unix.SYS_PTRACE, 0x420e, uintptr(tid), uintptr(len(info)), uintptr(unsafe.Pointer(&info[0])), 0, 0)
	if errno != 0 || n < 32 || info[0] != 1 { // 1: on the way in
		return false
	}
	nr := binary.NativeEndian.Uint64(info[24:])
	if nr == unix.SYS_OPENAT {
		return which[nr] && binary.NativeEndian.Uint64(info[48:])&unix.O_CREAT != 0
	}
	return which[nr]
}
