package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/term"
)

const (
	agentProgram = "/usr/bin/pkttyagent" // pkttyagent(1), a part of polkitd
	// agentWithin bounds the agent's registering with polkit. Without it, polkit says that nobody can be asked.
	agentWithin = 30 * time.Second
	// agentLeave is how long an agent that was told to end may take to put the terminal back.
	agentLeave = 2 * time.Second
)

// agent is who asks for the password: pkttyagent on this terminal. A nil one does nothing.
type agent struct {
	cmd      *exec.Cmd
	terminal int // descriptor
	before   *term.State
	ended    chan struct{}
}

// startAgent starts the agent if somebody may have to be asked and can be: not for root, and not without a terminal. It returns
// once polkit knows it. It is a fallback: where the session has an agent of its own, such as a desktop's, that one asks.
func startAgent(ctx context.Context, in io.Reader) (*agent, error) {
	f, ok := in.(*os.File)
	if os.Geteuid() == 0 || !ok || !term.IsTerminal(int(f.Fd())) {
		return nil, nil
	}
	before, err := term.GetState(int(f.Fd()))
	if err != nil {
		return nil, fmt.Errorf("override: reading how the terminal is set: %w", err)
	}
	ready, itsEnd, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("override: starting %s: %w", agentProgram, err)
	}
	defer ready.Close()
	a := &agent{terminal: int(f.Fd()), before: before, ended: make(chan struct{})}
	a.cmd = exec.Command(agentProgram, "--notify-fd=3", "--fallback")
	a.cmd.Env = []string{"PATH=/usr/bin:/bin", "LANG=C.UTF-8"}
	a.cmd.Stdin, a.cmd.Stdout, a.cmd.Stderr = f, os.Stdout, os.Stderr
	a.cmd.ExtraFiles = []*os.File{itsEnd}
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} // it must not outlive us, with the terminal's echo off
	started := make(chan error)
	go func() {
		// The signal comes when the thread ends that started the agent.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(a.ended)
		err := a.cmd.Start()
		started <- err
		if err == nil {
			_ = a.cmd.Wait() // how it ended says nothing that polkit's answer doesn't
		}
	}()
	err = <-started
	itsEnd.Close()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // a desktop may have another one; if not, the daemon's answer says that nobody can be asked
	}
	if err != nil {
		return nil, fmt.Errorf("override: starting %s: %w", agentProgram, err)
	}
	// It closes the pipe when polkit knows it, or by ending.
	stop := context.AfterFunc(ctx, func() { _ = ready.SetReadDeadline(time.Now()) })
	defer stop()
	_ = ready.SetReadDeadline(time.Now().Add(agentWithin))
	_, _ = ready.Read(make([]byte, 1)) // whatever it was, polkit's answer will tell
	return a, nil
}

// end ends the agent and puts the terminal back.
func (a *agent) end() {
	if a == nil {
		return
	}
	_ = a.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	_ = a.cmd.Process.Signal(syscall.SIGCONT) // it may be stopped
	select {
	case <-a.ended:
	case <-time.After(agentLeave):
		_ = a.cmd.Process.Kill()
		<-a.ended
	}
	_ = term.Restore(a.terminal, a.before) // nothing is left that could be done about it
}
