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
	names := []string{cfg.Line}
	if cfg.Second != "" {
		names = append(names, cfg.Second)
	}
	ls, err := b.request(gpioioctl.LineInput, gpio.BothEdges, pull, names...)
	if err != nil {
		return nil, err
	}
	fd, err := lineFD(ls)
	if err != nil {
		return nil, errors.Join(err, ls.Close())
	}
	second := noSecond
	if cfg.Second != "" {
		second = ls.Lines()[1].Number()
	}
	return newLineInput(ls, fd, second, cfg.ActiveLow)
}

// OpenLED implements Board.
func (b *linuxBoard) OpenLED(cfg LEDConfig) (Output, error) {
	if cfg.Name == "none" {
		return noLED{}, nil
	}
	if name, ok := strings.CutPrefix(cfg.Name, "sysfs:"); ok {
		return openKernelLED(b.leds, name, cfg.ActiveLow)
	}
	ls, err := b.request(gpioioctl.LineOutput, gpio.NoEdge, gpio.PullNoChange, cfg.Name)
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

// request requests lines, in one request. A chip that turns out to be gone is looked for once more.
func (b *linuxBoard) request(dir gpioioctl.LineDir, edge gpio.Edge, pull gpio.Pull, lines ...string) (*gpioioctl.LineSet, error) {
	for again := false; ; again = true {
		c, names, err := b.findAll(lines, again)
		if err != nil {
			return nil, err
		}
		ls, err := c.periph.LineSet(dir, edge, pull, names...)
		switch {
		case err == nil:
			return ls, nil
		case is(err, syscall.EBUSY):
			return nil, c.busy(lines, names)
		case is(err, syscall.ENODEV) && !again:
			// Its driver was unbound, and maybe bound again.
		case is(err, syscall.EPERM), is(err, syscall.EACCES):
			return nil, openError(strings.Join(lines, " and "), c.path, os.ErrPermission)
		default:
			return nil, fmt.Errorf("gpio: requesting %s on %s: %w; see that nothing else drives this line and that its chip can do what is asked",
				strings.Join(lines, " and "), c, err)
		}
	}
}

// findAll finds the one chip that has all lines, and what the chip calls them.
func (b *linuxBoard) findAll(lines []string, again bool) (chip, []string, error) {
	var on chip
	var names []string
	for i, line := range lines {
		c, name, err := b.find(line, again && i == 0)
		switch {
		case err != nil:
			return chip{}, nil, err
		case i > 0 && c.path != on.path:
			return chip{}, nil, fmt.Errorf("gpio: requesting %s on %s and %s on %s: both contacts are read at once, which takes two lines of one chip",
				lines[0], on, line, c)
		}
		on, names = c, append(names, name)
	}
	return on, names, nil
}

// busy says which of the lines is held, and by whom.
func (c chip) busy(lines, names []string) error {
	for i, name := range names {
		if consumer, held := holder(c.path, slices.Index(c.lines, name)); held || len(names) == 1 {
			return busyError(lines[i], c.name, consumer, self())
		}
	}
	// It was freed meanwhile, or the kernel doesn't tell.
	return busyError(strings.Join(lines, " and "), c.name, "", self())
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

// lineInput is one input line, or two.
type lineInput struct {
	ls        lineSet
	edges     *edges
	second    int // the offset of the second line on its chip, or noSecond
	activeLow bool
}

// newLineInput takes over ls, whose file descriptor is fd. Its first line is the key's.
func newLineInput(ls lineSet, fd, second int, activeLow bool) (*lineInput, error) {
	e, err := newEdges(fd)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("gpio: listening for edges: %w", err), ls.Close())
	}
	return &lineInput{ls: ls, edges: e, second: second, activeLow: activeLow}, nil
}

// Sample implements Input.
func (in *lineInput) Sample() (key, second Sample, err error) {
	k, s, err := in.edges.take(in.second)
	if err != nil {
		return Sample{}, Sample{}, err
	}
	mask := gpio.GPIOValue(1)
	if in.second != noSecond {
		mask = 3
	}
	bits, err := in.ls.Read(mask)
	if err != nil {
		return Sample{}, Sample{}, err
	}
	if in.activeLow {
		bits ^= mask
	}
	return Sample{Active: bits&1 != 0, Edges: k.moved, Age: k.age}, Sample{Active: bits&mask&2 != 0, Edges: s.moved, Age: s.age}, nil
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
