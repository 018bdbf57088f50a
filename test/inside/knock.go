package inside

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// PermitFile is the permit.
	PermitFile = "/run/keyswitchd/permit"
	// sshGroup is there from before the first process of ssh.service until after its last one.
	sshGroup = "/sys/fs/cgroup/system.slice/ssh.service"
)

// Knock is one connection that the watcher was granted.
type Knock struct {
	Begin, End time.Duration // by Clock
	// Forbidden: from before Begin until after End there was no permit and nothing of ssh.service ran.
	Forbidden bool
}

// The rest after a connection that was granted: each costs sshd a process, so it grows while all are granted. It ends as soon as
// nobody listens.
const (
	firstRest = 60 * time.Millisecond
	lastRest  = 5 * time.Second
)

// watch is the second process: it tries to connect all the time, with a pause after each refusal, and tells when it could. It
// ends when its standard input does.
func watch(out io.Writer, pause time.Duration) int {
	stop := make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(stop)
	}()
	w, err := newWitness(filepath.Dir(PermitFile), filepath.Dir(sshGroup))
	if err != nil {
		fmt.Fprintln(os.Stderr, "watch:", err)
		return 1
	}
	tell := json.NewEncoder(out)
	if err := tell.Encode(Knock{}); err != nil { // it is watching from here on
		return 1
	}
	// Addresses of its own: sshd shuts out whoever connects and never logs in, and others may want to.
	dial := func(n int) (net.Conn, error) {
		if n%2 == 1 {
			return net.Dial("tcp", "[::1]:22")
		}
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 99, 1)}}
		return d.DialContext(context.Background(), "tcp", "127.0.0.1:22")
	}
	var listeners Listeners
	rest := firstRest
	for n := 0; ; n++ {
		select {
		case <-stop:
			return 0
		default:
		}
		w.forget()
		absent := Missing(PermitFile) && Missing(sshGroup)
		k := Knock{Begin: Clock()}
		conn, err := dial(n)
		k.End = Clock()
		if err != nil {
			rest = firstRest
			time.Sleep(pause)
			continue
		}
		conn.(*net.TCPConn).SetLinger(0) // nothing is left of it in the kernel's lists
		conn.Close()
		k.Forbidden = absent && Missing(PermitFile) && Missing(sshGroup) && !w.sawCreation()
		if err := tell.Encode(k); err != nil {
			return 1
		}
		for end := Clock() + rest; Clock() < end; {
			if on, err := listeners.On(22); err == nil && !on {
				break
			}
			time.Sleep(min(rest, 20*time.Millisecond))
		}
		rest = min(rest*2, lastRest)
	}
}

// Missing reports that there is no such file.
func Missing(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// witness notes whether anything of interest was created, so that "it was absent before and after" can be told from "it
// was absent all the time".
type witness struct {
	fd   int
	dirs []string
}

func newWitness(dirs ...string) (*witness, error) {
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		return nil, err
	}
	w := &witness{fd, dirs}
	return w, w.look()
}

// look has the folders watched that are there, also after they went and came back.
func (w *witness) look() error {
	for _, dir := range w.dirs {
		_, err := unix.InotifyAddWatch(w.fd, dir, unix.IN_CREATE|unix.IN_MOVED_TO)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("watching %s: %w", dir, err)
		}
	}
	return nil
}

// forget is called before each attempt.
func (w *witness) forget() {
	for w.sawCreation() {
	}
	if err := w.look(); err != nil {
		fmt.Fprintln(os.Stderr, "watch:", err)
	}
}

func (w *witness) sawCreation() bool {
	n, err := unix.Read(w.fd, make([]byte, 4096))
	return n > 0 || err != unix.EAGAIN
}
