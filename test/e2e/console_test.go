//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// place is where a session is. The machine has no screen, but logind takes a session on a serial line for one at a seat when it
// is told so, as display managers do.
type place struct {
	user string
	seat bool
	tty  string
}

var (
	serialRoot = place{user: "root", tty: "ttyS3"}             // root on a serial line
	serialPi   = place{user: "pi", tty: "ttyS4"}               // pi on a serial line
	screenRoot = place{user: "root", tty: "ttyS5", seat: true} // root at the screen
	screenPi   = place{user: "pi", tty: "ttyS6", seat: true}   // pi at the screen
)

// at is the command line that runs a program in a new session there, as getty and login would. logind keeps a session for as long
// as its first process lives, so there is one for each command.
func (p place) at(command ...string) []string {
	args := []string{"systemd-run", "--quiet", "--wait", "--pipe", "--collect", "-p", "PAMName=login", "-p", "User=" + p.user, "-p", "TTYPath=/dev/" + p.tty}
	if p.seat {
		args = append(args, "-p", "Environment=XDG_SEAT=seat0")
	}
	return append(args, command...)
}

// person is somebody at a terminal, who sees what a program says there and types.
type person struct {
	cmd      *exec.Cmd
	terminal *os.File // the person's end
	ended    chan struct{}

	mu   sync.Mutex
	seen bytes.Buffer
}

func (p *person) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen.String()
}

// sitDown runs a program at the place, with a terminal of its own, which systemd makes the controlling one because it is standard
// input. To logind the session is where the place is.
func sitDown(t *testing.T, at place, command ...string) *person {
	t.Helper()
	terminal, inside := openTerminal(t)
	defer inside.Close()
	args := at.at(command...)
	p := &person{cmd: exec.Command(args[0], args[1:]...), terminal: terminal, ended: make(chan struct{})}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = inside, inside, inside
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(func() {
		buf := make([]byte, 4096)
		for {
			n, err := terminal.Read(buf)
			p.mu.Lock()
			p.seen.Write(buf[:n])
			p.mu.Unlock()
			if err != nil { // EIO once nobody has the other end any more, or the deadline
				return
			}
		}
	})
	go func() {
		p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.cmd.Process.Signal(unix.SIGTERM) // may have ended long ago
		<-p.ended
		terminal.SetReadDeadline(time.Now())
		reading.Wait()
		terminal.Close() // hangs up on whatever is left
	})
	return p
}

// openTerminal makes a terminal: the end of the person, and the one of the program.
func openTerminal(t *testing.T) (outside, inside *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	outside = os.NewFile(uintptr(fd), "/dev/ptmx")
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		inside, err = os.OpenFile(fmt.Sprint("/dev/pts/", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		outside.Close()
		t.Fatalf("making a terminal: %v", err)
	}
	return outside, inside
}

func (p *person) sees(words ...string) condition {
	return func() error {
		if said := p.said(); !contains(said, words...) {
			return errors.New("the terminal shows " + said)
		}
		return nil
	}
}

func (p *person) types(t *testing.T, line string) {
	t.Helper()
	if _, err := p.terminal.Write([]byte(line + "\n")); err != nil {
		t.Fatal(err)
	}
}

// leaves waits for the end of the program and returns its exit code.
func (p *person) leaves(t *testing.T) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode()
	case <-ctx.Done():
		t.Fatalf("the program does not end; the terminal shows %s", p.said())
		return -1
	}
}

// password gives an account one, until the test ends.
func password(t *testing.T, account, word string) {
	t.Helper()
	cmd := exec.Command("chpasswd")
	cmd.Stdin = strings.NewReader(account + ":" + word + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("chpasswd: %v: %s", err, out)
	}
	t.Cleanup(func() { must(t, "usermod", "-p", "*", account) })
}
