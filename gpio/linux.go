package gpio

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
	"periph.io/x/conn/v3/driver"
	"periph.io/x/conn/v3/driver/driverreg"
	"periph.io/x/conn/v3/gpio/gpioreg"
	"periph.io/x/host/v3/gpioioctl"
)

// linuxBoard is the GPIO character device of this machine.
type linuxBoard struct {
	dev    string // where the chips' device files are: /dev
	leds   string // where the kernel's LEDs are: /sys/class/leds
	driver driver.Impl

	mu    sync.Mutex
	seen  []string // fingerprint of the device files at the last discovery
	chips []chip
	// kept holds the chips of earlier discoveries for good. periph's GPIOChip.Close closes file descriptor 0 besides its
	// own, and its own twice, and a chip that is garbage-collected closes its own twice too: at worst a descriptor
	// that has become someone else's. A few forgotten descriptors per hot-plug are the lesser evil.
	kept []*gpioioctl.GPIOChip
}

// Linux returns the board of this machine: its GPIO chips by periph's gpioioctl, its LEDs by /sys/class/leds. Call it
// once, early. Chips that appear later, or that go and come back, are found when a line is opened; so a machine
// without any is no error yet. It needs Linux 5.10 or newer, and read and write access to /dev/gpiochip*.
func Linux() (Board, error) {
	b := &linuxBoard{dev: "/dev", leds: "/sys/class/leds"}
	b.seen = b.fingerprint()
	restore := guardStdin()
	defer restore()
	state, err := driverreg.Init()
	if err != nil {
		return nil, fmt.Errorf("gpio: starting periph: %w", err)
	}
	for _, d := range state.Loaded {
		b.adopt(d)
	}
	for _, f := range slices.Concat(state.Skipped, state.Failed) {
		b.adopt(f.D)
	}
	if b.driver == nil {
		return nil, errors.New("gpio: periph has no ioctl-gpio driver: this binary was built without gpioioctl")
	}
	b.list()
	return b, nil
}

func (b *linuxBoard) adopt(d driver.Impl) {
	if d.String() == "ioctl-gpio" {
		b.driver = d
	}
}

// find returns the chip that has the line, and what the chip calls it. It looks again for chips if the device files
// changed, or if again says that what was found is out of date.
func (b *linuxBoard) find(line string, again bool) (chip, string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now := b.fingerprint(); again || !slices.Equal(now, b.seen) {
		b.discover()
		b.seen = now
	}
	if len(b.chips) == 0 {
		return chip{}, "", b.noChips(line)
	}
	return findLine(b.chips, line)
}

// discover has periph look for chips again. driverreg does so only once, but the driver itself may be started again,
// once what it registered is gone.
func (b *linuxBoard) discover() {
	for _, c := range gpioioctl.Chips {
		b.kept = append(b.kept, c)
		for _, l := range c.Lines() {
			// A line that could not be registered, for want of a unique name, can't be unregistered either.
			_ = gpioreg.Unregister(l.Name())
		}
	}
	gpioioctl.Chips = nil
	restore := guardStdin()
	defer restore()
	// Init's error is "no GPIO chips found", which noChips explains better.
	_, _ = b.driver.Init()
	b.list()
}

// list takes down what periph found.
func (b *linuxBoard) list() {
	b.chips = nil
	for _, c := range gpioioctl.Chips {
		found := chip{name: c.Name(), label: c.Label(), path: c.Path(), periph: c}
		for _, l := range c.Lines() {
			found.lines = append(found.lines, l.Name())
		}
		b.chips = append(b.chips, found)
	}
}

// fingerprint is what can be known of the chips without opening them. It changes when a chip comes or goes, also when it
// goes and comes back under its old name, and when permissions change.
func (b *linuxBoard) fingerprint() []string {
	var all []string
	for _, path := range b.devices() {
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			all = append(all, path+" "+err.Error())
			continue
		}
		all = append(all, fmt.Sprint(path, st.Ino, st.Rdev, st.Mode, st.Uid, st.Gid, st.Ctim))
	}
	return all
}

func (b *linuxBoard) devices() []string {
	paths, _ := filepath.Glob(filepath.Join(b.dev, "gpiochip*")) // the pattern is well-formed
	return paths
}

// noChips says why there is none that could have the line.
func (b *linuxBoard) noChips(line string) error {
	paths := b.devices()
	if len(paths) == 0 {
		return fmt.Errorf("gpio: looking for line %s: there is no %s/gpiochip*: the chip is gone, or this is not a Raspberry Pi, its kernel lacks the"+
			" GPIO character device, or the service may not see it; try keyswitchd simulate, which needs no GPIO", line, b.dev)
	}
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return openError(line, path, err)
		}
		_ = f.Close() // it was only opened to see if it could be
	}
	return fmt.Errorf("gpio: looking for line %s: asking %s which lines there are: the kernel refused; it needs Linux 5.10 or newer with CONFIG_GPIO_CDEV",
		line, strings.Join(paths, ", "))
}

// openError explains why a chip's device file can't be opened.
func openError(line, path string, err error) error {
	what := fmt.Sprintf("gpio: looking for line %s: opening %s", line, path)
	switch {
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%s: permission denied: run as a user of the group gpio (usermod -aG gpio USER, then log in"+
			" again); for the service, see that keyswitchd's udev rule is installed and that DeviceAllow=char-gpiochip rw", what)
	case errors.Is(err, syscall.ENXIO), errors.Is(err, syscall.ENODEV):
		return fmt.Errorf("%s: %w: the chip is gone or its driver was unbound; plug it in or bind it again", what, err)
	default:
		var path *os.PathError
		if errors.As(err, &path) {
			err = path.Err // the path is named already
		}
		return fmt.Errorf("%s: %w; see ls -l /dev/gpiochip*", what, err)
	}
}

// guardStdin keeps periph from taking file descriptor 0 away: its GPIOChip.Close, which it calls itself when a chip has two
// device files (the Pi 5's gpiochip4 is a link to gpiochip0), closes 0 by mistake. What restore gives back takes the
// descriptor only if it is still free.
func guardStdin() (restore func()) {
	saved, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return func() {} // there is no descriptor 0 to lose
	}
	return func() {
		defer func() { _ = unix.Close(saved) }()
		if _, err := unix.FcntlInt(0, unix.F_GETFD, 0); err == nil {
			return
		}
		if fd, err := unix.FcntlInt(uintptr(saved), unix.F_DUPFD, 0); err == nil && fd != 0 {
			_ = unix.Close(fd)
		}
	}
}
