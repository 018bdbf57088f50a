// Package vm runs virtual Pis: switch one on, run programs inside, turn its key, cut its power, switch it on again with
// the same disk.
//
// A machine is a process of this process and never outlives it. Its disk is an overlay without a name over an image
// of package image, so nothing is left of it either. It has no network but its own loopback, on purpose.
package vm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"keyswitchd/test/virtualpi/image"
	"keyswitchd/test/virtualpi/wire"
)

// Key is what the key's contact does while the machine boots.
type Key = wire.Key

// The positions of the key at boot. A program that requests the line with a pull overrules the simulated contact:
// to boot with the key on, keyswitchd's configuration must say pull = "none".
const (
	KeyOff  = wire.KeyOff  // contact open, pulled up: the default
	KeyOn   = wire.KeyOn   // contact closed, pulled down
	KeyOpen = wire.KeyOpen // nothing connected: the Pi's default, a pull-down
)

// Config says what machine to boot. The zero value is a bare trixie with the key off.
type Config struct {
	// Suite is the Debian release: "trixie" (the default), "bookworm" or "forky". Its image is made if it is missing.
	Suite string
	// Install names directories, as made by `make install DESTDIR=DIR`, that are copied over / before systemd starts on a
	// new disk, owned by root.
	Install []string
	// Key is the key's position at the next boot.
	Key Key
	// Shares are mounted after each boot.
	Shares []Share
	// MemoryMiB is the memory; 0 means 512.
	MemoryMiB int
	// BootTimeout bounds one boot; 0 means 4 minutes.
	BootTimeout time.Duration
	// Cache is the directory of images; "" means the user's own.
	Cache string
	// Log gets progress and warnings, a line at a time; nil means standard error.
	Log io.Writer
	// Console gets all that the machine prints on its console as it comes; nil means nowhere.
	Console io.Writer
}

// Share is a directory of the host.
type Share struct {
	Host     string // absolute path
	Guest    string // absolute path; made if it is missing
	ReadOnly bool
}

// ErrGone is in the chain of errors of what was under way when the machine rebooted or lost power, and of what was
// asked while it was off.
var ErrGone = errors.New("the machine is gone")

// consoleLines are shown when a machine fails.
const consoleLines = 100

// Machine is a virtual Pi. Its methods are safe for several goroutines, but switching it on and off is for one at a time.
type Machine struct {
	cfg     Config
	images  *image.Set
	tmp     string
	overlay *os.File
	console *console

	mu        sync.Mutex
	process   *process // nil while off
	window    *wire.Window
	to        *wire.Writer
	serving   bool          // requests can be made
	boots     int           // how often the inside has begun to serve
	installed bool          // the install trees are on the disk
	failure   error         // why the boot failed, as told from inside
	changed   chan struct{} // closed and replaced at each change of the above
	streams   map[uint32]*stream
	lastID    uint32
	receivers sync.WaitGroup
}

// New makes a machine with a new disk and leaves it switched off. Close it.
func New(ctx context.Context, cfg Config) (*Machine, error) {
	if cfg.Suite == "" {
		cfg.Suite = image.Trixie
	}
	if cfg.MemoryMiB == 0 {
		cfg.MemoryMiB = 512
	}
	if cfg.BootTimeout == 0 {
		cfg.BootTimeout = 4 * time.Minute
	}
	if cfg.Log == nil {
		cfg.Log = os.Stderr
	}
	m := &Machine{
		cfg:     cfg,
		console: &console{to: cfg.Console},
		changed: make(chan struct{}),
		streams: map[uint32]*stream{},
	}
	cache, err := image.Open(cfg.Cache, cfg.Log)
	if err != nil {
		return nil, err
	}
	if m.images, err = cache.All(ctx, cfg.Suite); err != nil {
		return nil, err
	}
	m.tmp = memoryDir(cfg.MemoryMiB, cfg.Log)
	if m.overlay, err = newOverlay(m.tmp, m.images.Root.Path(image.RootFile)); err != nil {
		return nil, errors.Join(err, m.images.Release())
	}
	return m, nil
}

// Boot makes a machine with a new disk, switches it on, and waits until systemd has finished booting.
func Boot(ctx context.Context, cfg Config) (*Machine, error) {
	m, err := New(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if err := m.Start(ctx); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// SetBootKey sets the key's position for the next boots. It doesn't touch a running machine.
func (m *Machine) SetBootKey(key Key) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cfg.Key = key
}

// Console returns the last 100 lines of the console.
func (m *Machine) Console() string { return m.console.last(consoleLines) }

// Close switches the machine off at once and throws its disk away.
func (m *Machine) Close() error {
	m.Kill()
	return errors.Join(m.overlay.Close(), m.images.Release())
}

// fault adds the console to an error: only it can tell why a machine didn't come up.
func (m *Machine) fault(err error) error {
	return fmt.Errorf("%w; the end of its console:\n%s", err, m.Console())
}

// announce tells all that wait in await. m.mu must be held.
func (m *Machine) announce() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// await waits until ok is true. ok is called with m.mu held.
func (m *Machine) await(ctx context.Context, ok func() bool) error {
	for {
		m.mu.Lock()
		met, changed := ok(), m.changed
		m.mu.Unlock()
		if met {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
