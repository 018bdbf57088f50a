package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"keyswitchd/test/virtualpi/image"
	"keyswitchd/test/virtualpi/wire"
)

// Start switches the machine on and waits until systemd has finished booting.
func (m *Machine) Start(ctx context.Context) error {
	begun := time.Now()
	m.mu.Lock()
	before, on := m.boots, m.process != nil
	m.failure = nil
	m.mu.Unlock()
	if on {
		return errors.New("vm: switching the machine on: it is on")
	}
	p, err := startProcess(m.images.Guest.Path(image.GuestFile), m.images.Kernel.Path(image.KernelFile), m.arguments(), m.tmp, m.overlay, m.console)
	if err != nil {
		return err
	}
	m.mu.Lock()
	m.process, m.window = p, wire.NewWindow(p.line)
	m.to = wire.NewWriter(m.window)
	window := m.window
	m.announce()
	m.mu.Unlock()
	m.receivers.Go(func() { m.receive(p, window) })
	if err := m.finishBoot(ctx, before); err != nil {
		m.Kill()
		return err
	}
	fmt.Fprintf(m.cfg.Log, "virtualpi: %s is up in %.1f s\n", m.cfg.Suite, time.Since(begun).Seconds())
	return nil
}

// arguments is the kernel's command line. The kernel boots from the guest program's directory on the host.
func (m *Machine) arguments() []string {
	return []string{
		"rootfstype=hostfs", "rootflags=" + m.images.Guest.Dir, "ro", "init=/" + image.GuestFile,
		fmt.Sprintf("ubd0=/proc/self/fd/%d", overlayFD),
		fmt.Sprintf("mem=%dM", m.cfg.MemoryMiB),
		// The console is for reading only; the serial line is ours.
		"con0=null,fd:1", "con=null", fmt.Sprintf("ssl0=fd:%d,fd:%d", lineFD, lineFD), "ssl=null",
		// Where the kernel would leave a file with its process number: nowhere.
		"uml_dir=/proc/self/task/",
		"quiet", "systemd.show_status=error",
		"systemd.mask=getty@tty1.service", "systemd.mask=console-getty.service", "systemd.mask=serial-getty@ttyS0.service",
	}
}

