package hardening

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Result is the outcome of the last Harden: what the daemon shows, and what spares the next start the
// verification.
type Result struct {
	Verified bool      `json:"verified"`           // the running configuration has the policy
	At       time.Time `json:"at"`                 // when that was found out
	Problems []string  `json:"problems,omitempty"` // one line each, for people; none if Verified
	Digest   string    `json:"digest,omitempty"`   // of everything it depended on; only if Verified
	SSHD     string    `json:"sshd,omitempty"`     // "OpenSSH_9.2p1", "" if it isn't known
}

// stored is the result file. The abilities are taken apart only when they are needed.
type stored struct {
	Result
	Abilities json.RawMessage `json:"abilities,omitempty"`
}

// NotVerifiedError is Harden's error when everything could be done and asked, but the policy doesn't hold.
type NotVerifiedError struct {
	Problems []string // at least one
}

// Error is the problems, one a line.
func (e *NotVerifiedError) Error() string {
	return "hardening: the policy does not hold:\n  " + strings.Join(e.Problems, "\n  ")
}

// ReadResult reads the result file at path. It is believed only if it is a plain file in a directory that
// both belong to root, or to whoever asks, and that nobody else can write. A result that isn't there yet is
// fs.ErrNotExist.
func ReadResult(path string) (Result, error) {
	s, err := readStored(path)
	return s.Result, err
}

func readStored(path string) (stored, error) {
	f, err := openFolder(dirOf(path))
	if err != nil {
		return stored{}, fmt.Errorf("hardening: reading the result: %w", err)
	}
	defer f.close()
	return f.readStored(filepath.Base(path))
}

func (f *folder) readStored(name string) (stored, error) {
	content, safe, err := f.read(name)
	if err != nil {
		return stored{}, fmt.Errorf("hardening: reading the result: %w", err)
	}
	if !safe {
		return stored{}, fmt.Errorf("hardening: reading the result: %s/%s could have been written by others; remove it", f.path, name)
	}
	var s stored
	if err := json.Unmarshal(content, &s); err != nil {
		return stored{}, fmt.Errorf("hardening: reading the result: %s/%s: %w; remove it", f.path, name, err)
	}
	return s, nil
}

// keep writes the result. If that fails, an older one must not stay either: it may say "verified".
func (f *folder) keep(name string, s stored) error {
	content, err := json.MarshalIndent(s, "", "\t")
	if err == nil {
		err = f.replace(name, append(content, '\n'), 0o644)
	}
	if err == nil {
		return nil
	}
	err = fmt.Errorf("hardening: keeping the result: %w", err)
	if gone := f.remove(name); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	return err
}

// makeFolder opens the result's directory, after making it if it isn't there (/run is empty after boot).
func makeFolder(path string) (*folder, error) {
	if err := os.Mkdir(path, 0o755); err == nil {
		if err := os.Chmod(path, 0o755); err != nil { // whatever the umask
			return nil, err
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return openFolder(path)
}

// lock keeps a second Harden from working at the same time. The kernel releases it with the process.
func (f *folder) lock(ctx context.Context) (release func(), err error) {
	const name = "lock"
	fd, err := unix.Openat(f.fd, name, unix.O_RDWR|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, f.fail("open", name, err)
	}
	pause := time.NewTicker(20 * time.Millisecond)
	defer pause.Stop()
	for {
		if err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err == nil {
			return func() { unix.Close(fd) }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			break
		}
		select {
		case <-ctx.Done():
			unix.Close(fd)
			return nil, fmt.Errorf("waiting for another harden to end: %w", ctx.Err())
		case <-pause.C:
		}
	}
	unix.Close(fd)
	return nil, f.fail("lock", name, err)
}
