package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// keep is how long an entry of another recipe is kept after its last use: two checkouts of the project may
// take turns on one machine.
const keep = 24 * time.Hour

// Cache is the directory of finished images. The zero value is not usable; call Open.
//
// An entry is a directory, renamed into place when it is complete. Whoever makes or prunes entries of a kind holds that
// kind's lock. Each use of an entry holds a shared lock on it, so that pruning leaves it alone.
type Cache struct {
	dir string
	log io.Writer
}

// Entry is a finished entry that is in use. Release it when the machine is gone.
type Entry struct {
	Dir  string
	lock *os.File
}

// Open returns the cache in dir; "" means keyswitchd/virtualpi in the user's cache directory. Progress goes to log.
func Open(dir string, log io.Writer) (*Cache, error) {
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("image: finding the cache: %w; set XDG_CACHE_HOME", err)
		}
		dir = filepath.Join(base, "keyswitchd", "virtualpi")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("image: finding the cache: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("image: opening the cache: %w; set XDG_CACHE_HOME to a directory that can be written", err)
	}
	return &Cache{dir: dir, log: log}, nil
}

// Release ends the use of the entry.
func (e *Entry) Release() error { return e.lock.Close() }

// Path returns the path of a file of the entry.
func (e *Entry) Path(name string) string { return filepath.Join(e.Dir, name) }

// ensure returns the entry kind-digest. If it isn't there, make fills an empty directory that becomes it.
func (c *Cache) ensure(ctx context.Context, kind, digest string, make func(ctx context.Context, dir string) error) (*Entry, error) {
	name := kind + "-" + digest
	if e, err := c.use(name); err == nil || !errors.Is(err, os.ErrNotExist) {
		return e, err
	}
	unlock, err := c.lock(ctx, kind)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if e, err := c.use(name); err == nil || !errors.Is(err, os.ErrNotExist) {
		return e, err // someone else made it meanwhile
	}
	if err := c.removeUnfinished(kind); err != nil {
		return nil, err
	}
	start := time.Now()
	c.say("making %s", name)
	dir, err := os.MkdirTemp(c.dir, unfinished+kind+"-*")
	if err != nil {
		return nil, fmt.Errorf("image: making %s: %w", name, err)
	}
	defer os.RemoveAll(dir)
	if err := make(ctx, dir); err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, fmt.Errorf("image: making %s: %w", name, err)
	}
	unix.Sync() // a power cut of the host must not leave an empty file under a good name
	if err := os.Rename(dir, filepath.Join(c.dir, name)); err != nil {
		return nil, fmt.Errorf("image: making %s: %w", name, err)
	}
	c.say("made %s in %s", name, time.Since(start).Round(time.Second))
	e, err := c.use(name)
	if err == nil {
		c.prune(kind, name)
	}
	return e, err
}

// use takes a shared lock on an entry and notes the time.
func (c *Cache) use(name string) (*Entry, error) {
	dir := filepath.Join(c.dir, name)
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("image: using %s: %w", name, os.ErrNotExist) // it is being pruned
	}
	if _, err := os.Stat(dir); err != nil {
		f.Close() // it was pruned between the open and the lock
		return nil, err
	}
	now := time.Now()
	os.Chtimes(dir, now, now) // a cache of another user's can be used all the same
	return &Entry{Dir: dir, lock: f}, nil
}

// unfinished begins the name of a directory that is being filled or removed.
const unfinished = "unfinished-"

// removeUnfinished removes what a killed builder left. The kind must be locked.
func (c *Cache) removeUnfinished(kind string) error {
	left, err := filepath.Glob(filepath.Join(c.dir, unfinished+kind+"-*"))
	for _, dir := range left {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("image: removing what a killed build left: %w; check that nothing is mounted in %s", err, dir)
		}
	}
	return err
}

// prune removes the entries of the same kind that nobody has used for a while. The kind must be locked.
func (c *Cache) prune(kind, current string) {
	entries, err := filepath.Glob(filepath.Join(c.dir, kind+"-*"))
	if err != nil {
		return
	}
	for _, dir := range entries {
		info, err := os.Stat(dir)
		if err != nil || filepath.Base(dir) == current || time.Since(info.ModTime()) < keep {
			continue
		}
		f, err := os.Open(dir)
		if err != nil {
			continue
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			gone := filepath.Join(c.dir, unfinished+filepath.Base(dir))
			if os.Rename(dir, gone) == nil {
				os.RemoveAll(gone)
				c.say("removed %s, unused since %s", filepath.Base(dir), info.ModTime().Format(time.DateTime))
			}
		}
		f.Close()
	}
}

// lock takes the lock of a kind of entries. It is free again when the process ends, however it ends.
func (c *Cache) lock(ctx context.Context, kind string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(c.dir, "lock-"+kind), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("image: locking the cache: %w", err)
	}
	for said := false; ; said = true {
		if err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			f.Close()
			return nil, fmt.Errorf("image: locking the cache: %w", err)
		}
		if !said {
			c.say("waiting for another process that makes the %s", kind)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("image: waiting for another process that makes the %s: %w", kind, context.Cause(ctx))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (c *Cache) say(format string, args ...any) {
	fmt.Fprintf(c.log, "virtualpi: "+strings.TrimSuffix(format, "\n")+"\n", args...)
}
