package gpio

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pipeBoard is a board whose only line is a pipe.
type pipeBoard struct{ in Input }

func (b pipeBoard) OpenKey(KeyConfig) (Input, error)  { return b.in, nil }
func (b pipeBoard) OpenLED(LEDConfig) (Output, error) { return nil, errors.New("no LED") }

// processor is the processor time that the process (RUSAGE_SELF) or this thread (RUSAGE_THREAD) has used.
func processor(b *testing.B, who int) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(who, &u); err != nil {
		b.Error(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkKeyUnderChatter runs a key for 2 s on a line with 10,000 edges/s and reports what share of a core the process
// used, less the thread that makes the edges. The specification allows 5 %.
func BenchmarkKeyUnderChatter(b *testing.B) {
	const rate, length = 10000, 2 * time.Second
	for b.Loop() {
		p := newPipeLine(b)
		if _, err := unix.FcntlInt(p.kernel.Fd(), unix.F_SETPIPE_SZ, 4096); err != nil {
			b.Fatal(err)
		}
		var stop atomic.Bool
		kernel := make(chan [2]int) // microseconds, edges
		go func(fd int) {
			runtime.LockOSThread() // never unlocked: the thread ends with the goroutine, and its time is its own
			before, edges := processor(b, unix.RUSAGE_THREAD), 0
			for next := time.Now(); !stop.Load(); {
				if time.Now().Before(next) {
					continue
				}
				next = next.Add(time.Second / rate)
				var event [eventSize]byte
				stamp(&event)
				// A full pipe drops it, as the kernel's queue would drop another. At the end nobody reads any more.
				if _, err := unix.Write(fd, event[:]); err != nil && err != syscall.EAGAIN && err != syscall.EPIPE {
					b.Error(err)
					break
				}
				edges++
			}
			kernel <- [2]int{int((processor(b, unix.RUSAGE_THREAD) - before).Microseconds()), edges}
		}(int(nonblocking(b, p)))
		before := processor(b, unix.RUSAGE_SELF)
		ctx, cancel := context.WithTimeout(b.Context(), length)
		if err := NewKey(pipeBoard{newTestInput(b, p, false)}, testKey).Run(ctx, func(Reading) {}); err != nil {
			b.Error(err)
		}
		cancel()
		stop.Store(true)
		theirs := <-kernel
		ours := processor(b, unix.RUSAGE_SELF) - before - time.Duration(theirs[0])*time.Microsecond
		b.ReportMetric(100*ours.Seconds()/length.Seconds(), "%core")
		b.ReportMetric(float64(theirs[1])/length.Seconds(), "edges/s")
	}
}

// nonblocking returns the descriptor to write edges to.
func nonblocking(b *testing.B, p *pipeLine) uintptr {
	fd := p.kernel.Fd()
	if err := unix.SetNonblock(int(fd), true); err != nil {
		b.Fatal(err)
	}
	return fd
}