// finishBoot waits until the machine has booted once more than before, and mounts the shares.
func (m *Machine) finishBoot(ctx context.Context, before int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, m.cfg.BootTimeout,
		fmt.Errorf("systemd did not finish booting within %s", m.cfg.BootTimeout))
	defer cancel()
	var failure error
	err := m.await(ctx, func() bool {
		failure = m.failure
		if m.process == nil && failure == nil {
			failure = ErrGone
		}
		return failure != nil || m.serving && m.boots > before
	})
	if err = errors.Join(err, failure); err != nil {
		return m.fault(fmt.Errorf("vm: booting: %w", err))
	}
	var failed bytes.Buffer
	outcome, err := m.order(ctx, wire.Order{Await: &wire.AwaitOrder{}}, nil, &failed)
	if err != nil {
		return m.fault(fmt.Errorf("vm: booting: %w", err))
	}
	switch outcome.State {
	case "running":
	case "degraded":
		fmt.Fprintf(m.cfg.Log, "virtualpi: booted, but units failed:\n%s", failed.String())
	default:
		return m.fault(fmt.Errorf("vm: booting: systemd says %q", outcome.State))
	}
	for _, s := range m.cfg.Shares {
		if err := m.Mount(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// Reboot reboots from inside, as `systemctl reboot` does, and waits until systemd has finished booting.
func (m *Machine) Reboot(ctx context.Context) error {
	m.mu.Lock()
	before := m.boots
	m.mu.Unlock()
	if err := m.ask(ctx, "reboot"); err != nil {
		return err
	}
	return m.finishBoot(ctx, before)
}

// PowerOff shuts down from inside, as `systemctl poweroff` does, and waits until the machine is off.
func (m *Machine) PowerOff(ctx context.Context) error {
	if err := m.ask(ctx, "poweroff"); err != nil {
		return err
	}
	if err := m.await(ctx, func() bool { return m.process == nil }); err != nil {
		return m.fault(fmt.Errorf("vm: switching the machine off: %w", err))
	}
	m.receivers.Wait()
	return nil
}

// ask has systemd do something that ends this very request.
func (m *Machine) ask(ctx context.Context, verb string) error {
	r, err := m.Run(ctx, "/usr/bin/systemctl", verb)
	if errors.Is(err, ErrGone) {
		return nil
	}
	if err == nil && r.Code != 0 {
		err = errors.New(strings.TrimSpace(r.Stderr))
	}
	if err != nil {
		return fmt.Errorf("vm: asking for %s: %w", verb, err)
	}
	return nil
}

// Kill cuts the power: what the machine has not written to its disk is lost. It does nothing when the machine is off.
func (m *Machine) Kill() {
	m.mu.Lock()
	p := m.process
	m.mu.Unlock()
	if p != nil {
		p.kill()
	}
	m.receivers.Wait()
}

// receive serves one run of the kernel's program until it ends.
func (m *Machine) receive(p *process, window *wire.Window) {
	ended := make(chan struct{})
	go func() {
		<-p.ended
		// What is still in the line is read. Then it is at its end, unless something else holds the other end.
		p.line.SetReadDeadline(time.Now().Add(time.Second))
		close(ended)
	}()
	for in := wire.NewReader(p.line); ; {
		f, err := in.Receive()
		if err != nil {
			break
		}
		if f.Kind == wire.Ack {
			window.Acknowledged(f) // without m.mu: a writer may wait for this
			continue
		}
		m.dispatch(f)
	}
	window.Close(ErrGone)
	p.kill() // without its line it is of no use
	<-ended
	p.line.Close()
	m.mu.Lock()
	m.process, m.serving = nil, false
	m.dropStreams()
	m.announce()
	m.mu.Unlock()
}

func (m *Machine) dispatch(f wire.Frame) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch f.Kind {
	case wire.Hello:
		m.greet(f)
	case wire.Failed:
		m.failure = errors.New(string(f.Payload))
		m.announce()
	case wire.Stdout, wire.Stderr:
		if s := m.streams[f.Stream]; s != nil {
			s.put(f)
		}
	case wire.Reply:
		if s := m.streams[f.Stream]; s != nil {
			delete(m.streams, f.Stream)
			var outcome wire.Outcome
			err := f.JSON(&outcome)
			s.close(outcome, err)
		}
	}
}

// greet answers the inside's two greetings of each boot. m.mu must be held.
func (m *Machine) greet(f wire.Frame) {
	var g wire.Greeting
	if err := f.JSON(&g); err != nil {
		m.failure = err
		m.announce()
		return
	}
	switch g.Stage {
	case wire.StageInit:
		m.serving = false
		m.dropStreams() // it rebooted
		m.window.Reset()
		order := wire.BootOrder{Key: m.cfg.Key, Hostname: "virtualpi"}
		if !m.installed {
			order.Install = m.cfg.Install
		}
		to := m.to
		// Not here: the acknowledgements for it come through this goroutine.
		m.receivers.Go(func() {
			// If this fails, the machine is gone, or waits until BootTimeout ends.
			if to.Flush() == nil {
				to.SendJSON(wire.Boot, 0, order)
			}
		})
	case wire.StageServing:
		m.window.Reset()
		m.serving, m.installed = true, true
		m.boots++
	}
	m.announce()
}

// dropStreams ends all that is under way. m.mu must be held.
func (m *Machine) dropStreams() {
	for id, s := range m.streams {
		delete(m.streams, id)
		s.close(wire.Outcome{}, fmt.Errorf("vm: running inside: %w", ErrGone))
	}
}

// request sends an order; its stream ends when it has been carried out.
func (m *Machine) request(order wire.Order, stdout, stderr io.Writer) (*stream, error) {
	m.mu.Lock()
	if !m.serving {
		m.mu.Unlock()
		return nil, fmt.Errorf("vm: asking the machine: %w; it is off or booting", ErrGone)
	}
	m.lastID++
	s := &stream{id: m.lastID, to: m.to, done: make(chan struct{}), wake: make(chan struct{}, 1)}
	m.streams[s.id] = s
	m.mu.Unlock()
	go s.deliver(stdout, stderr) // ends when the stream is closed, at the latest with the machine
	if err := s.to.SendJSON(wire.Request, s.id, order); err != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.streams[s.id] != nil {
			delete(m.streams, s.id)
			s.close(wire.Outcome{}, err)
		}
		return nil, fmt.Errorf("vm: asking the machine: %w (%w)", ErrGone, err)
	}
	return s, nil
}

// order carries out an order that isn't a program.
func (m *Machine) order(ctx context.Context, order wire.Order, input []byte, output io.Writer) (wire.Outcome, error) {
	s, err := m.request(order, output, nil)
	if err != nil {
		return wire.Outcome{}, err
	}
	if order.Write != nil {
		if _, err := (wire.Stream{To: s.to, Kind: wire.Stdin, ID: s.id}).Write(input); err != nil {
			return wire.Outcome{}, err
		}
		if err := s.to.Send(wire.Frame{Kind: wire.Stdin, Stream: s.id}); err != nil {
			return wire.Outcome{}, err
		}
	}
	select {
	case <-s.done:
	case <-ctx.Done():
		return wire.Outcome{}, context.Cause(ctx)
	}
	if s.err == nil && s.outcome.Err != "" {
		s.err = errors.New(s.outcome.Err)
	}
	return s.outcome, s.err
}
