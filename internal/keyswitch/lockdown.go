package keyswitch

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"golang.org/x/sys/unix"
)

// Lockdown keeps a lockdown across restarts and reboots.
type Lockdown interface {
	// Load says whether it is locked down, and by whom. With an error it is not known, and counts as locked down.
	Load() (by string, locked bool, err error)
	// Keep returns when the lockdown is on the disk.
	Keep(by string) error
	// Lift returns when it is gone from the disk.
	Lift() error
}

// LockdownFile is a file in the daemon's StateDirectory= (systemd.exec(5)), which systemd makes before the daemon starts and never
// empties. That it exists is the lockdown, whatever it is and whatever is in it; in it is who said so.
type LockdownFile string

// byMax bounds what is read of the name of a person, in bytes.
const byMax = 256

// Load implements Lockdown. A folder that isn't there is an error: systemd would have made it.
func (l LockdownFile) Load() (by string, locked bool, err error) {
	_, err = os.Lstat(string(l))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Dir(string(l))); err != nil {
			return "", true, fmt.Errorf("keyswitch: looking for a lockdown: %w", err)
		}
		return "", false, nil
	}
	if err != nil {
		return "", true, fmt.Errorf("keyswitch: looking for a lockdown: %w", err)
	}
	// Who it was is only for people to read; not knowing it changes nothing.
	f, err := os.OpenFile(string(l), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", true, nil
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, byMax))
	if err != nil {
		return "", true, nil
	}
	return clean(string(text)), true, nil
}

// clean makes s a single line that can be shown.
func clean(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(s, "?")))
}

// Keep implements Lockdown. It never follows a link in the file's place.
func (l LockdownFile) Keep(by string) error {
	f, err := os.OpenFile(string(l), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return l.sync()
	}
	if err != nil {
		return fmt.Errorf("keyswitch: keeping the lockdown: %w", err)
	}
	// A full disk takes no name, but the file is there all the same, and that is what counts.
	_, _ = io.WriteString(f, by+"\n")
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("keyswitch: keeping the lockdown: %w", err)
	}
	return l.sync()
}

// Lift implements Lockdown.
func (l LockdownFile) Lift() error {
	if err := os.Remove(string(l)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("keyswitch: lifting the lockdown: %w", err)
	}
	err := l.sync()
	if errors.Is(err, fs.ErrNotExist) {
		return nil // no folder, so no file in it
	}
	return err
}

// sync waits until the folder is on the disk as it is.
func (l LockdownFile) sync() error {
	dir, err := os.Open(filepath.Dir(string(l)))
	if err != nil {
		return fmt.Errorf("keyswitch: keeping the lockdown: %w", err)
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("keyswitch: keeping the lockdown: %w", err)
	}
	return nil
}
