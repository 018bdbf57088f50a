package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// simulation is a running `keyswitchd simulate`: the guard, and the simulation proper that it runs.
type simulation struct {
	cmd     *exec.Cmd
	inner   int // its process
	address string
	hostKey string // the file
	key     []byte // what is in it
	said    bytes.Buffer
}

func simulateCommand(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Args = append([]string{"keyswitchd", "simulate", "--port", "0"}, args...) // TestMain looks at the name
	return cmd
}

// startOpen starts a simulation and returns when SSH is open.
func startOpen(t *testing.T) *simulation {
	t.Helper()
	s := &simulation{cmd: simulateCommand(t, "--script", "on 1h")}
	s.cmd.Stderr = &s.said
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.cmd.Process.Kill() }) // it has ended, unless the test failed
	in := bufio.NewScanner(out)
	for in.Scan() {
		if m := regexp.MustCompile(`start .* (127\.0\.0\.1:\d+) refuses`).FindStringSubmatch(in.Text()); m != nil {
			s.address = m[1]
		}
		if strings.Contains(in.Text(), "s  on ") {
			break
		}
	}
	if s.address == "" || in.Err() != nil {
		t.Fatalf("it did not open: %v\n%s", in.Err(), s.said.String())
	}
	s.inner = child(t, s.cmd.Process.Pid)
	s.hostKey = filepath.Join(folderOf(t, s.inner), "host_key.pub")
	if s.key, err = os.ReadFile(s.hostKey); err != nil {
		t.Fatal(err)
	}
	return s
}

// child is the one child of a process (proc_pid_stat(5)).
func child(t *testing.T, parent int) int {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range stats {
		text, _ := os.ReadFile(name) // it may have ended
		var pid, ppid int
		var state string
		head, rest, _ := bytes.Cut(text, []byte(") "))
		if _, err := fmt.Sscan(string(rest), &state, &ppid); err != nil || ppid != parent {
			continue
		}
		if _, err := fmt.Sscan(string(head), &pid); err == nil {
			return pid
		}
	}
	t.Fatal("the guard has no child")
	return 0
}

// folderOf is the folder whose lock a process holds.
func folderOf(t *testing.T, pid int) string {
	t.Helper()
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if link, err := os.Readlink(fd); err == nil && strings.Contains(link, "/keyswitchd-sim/") && filepath.Base(link) == "lock" {
			return filepath.Dir(link)
		}
	}
	t.Fatal("the simulation has no folder")
	return ""
}

// ended waits until a process that may be nobody's child of ours has ended.
func ended(t *testing.T, pid int) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for {
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
		if err == nil {
			return
		}
		if err != unix.EINTR {
			t.Fatal(err)
		}
	}
}

// However a simulation ends, nothing of it stays: no listener, no connection, no folder.
func TestSimulateEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		kill func(s *simulation) error
		code int // of the guard
		says string
	}{
		{"SIGTERM", func(s *simulation) error { return s.cmd.Process.Signal(syscall.SIGTERM) }, 1, "interrupted before the end"},
		{"SIGINT", func(s *simulation) error { return s.cmd.Process.Signal(syscall.SIGINT) }, 1, "interrupted before the end"},
		{"SIGHUP", func(s *simulation) error { return s.cmd.Process.Signal(syscall.SIGHUP) }, 1, "interrupted before the end"},
		{"kill -9 of the guard", func(s *simulation) error { return s.cmd.Process.Kill() }, -1, ""},
		{"kill -9 of the simulation", func(s *simulation) error { return syscall.Kill(s.inner, syscall.SIGKILL) }, 1, "it was killed (signal: killed); what it left is removed"},
		{"a crash of the simulation", func(s *simulation) error { return syscall.Kill(s.inner, syscall.SIGQUIT) }, 1, "it was killed (exit status 2)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := startOpen(t)
			conn, err := net.Dial("tcp4", s.address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := c.kill(s); err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, conn) // returns when the connection is cut, whether closed or reset
			ended(t, s.inner)
			_ = s.cmd.Wait() // the exit code is looked at below
			if code := s.cmd.ProcessState.ExitCode(); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if !strings.Contains(s.said.String(), c.says) {
				t.Errorf("it says\n%s\nwithout %q", s.said.String(), c.says)
			}
			if again, err := net.Dial("tcp4", s.address); !errors.Is(err, syscall.ECONNREFUSED) {
				if err == nil {
					again.Close()
				}
				t.Errorf("connecting gives %v, want it refused", err)
			}
			// Its folder's number may be another one's by now, its host key can't.
			if key, err := os.ReadFile(s.hostKey); err == nil && bytes.Equal(key, s.key) {
				t.Errorf("%s is still there", s.hostKey)
			}
		})
	}
}

