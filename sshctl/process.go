package sshctl

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// lastWords is how many of sshd's lines are kept for an error.
const lastWords = 12

// drainTime bounds the wait for sshd's last words once all its processes are gone: a program that a user left behind may
// hold the pipe for ever.
const drainTime = time.Second

// process is one run of sshd.
type process struct {
	cmd       *exec.Cmd
	listening chan error    // nil once sshd listens on all its addresses; capacity 1
	exited    chan struct{} // closed when sshd and everything it started are gone
	killed    bool          // by us; under Child.mu
	since     uint64        // when it was started, in clock ticks since boot
	err       error         // of cmd.Wait; read after exited

	mu    sync.Mutex
	lines []string
}

// launch starts sshd and a goroutine that stays with it to its end.
func (c *Child) launch() (*process, error) {
	// Connections are children of the listener. When it dies they come to us instead of init, and can be found.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("becoming a subreaper: %w", err)
	}
	dir, err := os.MkdirTemp(c.cfg.Dir, "keyswitchd-sshd-")
	if err != nil {
		return nil, err
	}
	pidfile := filepath.Join(dir, "pid")
	notify, err := watchDir(dir)
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	out, in, err := os.Pipe()
	if err != nil {
		notify.Close()
		os.RemoveAll(dir)
		return nil, err
	}
	p := &process{listening: make(chan error, 1), exited: make(chan struct{})}
	args := append([]string{c.cfg.SSHD, "-D", "-e", "-f", c.cfg.ConfigFile, "-o", "PidFile=" + pidfile}, c.cfg.Args...)
	p.cmd = &exec.Cmd{
		Path: c.cfg.SSHD, Args: args, Env: c.cfg.Env, Dir: "/", Stdout: in, Stderr: in,
		// A session of its own keeps the terminal's ^C away from sshd and marks its processes.
		SysProcAttr: &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL},
	}

	started := make(chan error)
	c.wg.Go(func() {
		// The kernel sends the death signal when the thread that forked ends, so this goroutine keeps its thread for as
		// long as sshd lives.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer os.RemoveAll(dir)
		defer out.Close()
		err := p.cmd.Start()
		in.Close()
		if err == nil {
			p.since, err = startTime(p.cmd.Process.Pid)
			if err != nil {
				p.kill()
				_ = p.cmd.Wait()
			}
		}
		if err == nil {
			c.set(func() { c.proc = p })
		}
		started <- err
		if err != nil {
			notify.Close()
			return
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			// Closed: sshd has exited before it listened, which Start learns from p.exited, with its reasons.
			if err := awaitPidfile(notify, pidfile, p.cmd.Process.Pid); !errors.Is(err, os.ErrClosed) {
				p.listening <- err
			}
		})
		wg.Go(func() { c.listen(p, out, &wg) })
		p.err = p.cmd.Wait()
		notify.Close()
		sweep(0, p.since)
		// An error means that the deadline doesn't work on pipes here, and then only costs the last words' completeness.
		_ = out.SetReadDeadline(time.Now().Add(drainTime))
		wg.Wait()
		c.exited(p)
	})
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// kill ends the listener; its goroutine ends the rest. SIGKILL, because sshd has nothing to tidy up and nothing may delay it.
func (p *process) kill() { _ = p.cmd.Process.Kill() } // an error says that it has ended already

// result is systemd's word for how sshd ended.
func (p *process) result() string {
	if e, ok := errors.AsType[*exec.ExitError](p.err); ok {
		if ws, ok := e.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			return "signal"
		}
	}
	return "exit-code"
}

// words are sshd's last lines, and what is known beyond them.
func (p *process) words() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	text := strings.Join(p.lines, "\n")
	if text == "" {
		text = fmt.Sprintf("sshd said nothing (%v)", p.err)
	}
	if m := regexp.MustCompile(`Bind to port (\d+) on .* failed: Address already in use`).FindStringSubmatch(text); m != nil {
		port, _ := strconv.Atoi(m[1])
		text += fmt.Sprintf("\nport %d is held by %s; stop it or choose another port", port, Holder(port))
	}
	if dir := "Missing privilege separation directory: "; strings.Contains(text, dir) {
		_, rest, _ := strings.Cut(text, dir)
		name, _, _ := strings.Cut(rest, "\n")
		text += "\ntype: mkdir -m 0755 " + name
	}
	return text
}

// watchDir opens an inotify(7) queue for files that are written in dir.
func watchDir(dir string) (*os.File, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watching %s: %w", dir, err)
	}
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_CLOSE_WRITE); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("watching %s: %w", dir, err)
	}
	return os.NewFile(uintptr(fd), "inotify"), nil
}

// awaitPidfile returns nil when sshd has written its pid file, which it does after listen(2) on its last address.
func awaitPidfile(notify *os.File, path string, pid int) error {
	buf := make([]byte, 4096)
	for {
		if _, err := notify.Read(buf); err != nil {
			return fmt.Errorf("waiting for %s: %w", path, err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if strings.TrimSpace(string(text)) == strconv.Itoa(pid) {
			return nil
		}
	}
}

// endConnections ends all processes below the listener.
func (p *process) endConnections(ctx context.Context) error {
	for {
		if sweep(p.cmd.Process.Pid, p.since) == 0 {
			return nil
		}
		// They have been killed; the listener reaps them when it gets to it.
		select {
		case <-time.After(2 * time.Millisecond):
		case <-p.exited:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
