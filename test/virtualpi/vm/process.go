package vm

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// The file descriptors that the kernel's process inherits.
const (
	lineFD    = 3
	overlayFD = 4
)

// process is one run of the kernel's program, from power on to power off.
type process struct {
	line *os.File // our end of the serial line

	started *os.Process
	ended   chan struct{} // closed when the process and its console are gone
	status  error         // how it ended; read it after ended
}

// startProcess switches the machine on. Everything that the kernel prints goes to console. holder is the guest program,
// which can hold all of the machine's processes together.
func startProcess(holder, kernel string, args []string, tmp string, overlay *os.File, console io.Writer) (*process, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("vm: making the serial line: %w", err)
	}
	inside := os.NewFile(uintptr(pair[1]), "serial line, inside")
	defer inside.Close()
	if err := unix.SetNonblock(pair[0], true); err != nil {
		unix.Close(pair[0])
		return nil, fmt.Errorf("vm: making the serial line: %w", err)
	}
	p := &process{line: os.NewFile(uintptr(pair[0]), "serial line"), ended: make(chan struct{})}

	command := append([]string{kernel}, args...)
	if os.Geteuid() == 0 {
		command = append([]string{holder, "hold"}, command...)
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=/", "TMPDIR=" + tmp}
	cmd.ExtraFiles = []*os.File{inside, overlay}
	cmd.Stdout, cmd.Stderr = console, console
	// Its own process group: a Ctrl-C is for us. Pdeathsig: the machine ends when we do, however we end.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() == 0 {
		// All processes of a name space end with its process 1.
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWPID
	}
	begun := make(chan error)
	go func() {
		// Pdeathsig is sent when the thread ends that started the child, so this one waits for it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		begun <- err
		if err == nil {
			p.status = cmd.Wait()
			close(p.ended)
		}
	}()
	if err := <-begun; err != nil {
		p.line.Close()
		return nil, fmt.Errorf("vm: switching the machine on: %w", err)
	}
	p.started = cmd.Process
	return p, nil
}

// kill cuts the power and waits until nothing is left of the machine.
func (p *process) kill() {
	syscall.Kill(-p.started.Pid, syscall.SIGKILL) // gone already is fine
	<-p.ended
}

// console keeps the end of what the machine printed and passes all of it on.
type console struct {
	to io.Writer // nil: nowhere

	mu  sync.Mutex
	buf []byte
}

// consoleBytes is room for a few hundred lines.
const consoleBytes = 64 << 10

func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.buf = append(c.buf, p...)
	if n := len(c.buf) - consoleBytes; n > 0 {
		c.buf = append(c.buf[:0], c.buf[n:]...)
	}
	if c.to != nil {
		c.to.Write(p) // showing it is a courtesy; the machine goes on without
	}
	return len(p), nil
}

// last returns the last lines, without carriage returns.
func (c *console) last(lines int) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	text := bytes.ReplaceAll(bytes.TrimRight(c.buf, "\r\n"), []byte("\r"), nil)
	at := len(text)
	for ; lines > 0 && at >= 0; lines-- {
		at = bytes.LastIndexByte(text[:at], '\n')
	}
	return string(text[at+1:])
}