// A person at a terminal turns the key, sees SSH open, and quits; the terminal is as it was.
func TestSimulateTerminal(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(cmd *exec.Cmd, keyboard io.Writer) error
		code int
		says string
	}{
		{"q", func(_ *exec.Cmd, keyboard io.Writer) error { _, err := keyboard.Write([]byte("q")); return err }, 0, ""},
		{"Ctrl-C", func(_ *exec.Cmd, keyboard io.Writer) error { _, err := keyboard.Write([]byte{3}); return err }, 0, ""},
		{"SIGTERM", func(cmd *exec.Cmd, _ io.Writer) error { return cmd.Process.Signal(syscall.SIGTERM) }, 0, ""},
		{"crash", func(cmd *exec.Cmd, _ io.Writer) error {
			return syscall.Kill(child(t, cmd.Process.Pid), syscall.SIGQUIT)
		}, 1, "SIGQUIT: quit"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			screen, tty := openTerminal(t)
			before, err := term.GetState(int(tty.Fd()))
			if err != nil {
				t.Fatal(err)
			}
			cmd := simulateCommand(t)
			var said bytes.Buffer
			cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, &said
			cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "TERM=xterm")
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = cmd.Process.Kill() }) // it has ended, unless the test failed
			seen := awaitText(t, screen, nil, "the key is off")
			if _, err := screen.Write([]byte("\x1b[A ")); err != nil { // an arrow, which is nothing, and the space bar
				t.Fatal(err)
			}
			seen = awaitText(t, screen, seen, "SSH OPEN", "hardened", "▐█████▌")
			if err := c.end(cmd, screen); err != nil {
				t.Fatal(err)
			}
			awaitText(t, screen, seen, "\x1b[?1049l")
			_ = cmd.Wait() // the exit code is looked at below
			if code := cmd.ProcessState.ExitCode(); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if !strings.Contains(said.String(), c.says) || c.says == "" && said.Len() > 0 {
				t.Errorf("it says\n%s\nwant %q", said.String(), c.says)
			}
			after, err := term.GetState(int(tty.Fd()))
			if err != nil {
				t.Fatal(err)
			}
			if *before != *after {
				t.Errorf("the terminal was %+v and is %+v", before, after)
			}
		})
	}
}

// openTerminal opens a pseudoterminal (pts(4)) of 80x24: screen is what a terminal emulator has, tty what a program has.
func openTerminal(t *testing.T) (screen, tty *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { screen.Close() })
	fd := int(screen.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80})
	}
	if err == nil {
		tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tty.Close() })
	return screen, tty
}

// awaitText reads the screen until all texts have come since the last call.
func awaitText(t *testing.T, screen io.Reader, seen []byte, texts ...string) []byte {
	t.Helper()
	buf := make([]byte, 4096)
	for {
		missing := slices.ContainsFunc(texts, func(text string) bool { return !bytes.Contains(seen, []byte(text)) })
		if !missing {
			return nil
		}
		n, err := screen.Read(buf)
		if err != nil {
			t.Fatalf("waiting for %q: %v; seen so far:\n%s", texts, err, seen)
		}
		seen = append(seen, buf[:n]...)
	}
}
