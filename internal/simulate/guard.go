package simulate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// Guard runs this program again with args, which is to be the simulation itself, and tidies up after it however it ends:
// kill -9 and a panic too. The terminal is put back, connections over the simulated SSH are cut, the folder is removed. If the
// guard itself is killed, the simulation gets SIGTERM and ends in good order. code is the simulation's exit code.
func Guard(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) (code int, err error) {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGHUP)
	defer stop()
	// What loses its parent comes to us (prctl(2)), so that it can be found.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return 0, fmt.Errorf("simulate: becoming a subreaper: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return 0, fmt.Errorf("simulate: looking for this program: %w", err)
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Args[0] = os.Args[0]
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	putBack := func() {}
	var said *bytes.Buffer
	if Interactive(stdin, stdout) {
		in := stdin.(*os.File)
		before, err := term.GetState(int(in.Fd()))
		if err != nil {
			return 0, fmt.Errorf("simulate: looking at the terminal: %w", err)
		}
		cmd.Stdin = in
		said = &bytes.Buffer{} // nobody could read it over the picture
		cmd.Stderr = said
		putBack = func() { restore(in, stdout, before) }
	}
	// The death signal comes when the thread that forked ends, not the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ended := cmd.Run()
	if cmd.ProcessState == nil {
		return 0, fmt.Errorf("simulate: starting: %w", ended)
	}
	code = cmd.ProcessState.ExitCode()
	var untidy error
	if code < 0 || code == 2 { // a signal, or a panic
		putBack()
		if untidy = errors.Join(killOrphans(), Sweep()); untidy == nil {
			untidy = fmt.Errorf("simulate: it was killed (%s); what it left is removed", cmd.ProcessState)
		}
	}
	if said != nil {
		_, _ = stderr.Write(said.Bytes())
	}
	return code, untidy
}

// killOrphans ends all our children, their children, and so on. We have none that should stay.
func killOrphans() error {
	for {
		pids, err := children()
		if err != nil {
			return fmt.Errorf("simulate: looking for what was left: %w", err)
		}
		if len(pids) == 0 {
			return nil
		}
		for _, pid := range pids {
			_ = unix.Kill(pid, unix.SIGKILL) // ESRCH: it ended by itself
			for {
				if _, err := unix.Wait4(pid, nil, 0, nil); err != unix.EINTR {
					break // reaped; its children are ours now
				}
			}
		}
	}
}

// children are the processes whose parent we are (proc_pid_stat(5)).
func children() ([]int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it has just ended
		}
		// The name in field 2 may hold blanks and parentheses; the last ) ends it.
		_, rest, _ := strings.Cut(string(text[bytes.LastIndexByte(text, ')')+1:]), " ")
		if f := strings.Fields(rest); len(f) > 1 && f[1] == strconv.Itoa(os.Getpid()) {
			if pid, err := strconv.Atoi(strings.Split(name, "/")[2]); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids, nil
}
