package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"
	"time"

	"keyswitchd/test/virtualpi/wire"
)

// killGrace is how long Wait waits for the end of a program that it has killed.
const killGrace = 5 * time.Second

// Cmd is a program to run inside. Set its fields, then call Start and Wait.
type Cmd struct {
	// Args is the program, an absolute path or a name in the machine's PATH, and its arguments.
	Args []string
	// Env adds to PATH, LANG, HOME, USER, LOGNAME and VIRTUALPI=1.
	Env []string
	// Dir is the working directory; "" means /.
	Dir string
	// User is a user of the machine; "" means root. It is a bare change of user, no login session.
	User string
	// Terminal, when not nil, gives the program a terminal of that size; its output all goes to Stdout.
	Terminal *Size
	// Stdin is read to its end by a goroutine that Wait doesn't wait for; nil means empty.
	Stdin io.Reader
	// Stdout and Stderr get the output as it comes; nil means nowhere. Each is written by one goroutine.
	Stdout, Stderr io.Writer

	machine *Machine
	stream  *stream
}

// Size of a terminal, in characters.
type Size = wire.Size

// Result is what a program left.
type Result struct {
	Stdout, Stderr string
	// Code is the exit code; 128 + n when signal n ended the program.
	Code int
}

// Command returns a Cmd for this machine.
func (m *Machine) Command(args ...string) *Cmd { return &Cmd{Args: args, machine: m} }

// Run runs a program inside, as root, and collects its output. The error says that it could not be run, or that the
// machine went away; a program that fails is no error. When ctx ends, the program is killed.
func (m *Machine) Run(ctx context.Context, args ...string) (Result, error) {
	var stdout, stderr bytes.Buffer
	c := m.Command(args...)
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Start(); err != nil {
		return Result{}, err
	}
	code, err := c.Wait(ctx)
	return Result{Stdout: stdout.String(), Stderr: stderr.String(), Code: code}, err
}

// Start starts the program. Wait must be called then.
func (c *Cmd) Start() error {
	s, err := c.machine.request(wire.Order{Run: &wire.RunOrder{
		Args: c.Args, Env: c.Env, Dir: c.Dir, User: c.User, Terminal: c.Terminal,
	}}, c.Stdout, c.Stderr)
	if err != nil {
		return err
	}
	c.stream = s
	in := wire.Stream{To: s.to, Kind: wire.Stdin, ID: s.id}
	if c.Stdin == nil {
		return s.to.Send(wire.Frame{Kind: wire.Stdin, Stream: s.id})
	}
	go func() { // ends with Stdin or with the machine; see Stdin
		if _, err := io.Copy(in, c.Stdin); err == nil {
			s.to.Send(wire.Frame{Kind: wire.Stdin, Stream: s.id})
		}
	}()
	return nil
}

// Wait waits for the program's end and for all of its output, and returns its exit code. When ctx ends first, it kills
// the program and returns ctx's cause.
func (c *Cmd) Wait(ctx context.Context) (code int, err error) {
	var outcome wire.Outcome
	select {
	case <-c.stream.done:
		outcome, err = c.stream.outcome, c.stream.err
	case <-ctx.Done():
		if err := c.Signal(syscall.SIGKILL); err != nil {
			return -1, err
		}
		select {
		case <-c.stream.done:
		case <-time.After(killGrace): // the machine hangs
		}
		return -1, fmt.Errorf("vm: waiting for %s: %w", c.Args[0], context.Cause(ctx))
	}
	if err == nil && outcome.Err != "" {
		err = errors.New(outcome.Err)
	}
	if err != nil {
		return -1, err
	}
	return outcome.Code, nil
}

// Signal sends a signal to the program and its children. It is no error if they have ended.
func (c *Cmd) Signal(signal syscall.Signal) error {
	return c.stream.to.SendJSON(wire.Signal, c.stream.id, wire.SignalOrder{Signal: int(signal)})
}

// Resize tells the program that its terminal has another size now.
func (c *Cmd) Resize(size Size) error {
	return c.stream.to.SendJSON(wire.Resize, c.stream.id, size)
}

// stream is an order under way.
type stream struct {
	id   uint32
	to   *wire.Writer
	done chan struct{} // closed when all output is written and outcome or err is set

	outcome wire.Outcome
	err     error

	mu     sync.Mutex
	queue  []wire.Frame
	closed bool
	wake   chan struct{} // capacity 1
}

// deliver passes output on, in order, without ever holding up the serial line, until the stream is closed.
func (s *stream) deliver(stdout, stderr io.Writer) {
	defer close(s.done)
	for {
		s.mu.Lock()
		queue, closed := s.queue, s.closed
		s.queue = nil
		s.mu.Unlock()
		for _, f := range queue {
			to := stdout
			if f.Kind == wire.Stderr {
				to = stderr
			}
			if to != nil {
				if _, err := to.Write(f.Payload); err != nil && s.err == nil {
					s.err = fmt.Errorf("vm: passing on output: %w", err)
				}
			}
		}
		if closed && len(queue) == 0 {
			return
		}
		if !closed {
			<-s.wake
		}
	}
}

func (s *stream) put(f wire.Frame) {
	s.mu.Lock()
	s.queue = append(s.queue, f)
	s.mu.Unlock()
	s.rouse()
}

// close ends the stream; what is queued is still delivered.
func (s *stream) close(outcome wire.Outcome, err error) {
	s.mu.Lock()
	s.outcome, s.err, s.closed = outcome, err, true
	s.mu.Unlock()
	s.rouse()
}

func (s *stream) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
