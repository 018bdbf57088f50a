package hardening

import (
	"fmt"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// Each system call of Harden that changes a file fails in turn, as on a full disk, a read-only one and an immutable file. Then nothing has
// changed, or everything.
func TestFailedAtAnyCall(t *testing.T) {
	runtime.LockOSThread() // a tracer is a thread
	defer runtime.UnlockOSThread()
	key := newMachine(t).read("etc/ssh_host_ed25519_key")
	m := crashMachine(t, key)
	before := snapshot(t, m)
	total, _ := killAt(t, m.dir, 0)
	after := snapshot(t, m)
	errnos := []unix.Errno{unix.ENOSPC, unix.EROFS, unix.EPERM, unix.EIO}
	for k := 1; k <= total; k++ {
		errno := errnos[k%len(errnos)]
		m := crashMachine(t, key)
		_, code := trace(t, m.dir, func(call, _, tid int) func(int) {
			var regs unix.PtraceRegsAmd64
			if call != k || unix.PtraceGetRegsAmd64(tid, &regs) != nil {
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
		})
		what := fmt.Sprintf("call %d of %d failed with %s (exit code %d)", k, total, errno.Error(), code)
		if survived(t, what, m, before, after) {
			t.Errorf("%s: some files are changed and others not", what)
		}
	}
}
