//go:build e2e

package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	permitFile = "/run/keyswitchd/permit"
	// sshGroup is there from before the first process of ssh.service until after its last one.
	sshGroup = "/sys/fs/cgroup/system.slice/ssh.service"
)

// knock is one connection that the watcher was granted.
type knock struct {
	Begin, End time.Duration // CLOCK_MONOTONIC, the same in all processes
	// Forbidden: from before Begin until after End there was no permit and nothing of ssh.service ran.
	Forbidden bool
}

// clock is CLOCK_MONOTONIC, by which two processes can compare.
func clock() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic(err) // it exists since Linux 2.6
	}
	return time.Duration(now.Nano())
}

// watch is the second process: it tries to connect all the time and tells when it could. It ends when its standard
// input does.
func watch(out io.Writer) int {
	stop := make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(stop)
	}()
	w, err := newWitness(filepath.Dir(permitFile), filepath.Dir(sshGroup))
	if err != nil {
		fmt.Fprintln(os.Stderr, "watch:", err)
		return 1
	}
	tell := json.NewEncoder(out)
	if err := tell.Encode(knock{}); err != nil { // it is watching from here on
		return 1
	}
	for n := 0; ; n++ {
		select {
		case <-stop:
			return 0
		default:
		}
		w.forget()
		absent := missing(permitFile) && missing(sshGroup)
		k := knock{Begin: clock()}
		conn, err := net.Dial("tcp", [...]string{"127.0.0.1:22", "[::1]:22"}[n%2])
		k.End = clock()
		if err != nil {
			time.Sleep(4 * time.Millisecond) // there is one processor for all
			continue
		}
		conn.Close()
		k.Forbidden = absent && missing(permitFile) && missing(sshGroup) && !w.sawCreation()
		if err := tell.Encode(k); err != nil {
			return 1
		}
		time.Sleep(60 * time.Millisecond) // each connection costs sshd a process
	}
}

func missing(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// witness notes whether anything of interest was created, so that "it was absent before and after" can be told from "it
// was absent all the time".
type witness struct{ fd int }

func newWitness(dirs ...string) (*witness, error) {
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		return nil, err
	}
	for _, dir := range dirs {
		if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_CREATE|unix.IN_MOVED_TO); err != nil {
			return nil, fmt.Errorf("watching %s: %w", dir, err)
		}
	}
	return &witness{fd}, nil
}

func (w *witness) forget() {
	for w.sawCreation() {
	}
}

func (w *witness) sawCreation() bool {
	n, err := unix.Read(w.fd, make([]byte, 4096))
	return n > 0 || err != unix.EAGAIN
}

// watcher is the second process as the test sees it.
type watcher struct {
	cmd   *exec.Cmd
	stdin io.Closer
	done  chan struct{}

	mu     sync.Mutex
	knocks []knock
	err    error
}

func startWatcher(t *testing.T) *watcher {
	t.Helper()
	w := &watcher{cmd: exec.Command("/proc/self/exe"), done: make(chan struct{})}
	w.cmd.Env = append(os.Environ(), roleVar+"=watch")
	w.cmd.Stderr = os.Stderr
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if w.stdin, err = w.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in := json.NewDecoder(bufio.NewReader(out))
	var ready knock
	if err := in.Decode(&ready); err != nil {
		t.Fatalf("the watcher does not watch: %v", err)
	}
	go func() {
		defer close(w.done)
		for {
			var k knock
			if err := in.Decode(&k); err != nil {
				if !errors.Is(err, io.EOF) {
					w.err = err
				}
				return
			}
			w.mu.Lock()
			w.knocks = append(w.knocks, k)
			w.mu.Unlock()
		}
	}()
	return w
}

// stop ends the watcher and returns each connection it was granted.
func (w *watcher) stop(t *testing.T) []knock {
	t.Helper()
	w.stdin.Close()
	<-w.done
	if err := w.cmd.Wait(); err != nil {
		t.Fatalf("the watcher: %v", err)
	}
	if w.err != nil {
		t.Fatalf("the watcher: %v", w.err)
	}
	return w.knocks
}

// count is the number of connections granted so far.
func (w *watcher) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.knocks)
}
