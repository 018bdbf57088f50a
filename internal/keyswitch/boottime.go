package keyswitch

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Boottime is CLOCK_BOOTTIME (clock_gettime(2)): the time while the machine is suspended counts, and setting the wall clock changes
// nothing. Package time would forget what a suspended machine slept through: a key would stay on for longer than max-on.
type Boottime struct {
	timer *os.File // timerfd_create(2) on CLOCK_BOOTTIME: fires at once after a suspend that went beyond the moment
	jumps *os.File // one on CLOCK_REALTIME that never fires, but is canceled whenever the wall clock is set
	c     chan error
	wait  sync.WaitGroup
}

// NewBoottime starts the clock. It wakes nobody while nothing is set.
func NewBoottime() (*Boottime, error) {
	b := &Boottime{c: make(chan error, 1)}
	var err error
	if b.timer, err = timerfd(unix.CLOCK_BOOTTIME, "boottime"); err != nil {
		return nil, err
	}
	if b.jumps, err = timerfd(unix.CLOCK_REALTIME, "realtime"); err != nil {
		return nil, errors.Join(err, b.timer.Close())
	}
	never := unix.ItimerSpec{Value: unix.Timespec{Sec: 1<<31 - 1}} // 2038 is what a 32-bit machine can say; if it fires then, little is lost
	if err := settime(b.jumps, unix.TFD_TIMER_ABSTIME|unix.TFD_TIMER_CANCEL_ON_SET, &never); err != nil {
		return nil, errors.Join(fmt.Errorf("keyswitch: watching for changes of the wall clock: %w", err), b.timer.Close(), b.jumps.Close())
	}
	b.wait.Go(func() { b.follow(b.timer) })
	b.wait.Go(func() { b.follow(b.jumps) })
	return b, nil
}

// timerfd is non-blocking, so that the runtime's poller waits for it, and no thread does.
func timerfd(clock int, name string) (*os.File, error) {
	fd, err := unix.TimerfdCreate(clock, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("keyswitch: making a timer on the %s clock: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

func settime(f *os.File, flags int, to *unix.ItimerSpec) error {
	conn, err := f.SyscallConn() // Fd would make it blocking
	if err != nil {
		return err
	}
	var set error
	if err := conn.Control(func(fd uintptr) { set = unix.TimerfdSettime(int(fd), flags, to, nil) }); err != nil {
		return err
	}
	return set
}

// follow tells each time that f fires, until it is closed.
func (b *Boottime) follow(f *os.File) {
	var count [8]byte
	for {
		_, err := f.Read(count[:])
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil && !errors.Is(err, syscall.ECANCELED) {
			b.broken(fmt.Errorf("keyswitch: waiting for the %s clock: %w", f.Name(), err))
			return
		}
		select {
		case b.c <- nil:
		default: // one that nobody has taken yet says as much
		}
	}
}

// broken tells err in the place of whatever nobody has taken yet.
func (b *Boottime) broken(err error) {
	for {
		select {
		case b.c <- err:
			return
		case <-b.c:
		}
	}
}

// Now implements Clock: the time since the machine was switched on.
func (b *Boottime) Now() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		panic(err) // Linux has had it since 2.6.39; without a clock the end of the daemon is the safe way
	}
	return time.Duration(t.Nano())
}

// Wall implements Clock.
func (b *Boottime) Wall() time.Time { return time.Now() }

// C implements Clock.
func (b *Boottime) C() <-chan error { return b.c }

// Wake implements Clock.
func (b *Boottime) Wake(at time.Duration, ok bool) error {
	var to unix.ItimerSpec // zero: disarmed
	if ok {
		to.Value = unix.NsecToTimespec(int64(max(at, 1)))
	}
	if err := settime(b.timer, unix.TFD_TIMER_ABSTIME, &to); err != nil {
		return fmt.Errorf("keyswitch: setting the timer: %w", err)
	}
	return nil
}

// Close implements Clock.
func (b *Boottime) Close() error {
	err := errors.Join(b.timer.Close(), b.jumps.Close())
	b.wait.Wait()
	return err
}
