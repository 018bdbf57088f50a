package gpio

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"periph.io/x/host/v3/gpioioctl"
)

// Figures of the kernel's edge queue.
const (
	eventSize   = 48 // struct gpio_v2_line_event, on 32 and 64 bits
	eventTime   = 0  // its timestamp_ns, of CLOCK_MONOTONIC
	eventOffset = 12 // its offset, which says whose edge it is
	queued      = 16 // edges that it keeps for each line of a request
)

// noSecond is the offset of no line.
const noSecond = -1

// edges waits for the edges of a requested line, without taking part in each.
//
// periph's LineSet.WaitForEdge reads one edge at a time from a file that Go's poller watches edge-triggered, so that every edge
// wakes the process, whether or not anyone waits: 10,000 edges/s cost 12 % of a PC's core. Here the poller watches
// an epoll instance instead, in which the line is armed for one event and then dead until it is armed again.
type edges struct {
	line  int      // the line's file descriptor, which is the LineSet's
	epoll *os.File // watches line
	raw   interface {
		Read(func(fd uintptr) bool) error
	}
}

// lineFD is the file descriptor of a LineSet, which periph keeps to itself.
func lineFD(ls *gpioioctl.LineSet) (int, error) {
	fd := reflect.ValueOf(ls).Elem().FieldByName("fd")
	if !fd.IsValid() || !fd.CanInt() || fd.Int() <= 0 {
		return 0, errors.New("gpio: finding the file descriptor of a periph LineSet: none there; build with the periph version of go.mod")
	}
	return int(fd.Int()), nil
}

func newEdges(line int) (*edges, error) {
	if err := unix.SetNonblock(line, true); err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	err = errors.Join(unix.SetNonblock(fd, true), // or Go's poller doesn't take it
		unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, line, &unix.EpollEvent{}))
	if err != nil {
		return nil, errors.Join(os.NewSyscallError("epoll_ctl", err), unix.Close(fd))
	}
	e := &edges{line: line, epoll: os.NewFile(uintptr(fd), "edges")}
	if e.raw, err = e.epoll.SyscallConn(); err != nil {
		return nil, errors.Join(err, e.epoll.Close())
	}
	return e, nil
}

// wait returns when edges are queued or the line is lost, after timeout (0: never), or with its error when ctx ends.
func (e *edges) wait(ctx context.Context, timeout time.Duration) error {
	var deadline time.Time
	if timeout > 0 {
		deadline = time.Now().Add(timeout)
	}
	if err := e.epoll.SetReadDeadline(deadline); err != nil {
		return err
	}
	var ending sync.WaitGroup
	ending.Add(1)
	stop := context.AfterFunc(ctx, func() {
		defer ending.Done()
		// It can only fail on a closed file, and then nobody waits.
		_ = e.epoll.SetReadDeadline(time.Unix(0, 1))
	})
	err := e.sleep()
	if stop() {
		ending.Done()
	}
	ending.Wait()
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return ctx.Err()
}

// sleep arms the line for one event, and has Go's poller wait for it.
func (e *edges) sleep() error {
	var failed error
	armed := false
	err := e.raw.Read(func(fd uintptr) bool {
		if !armed {
			armed = true
			failed = unix.EpollCtl(int(fd), unix.EPOLL_CTL_MOD, e.line, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT})
			if failed != nil {
				return true
			}
		}
		var event [1]unix.EpollEvent
		n, err := unix.EpollWait(int(fd), event[:], 0)
		if err != nil && err != unix.EINTR {
			failed = err
			return true
		}
		return n > 0
	})
	return errors.Join(os.NewSyscallError("epoll", failed), err)
}

// edge is what is known of the edges of one line since the last look.
type edge struct {
	moved bool
	age   time.Duration // of the last one
}

// take empties the kernel's queue of the key's line and of the one whose offset on the chip is second (noSecond: there is
// none). When the queue was full, the kernel has dropped the oldest edges, whosever they were.
func (e *edges) take(second int) (key, other edge, err error) {
	var events [2 * queued * eventSize]byte
	buf := events[:queued*eventSize]
	if second != noSecond {
		buf = events[:]
	}
	n, err := unix.Read(e.line, buf)
	for err == unix.EINTR {
		n, err = unix.Read(e.line, buf)
	}
	switch {
	case err == unix.EAGAIN:
		return edge{}, edge{}, nil
	case err != nil:
		return edge{}, edge{}, os.NewSyscallError("read", err)
	case n < eventSize:
		return edge{}, edge{}, fmt.Errorf("read: %w", io.ErrUnexpectedEOF)
	}
	// What the queue got meanwhile is for the next time.
	var clock unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &clock); err != nil {
		return edge{}, edge{}, os.NewSyscallError("clock_gettime", err)
	}
	for event := buf[:n]; len(event) >= eventSize; event = event[eventSize:] {
		at := int64(binary.NativeEndian.Uint64(event[eventTime:]))
		of := &key
		if int(binary.NativeEndian.Uint32(event[eventOffset:])) == second {
			of = &other
		}
		*of = edge{moved: true, age: time.Duration(clock.Nano() - at)}
	}
	return key, other, nil
}

// close ends the watching; the line itself is the LineSet's to close.
func (e *edges) close() error { return e.epoll.Close() }
