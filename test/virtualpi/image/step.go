package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// tick is how often a long step shows that it is alive.
const tick = 20 * time.Second

// step runs one program of a build, to its end or to ctx's. All that it started and mounted ends with it; if this
// process is root, even when this process is killed.
func (c *Cache) step(ctx context.Context, what string, cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWPID
	}
	return c.watch(ctx, what, cmd)
}

// stepHere runs a program that changes this machine, so it is not cut off half way when this process is killed.
func (c *Cache) stepHere(ctx context.Context, what string, cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return c.watch(ctx, what, cmd)
}

// watch runs cmd and says every now and then that it is alive. When cmd fails, the error has its last lines.
func (c *Cache) watch(ctx context.Context, what string, cmd *exec.Cmd) error {
	last := &tail{}
	cmd.Stdout, cmd.Stderr = last, last
	start := time.Now()
	c.say("%s", what)
	ended := make(chan error, 1)
	go func() {
		// Pdeathsig is sent when the thread ends that started the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err == nil {
			stop := context.AfterFunc(ctx, func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
			err = cmd.Wait()
			stop()
		}
		ended <- err
	}()
	alive := time.NewTicker(tick)
	defer alive.Stop()
	for {
		select {
		case err := <-ended:
			if ctx.Err() != nil {
				return fmt.Errorf("image: %s: %w", what, context.Cause(ctx))
			}
			if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("image: %s: %w; run `virtualpi deps` as root", what, err)
			}
			if err != nil {
				return fmt.Errorf("image: %s: %w; it ended with:\n%s", what, err, last)
			}
			return nil
		case <-alive.C:
			c.say("%s: %s so far: %s", what, time.Since(start).Round(time.Second), last.line())
		}
	}
}

// tail keeps the end of a program's output.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

// tailBytes is enough for a compiler's error.
const tailBytes = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if n := len(t.buf) - tailBytes; n > 0 {
		t.buf = append(t.buf[:0], t.buf[n:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}

func (t *tail) line() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	whole := bytes.TrimRight(t.buf, "\n")
	return strings.Join(strings.Fields(string(whole[bytes.LastIndexByte(whole, '\n')+1:])), " ")
}
