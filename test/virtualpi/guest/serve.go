package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"keyswitchd/test/virtualpi/wire"
)

const guestPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// server carries out orders. Each open stream is one goroutine and one entry in streams.
type server struct {
	out *wire.Writer

	mu      sync.Mutex
	streams map[uint32]*stream
}

// stream is one order being carried out. What comes in for it is queued without bound, so that a program that
// doesn't read its input never holds up the line.
type stream struct {
	arrived chan struct{} // capacity 1: something was queued

	mu    sync.Mutex
	queue []wire.Frame
}

func serve(line *os.File) error {
	unix.CloseOnExec(int(line.Fd()))
	s := &server{out: wire.NewWriter(line), streams: map[uint32]*stream{}}
	if err := s.out.SendJSON(wire.Hello, 0, wire.Greeting{Stage: wire.StageServing}); err != nil {
		return fmt.Errorf("guest: greeting: %w", err)
	}
	for in := wire.NewReader(wire.Acknowledge(line, s.out)); ; {
		f, err := in.Receive()
		if err != nil {
			return fmt.Errorf("guest: receiving: %w", err)
		}
		if f.Kind == wire.Request {
			s.open(f)
			continue
		}
		s.mu.Lock()
		to := s.streams[f.Stream]
		s.mu.Unlock()
		if to != nil { // else: it ended while this was under way
			to.put(f)
		}
	}
}

func (s *server) open(f wire.Frame) {
	in := &stream{arrived: make(chan struct{}, 1)}
	s.mu.Lock()
	s.streams[f.Stream] = in
	s.mu.Unlock()
	go func() { // owned by the process: it serves until the machine ends
		outcome := s.carryOut(f, in)
		s.mu.Lock()
		delete(s.streams, f.Stream)
		s.mu.Unlock()
		if err := s.out.SendJSON(wire.Reply, f.Stream, outcome); err != nil {
			fmt.Fprintln(os.Stderr, "guest: replying:", err)
		}
	}()
}

func (s *server) carryOut(f wire.Frame, in *stream) wire.Outcome {
	var order wire.Order
	err := f.JSON(&order)
	stdout := wire.Stream{To: s.out, Kind: wire.Stdout, ID: f.Stream}
	switch {
	case err != nil:
	case order.Run != nil:
		return s.run(f.Stream, *order.Run, in)
	case order.Mount != nil:
		err = mountHost(order.Mount.Host, order.Mount.Guest, order.Mount.ReadOnly)
	case order.Write != nil:
		err = writeFile(*order.Write, in)
	case order.Read != nil:
		err = readFile(order.Read.Path, stdout)
	case order.Await != nil:
		return await(stdout)
	default:
		err = errors.New("guest: an order without content; both ends must be built from the same tree")
	}
	if err != nil {
		return wire.Outcome{Err: err.Error()}
	}
	return wire.Outcome{}
}

func (s *stream) put(f wire.Frame) {
	s.mu.Lock()
	s.queue = append(s.queue, f)
	s.mu.Unlock()
	select {
	case s.arrived <- struct{}{}:
	default:
	}
}

// next waits for the next frame; ok is false when ctx ends.
func (s *stream) next(ctx context.Context) (f wire.Frame, ok bool) {
	for {
		s.mu.Lock()
		if len(s.queue) > 0 {
			f, s.queue = s.queue[0], s.queue[1:]
			s.mu.Unlock()
			return f, true
		}
		s.mu.Unlock()
		select {
		case <-s.arrived:
		case <-ctx.Done():
			return wire.Frame{}, false
		}
	}
}

func writeFile(order wire.WriteOrder, in *stream) error {
	var content []byte
	for {
		f, _ := in.next(context.Background())
		if f.Kind == wire.Stdin && len(f.Payload) == 0 {
			break
		}
		content = append(content, f.Payload...)
	}
	// One write: sysfs takes nothing else.
	return os.WriteFile(order.Path, content, fs.FileMode(order.Mode))
}

func readFile(path string, to io.Writer) error {
	content, err := os.ReadFile(path)
	if err == nil {
		_, err = to.Write(content)
	}
	return err
}

// await returns when systemd has finished booting.
func await(failed io.Writer) wire.Outcome {
	// systemd has no way to say that its private socket is there: nothing else runs yet that could.
	for {
		if _, err := os.Stat("/run/systemd/private"); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	state, err := exec.Command("/usr/bin/systemctl", "is-system-running", "--wait").Output()
	var status *exec.ExitError
	if err != nil && !errors.As(err, &status) {
		return wire.Outcome{Err: fmt.Sprint("guest: waiting for the boot to finish: ", err)}
	}
	word := string(state)
	if n := len(word); n > 0 && word[n-1] == '\n' {
		word = word[:n-1]
	}
	if word == "degraded" {
		list := exec.Command("/usr/bin/systemctl", "list-units", "--failed", "--plain", "--no-legend")
		list.Stdout = failed
		if err := list.Run(); err != nil {
			return wire.Outcome{Err: fmt.Sprint("guest: listing the failed units: ", err)}
		}
	}
	return wire.Outcome{State: word}
}
