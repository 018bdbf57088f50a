package inside

import (
	"time"

	"golang.org/x/sys/unix"
)

// Clock is CLOCK_MONOTONIC (clock_gettime(2)), by which two processes can compare. It stands still in a suspended machine and
// does not follow the calendar.
func Clock() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic(err) // it exists since Linux 2.6
	}
	return time.Duration(now.Nano())
}
