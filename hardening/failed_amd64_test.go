//go:build crash

package hardening

import (
	"fmt"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// Each system call of a deed that changes a file fails in turn, as on a full disk, a read-only one and an immutable file. Then nothing has
// changed, or everything.
func TestFailedAtAnyCall(t *testing.T) {
	for _, c := range crashes {
		if !c.everyCall {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			runtime.LockOSThread() // a tracer is a thread
			defer runtime.UnlockOSThread()
			key := newMachine(t).read("etc/ssh_host_ed25519_key")
			s, total := c.reference(t, key, changing)
			errnos := []unix.Errno{unix.ENOSPC, unix.EROFS, unix.EPERM, unix.EIO}
			for k := 1; k <= total; k++ {
				errno := errnos[k%len(errnos)]
				m := c.machine(t, key)
				_, code := trace(t, m.dir, c.do, changing, func(call, _, tid int) func(int) {
					if call != k {
						return nil
					}
					return failCall(t, tid, errno)
				})
				what := fmt.Sprintf("call %d of %d failed with %s (exit code %d)", k, total, errno.Error(), code)
				if seen := s.survived(t, what, m, k%2 == 0); seen == refusal {
					t.Errorf("%s: some files are changed and others not", what)
				}
			}
		})
	}
}

// failCall makes the call that a thread is about to make fail.
func failCall(t *testing.T, tid int, errno unix.Errno) func(int) {
	var regs unix.PtraceRegsAmd64
	if unix.PtraceGetRegsAmd64(tid, &regs) != nil {
		return nil
	}
	regs.Orig_rax = ^uint64(0) // no call at all
	if err := unix.PtraceSetRegsAmd64(tid, &regs); err != nil {
		t.Error(err)
	}
	return func(tid int) {
		if err := unix.PtraceGetRegsAmd64(tid, &regs); err != nil {
			t.Error(err)
		}
		regs.Rax = uint64(-int64(errno))
		if err := unix.PtraceSetRegsAmd64(tid, &regs); err != nil {
			t.Error(err)
		}
	}
}
