package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// journalSocket is where journald takes entries. Its path is the same in a journal namespace (LogNamespace= in systemd.exec(5)).
const journalSocket = "/run/systemd/journal/socket"

const (
	// valueMax is how much of a field's value is sent, in bytes. With it, an entry fits into a datagram.
	valueMax = 8 << 10
	// lateMax is how many entries wait for a journal that takes none. More than that are counted only.
	lateMax = 128
	// firstAgain and lastAgain bound the wait before those are tried again; it doubles.
	firstAgain = time.Second
	lastAgain  = time.Minute
	// lingerMax and lingerStep bound Linger.
	lingerMax  = time.Second
	lingerStep = 50 * time.Millisecond
)

// An entry is in the journal's own protocol: https://systemd.io/JOURNAL_NATIVE_PROTOCOL/
type entry []byte

func (e *entry) add(name, value string) {
	if len(value) > valueMax {
		value = strings.ToValidUTF8(value[:valueMax], "")
	}
	*e = append(*e, name...)
	if strings.Contains(value, "\n") {
		*e = append(*e, '\n')
		*e = binary.LittleEndian.AppendUint64(*e, uint64(len(value)))
	} else {
		*e = append(*e, '=')
	}
	*e = append(*e, value...)
	*e = append(*e, '\n')
}

// sink gives entries to the journal. It does so itself because journal.Send of go-systemd waits, for ever if need be, when
// journald's socket is full: whoever can fill that (every account on the machine) or freeze journald would hold up the daemon.
type sink struct {
	to *unix.SockaddrUnix
	fd int // held from the start: a daemon that has run out of file descriptors can still say so

	mu     sync.Mutex
	late   []entry // in their order; nothing overtakes them
	lost   int     // dropped since the journal last took something
	sent   int     // what the journal has taken
	trying bool    // again runs
	closed bool
	stop   chan struct{}
	wait   sync.WaitGroup
}

func newSink(socket string) (*sink, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("record: a socket for the journal: %w", err)
	}
	return &sink{to: &unix.SockaddrUnix{Name: socket}, fd: fd, stop: make(chan struct{})}, nil
}

// send gives the journal an entry that was made at the time at, or keeps it for later. It never waits.
func (s *sink) send(e entry, at time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.New("record: an entry for the journal after the end")
	}
	s.flush()
	if len(s.late) == 0 {
		again, err := s.try(e)
		if err == nil {
			return nil
		}
		if !again {
			s.lost++
			return err
		}
	}
	if len(s.late) >= lateMax {
		s.lost++
		return nil
	}
	e.add("KEYSWITCHD_AT", at.Format(time.RFC3339Nano)) // the journal's own time will be a later one
	s.late = append(s.late, e)
	if !s.trying {
		s.trying = true
		s.wait.Go(s.again)
	}
	return nil
}

// flush sends what is late, as far as the journal takes it.
func (s *sink) flush() {
	for len(s.late) > 0 {
		if again, err := s.try(s.late[0]); err != nil && again {
			return
		}
		s.late = s.late[1:]
	}
	s.late = nil
	if s.lost == 0 {
		return
	}
	var e entry
	e.add("MESSAGE", "the journal could not take everything: "+strconv.Itoa(s.lost)+" entries are missing before this one")
	e.add("PRIORITY", "4")
	e.add("SYSLOG_IDENTIFIER", "keyswitchd")
	e.add("MESSAGE_ID", Lost.ID)
	e.add("KEYSWITCHD_KIND", Lost.Name)
	e.add("KEYSWITCHD_LOST", strconv.Itoa(s.lost))
	if _, err := s.try(e); err == nil {
		s.lost = 0
	}
}

// try sends e if the journal takes it at once. Again says that it may do so later.
func (s *sink) try(e entry) (again bool, err error) {
	for {
		// The name is looked up each time, so a new journald is as good as the old one.
		err = unix.Sendto(s.fd, e, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, s.to)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err == nil {
		s.sent++
		return false, nil
	}
	err = fmt.Errorf("record: giving an entry to the journal: %w", err)
	return !errors.Is(err, unix.EMSGSIZE), err
}

// again runs while something is late: an idle daemon wakes nobody.
func (s *sink) again() {
	for wait := firstAgain; ; wait = min(2*wait, lastAgain) {
		timer := time.NewTimer(wait)
		select {
		case <-s.stop:
			timer.Stop()
			return
		case <-timer.C:
		}
		s.mu.Lock()
		s.flush()
		done := len(s.late) == 0
		s.trying = !done
		s.mu.Unlock()
		if done {
			return
		}
	}
}

// linger waits until journald has read what it was given, if that is the first entry of this process.
func (s *sink) linger() {
	s.mu.Lock()
	first := s.sent == 1 && !s.closed
	s.mu.Unlock()
	if !first {
		return
	}
	for end := time.Now().Add(lingerMax); time.Now().Before(end); time.Sleep(lingerStep) {
		if unread, err := unix.IoctlGetInt(s.fd, unix.SIOCOUTQ); err != nil || unread == 0 {
			break
		}
	}
	time.Sleep(lingerStep) // read is not yet looked up
}

func (s *sink) close() {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed = true
	close(s.stop)
	s.mu.Unlock()
	s.wait.Wait()
	s.flush()
	unix.Close(s.fd)
}
