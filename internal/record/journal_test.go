package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// journald is a socket of our own in the place of the real one.
type journald struct {
	t    *testing.T
	path string
	fd   int
}

func newJournald(t *testing.T) *journald {
	t.Helper()
	j := &journald{t: t, path: filepath.Join(t.TempDir(), "socket"), fd: -1}
	t.Cleanup(j.stop)
	return j
}

func (j *journald) start() {
	j.t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		j.t.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: j.path}); err != nil {
		j.t.Fatal(err)
	}
	j.fd = fd
}

func (j *journald) stop() {
	if j.fd >= 0 {
		unix.Close(j.fd)
		unix.Unlink(j.path)
		j.fd = -1
	}
}

// read returns what came so far.
func (j *journald) read() (entries []map[string]string) {
	j.t.Helper()
	buf := make([]byte, 1<<20)
	for {
		n, _, err := unix.Recvfrom(j.fd, buf, 0)
		if errors.Is(err, unix.EAGAIN) {
			return entries
		}
		if err != nil {
			j.t.Fatal(err)
		}
		e, err := parse(string(buf[:n]))
		if err != nil {
			j.t.Fatal(err)
		}
		entries = append(entries, e)
	}
}

// parse reads an entry as https://systemd.io/JOURNAL_NATIVE_PROTOCOL/ says.
func parse(s string) (map[string]string, error) {
	e := map[string]string{}
	for s != "" {
		line, rest, ok := strings.Cut(s, "\n")
		if !ok {
			return nil, fmt.Errorf("no line end after %q", s)
		}
		name, value, short := strings.Cut(line, "=")
		if !short {
			if len(rest) < 8 {
				return nil, fmt.Errorf("no length after %q", name)
			}
			n := int(binary.LittleEndian.Uint64([]byte(rest[:8])))
			if len(rest) < 8+n+1 || rest[8+n] != '\n' {
				return nil, fmt.Errorf("%s: the length %d is wrong", name, n)
			}
			value, rest = rest[8:8+n], rest[8+n+1:]
		}
		if _, twice := e[name]; twice {
			return nil, fmt.Errorf("%s twice", name)
		}
		e[name], s = value, rest
	}
	return e, nil
}

func logTo(t *testing.T, j *journald) (*slog.Logger, *Handler) {
	t.Helper()
	h, err := newNative(j.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return slog.New(h), h
}

func messages(entries []map[string]string) (all []string) {
	for _, e := range entries {
		all = append(all, e["MESSAGE"])
	}
	return all
}

// A journal that is frozen, with its socket full: nobody waits for it, what comes meanwhile is kept in order and told later.
func TestFrozenJournalHoldsNobodyUp(t *testing.T) {
	j := newJournald(t)
	j.start()
	synctest.Test(t, func(t *testing.T) {
		log, h := logTo(t, j)
		defer h.Close()
		n := 0
		for ; h.sink.lateLen() < lateMax; n++ {
			log.Info(fmt.Sprint("entry ", n))
		}
		for range 3 {
			log.Info("too much")
		}
		first := j.read()
		if len(first) == 0 || first[0]["KEYSWITCHD_AT"] != "" {
			t.Fatalf("the first %d entries came as %v", len(first), first)
		}
		time.Sleep(lastAgain)
		synctest.Wait()
		all := append(first, j.read()...)
		for len(all) < n+1 { // the queue is shorter than what is late
			time.Sleep(lastAgain)
			synctest.Wait()
			more := j.read()
			if len(more) == 0 {
				t.Fatalf("%d of %d entries came: %q", len(all), n+1, messages(all))
			}
			all = append(all, more...)
		}
		for i := range n {
			if all[i]["MESSAGE"] != fmt.Sprint("entry ", i) {
				t.Fatalf("entry %d is %q", i, all[i]["MESSAGE"])
			}
		}
		if at := all[n-1]["KEYSWITCHD_AT"]; at == "" {
			t.Error("a late entry doesn't say when it was made")
		}
		if last := all[n]; last["KEYSWITCHD_LOST"] != "3" || last["MESSAGE_ID"] != Lost.ID {
			t.Errorf("what is missing is told as %v", last)
		}
		log.Info("as before")
		if now := j.read(); len(now) != 1 || now[0]["MESSAGE"] != "as before" || now[0]["KEYSWITCHD_AT"] != "" {
			t.Errorf("afterwards: %v", now)
		}
	})
}

func (s *sink) lateLen() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.late)
}

// A journal that is stopped and started again, or not there at first, loses nothing of what is said meanwhile.
func TestJournalStoppedAndStarted(t *testing.T) {
	j := newJournald(t)
	synctest.Test(t, func(t *testing.T) {
		log, h := logTo(t, j)
		defer h.Close()
		log.Info("before it was there")
		j.start()
		time.Sleep(2 * firstAgain)
		synctest.Wait()
		if got := messages(j.read()); fmt.Sprint(got) != "[before it was there]" {
			t.Fatalf("got %q", got)
		}
		j.stop()
		log.Info("one")
		log.Info("two")
		time.Sleep(10 * lastAgain)
		j.start()
		log.Info("three") // nothing overtakes
		if got := messages(j.read()); fmt.Sprint(got) != "[one two three]" {
			t.Fatalf("got %q", got)
		}
		time.Sleep(2 * lastAgain)
		synctest.Wait()
		h.sink.mu.Lock()
		defer h.sink.mu.Unlock()
		if h.sink.trying {
			t.Error("something still wakes up although nothing is late")
		}
	})
}

// The end of the daemon doesn't wait for the journal either: the end is what closes SSH.
func TestCloseDoesNotWait(t *testing.T) {
	j := newJournald(t)
	synctest.Test(t, func(t *testing.T) {
		log, h := logTo(t, j)
		log.Info("late")
		began := time.Now()
		h.Close()
		h.Close()
		if took := time.Since(began); took > 0 {
			t.Errorf("closing took %s", took)
		}
		log.Info("after the end") // must not use what may be somebody else's descriptor by now
	})
}

func TestCloseTellsWhatIsLate(t *testing.T) {
	j := newJournald(t)
	log, h := logTo(t, j)
	log.Info("late")
	j.start()
	h.Close()
	if got := messages(j.read()); fmt.Sprint(got) != "[late]" {
		t.Errorf("got %q", got)
	}
}

func TestHugeEntry(t *testing.T) {
	j := newJournald(t)
	j.start()
	log, _ := logTo(t, j)
	huge := strings.Repeat("ä", 1<<20)
	log.Info("huge", "err", huge)
	got := j.read()
	if len(got) != 1 || len(got[0]["KEYSWITCHD_ERR"]) != valueMax || !strings.HasPrefix(got[0]["MESSAGE"], "huge: ää") {
		t.Fatalf("got %d entries", len(got))
	}
}

// The first entry of a process is waited for until it was read, and no other.
func TestLinger(t *testing.T) {
	j := newJournald(t)
	j.start()
	synctest.Test(t, func(t *testing.T) {
		log, h := logTo(t, j)
		defer h.Close()
		took := func() time.Duration {
			began := time.Now()
			h.Linger()
			return time.Since(began)
		}
		if d := took(); d != 0 {
			t.Errorf("nothing said: %s", d)
		}
		log.Info("first")
		if d := took(); d < lingerMax || d > lingerMax+2*lingerStep {
			t.Errorf("not read: %s", d)
		}
		j.read()
		if d := took(); d > lingerStep {
			t.Errorf("read: %s", d)
		}
		log.Info("second")
		if d := took(); d != 0 {
			t.Errorf("known already: %s", d)
		}
	})
}
