package gpio

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/host/v3/gpioioctl"
)

// lineSet is what is used of gpioioctl.LineSet.
type lineSet interface {
	Read(mask gpio.GPIOValue) (gpio.GPIOValue, error)
	Out(bits, mask gpio.GPIOValue) error
	Close() error
}

// OpenKey implements Board.
func (b *linuxBoard) OpenKey(cfg KeyConfig) (Input, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	pull := map[Pull]gpio.Pull{PullUp: gpio.PullUp, PullDown: gpio.PullDown}[cfg.Pull]
	if cfg.Pull == PullNone {
		pull = gpio.PullNoChange
	}
	ls, err := b.request(cfg.Line, gpioioctl.LineInput, gpio.BothEdges, pull)
	if err != nil {
		return nil, err
	}
	fd, err := lineFD(ls)
	if err != nil {
		return nil, errors.Join(err, ls.Close())
	}
	return newLineInput(ls, fd, cfg.ActiveLow)
}

// OpenLED implements Board.
func (b *linuxBoard) OpenLED(cfg LEDConfig) (Output, error) {
	if cfg.Name == "none" {
		return noLED{}, nil
	}
	if name, ok := strings.CutPrefix(cfg.Name, "sysfs:"); ok {
		return openKernelLED(b.leds, name, cfg.ActiveLow)
	}
	ls, err := b.request(cfg.Name, gpioioctl.LineOutput, gpio.NoEdge, gpio.PullNoChange)
	if err != nil {
		return nil, err
	}
	// periph requests an output low. An active-low LED is lit from there to here, some microseconds: nobody sees it.
	out := &lineOutput{ls: ls, line: cfg.Name, activeLow: cfg.ActiveLow}
	if err := out.Set(false); err != nil {
		return nil, errors.Join(err, ls.Close())
	}
	return out, nil
}

// request requests one line. A chip that turns out to be gone is looked for once more.
func (b *linuxBoard) request(line string, dir gpioioctl.LineDir, edge gpio.Edge, pull gpio.Pull) (*gpioioctl.LineSet, error) {
	for again := false; ; again = true {
		c, name, err := b.find(line, again)
		if err != nil {
			return nil, err
		}
		ls, err := c.periph.LineSet(dir, edge, pull, name)
		switch {
		case err == nil:
			return ls, nil
		case is(err, syscall.EBUSY):
			return nil, busyError(line, c.name, consumerOf(c.path, slices.Index(c.lines, name)), self())
		case is(err, syscall.ENODEV) && !again:
			// Its driver was unbound, and maybe bound again.
		case is(err, syscall.EPERM), is(err, syscall.EACCES):
			return nil, openError(c.path, os.ErrPermission)
		default:
			return nil, fmt.Errorf("gpio: requesting %s on %s: %w; see that nothing else drives this line and that its chip can do what is asked",
				line, c, err)
		}
	}
}

// is recognizes an errno in periph's errors, which carry only its text.
func is(err error, errno syscall.Errno) bool {
	return strings.HasSuffix(err.Error(), errno.Error())
}

// self is what periph calls this process as a consumer: "keyswitchd@123", cut to the kernel's 31 bytes.
func self() string {
	s := fmt.Sprintf("%s@%d", path.Base(os.Args[0]), os.Getpid())
	return s[:min(len(s), 31)]
}

// lineInput is an input line.
type lineInput struct {
	ls        lineSet
	edges     *edges
	activeLow bool
}

// newLineInput takes over ls, whose file descriptor is fd.
func newLineInput(ls lineSet, fd int, activeLow bool) (*lineInput, error) {
	e, err := newEdges(fd)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("gpio: listening for edges: %w", err), ls.Close())
	}
	return &lineInput{ls: ls, edges: e, activeLow: activeLow}, nil
}

// Sample implements Input.
func (in *lineInput) Sample() (Sample, error) {
	moved, age, err := in.edges.take()
	if err != nil {
		return Sample{}, err
	}
	bits, err := in.ls.Read(1)
	if err != nil {
		return Sample{}, err
	}
	return Sample{Active: (bits&1 == 1) != in.activeLow, Edges: moved, Age: age}, nil
}

// Wait implements Input.
func (in *lineInput) Wait(ctx context.Context, timeout time.Duration) error {
	return in.edges.wait(ctx, timeout)
}

// Close implements Input.
func (in *lineInput) Close() error { return errors.Join(in.edges.close(), in.ls.Close()) }

// lineOutput is an output line.
type lineOutput struct {
	ls        lineSet
	line      string
	activeLow bool
}

// Set implements Output.
func (out *lineOutput) Set(lit bool) error {
	var bits gpio.GPIOValue
	if lit != out.activeLow {
		bits = 1
	}
	if err := out.ls.Out(bits, 1); err != nil {
		return fmt.Errorf("gpio: driving LED line %s: %w; the line is requested again by itself", out.line, err)
	}
	return nil
}

// Close implements Output.
func (out *lineOutput) Close() error { return errors.Join(out.Set(false), out.ls.Close()) }

// noLED is the output of a board without one.
type noLED struct{}

func (noLED) Set(bool) error { return nil }
func (noLED) Close() error   { return nil }
