//go:build virtualpi

package vm

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// awaitEnd returns when the process behind a pidfd has ended.
func awaitEnd(t *testing.T, pidfd *os.File) {
	t.Helper()
	defer pidfd.Close()
	for {
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd.Fd()), Events: unix.POLLIN}}, -1)
		if err == nil {
			return
		}
		if err != unix.EINTR {
			t.Fatalf("%s: %v", pidfd.Name(), err)
		}
	}
}
