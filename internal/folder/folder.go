// Package folder reads and replaces files in directories that must not be tampered with, such as those of /etc and /run. A
// file is replaced in one step or not at all, links are not followed, and a directory that others can write is refused.
package folder

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Folder is an open directory that nobody but root, or whoever runs this, can change. All work in it goes
// through its descriptor, so that renaming or replacing the path meanwhile changes nothing.
type Folder struct {
	fd   int
	path string
}

// Open opens the directory at path. It refuses a link in the last place, foreign ownership, and write permission for others.
func Open(path string) (*Folder, error) {
	fd, err := openAt(unix.AT_FDCWD, path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err == unix.ENOTDIR || err == unix.ELOOP {
		return nil, fmt.Errorf("%s is a link or no directory; put a real directory there", path)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	var s State
	err = unix.Fstat(fd, &s.Stat_t)
	switch {
	case err != nil:
		err = &fs.PathError{Op: "stat", Path: path, Err: err}
	case !s.Owned():
		err = fmt.Errorf("%s belongs to another user; chown it to root", path)
	case !s.Safe():
		err = fmt.Errorf("%s can be written by others (%#o); chmod it to 0755", path, s.Permissions()&0o7777)
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &Folder{fd, path}, nil
}

// Close gives the directory back.
func (f *Folder) Close() { unix.Close(f.fd) }

// Make opens the directory at path, and makes it and those above it, mode 0755, if they aren't there.
func Make(path string) (*Folder, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	if err := os.Mkdir(path, 0o755); err == nil {
		if err := os.Chmod(path, 0o755); err != nil { // whatever the umask
			return nil, err
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return Open(path)
}

func (f *Folder) fail(op, name string, err error) error {
	if err == unix.EPERM { // root is refused for one reason mostly
		if flagged := f.flagged(name); flagged != nil {
			return fmt.Errorf("%s: %w", op, flagged)
		}
	}
	return &fs.PathError{Op: op, Path: f.path + "/" + name, Err: err}
}

// Read returns a file of the folder and whether it is safe from others' hands. A missing one is
// fs.ErrNotExist; a link, a second name of some other file, or anything but a file is refused.
func (f *Folder) Read(name string) (content []byte, safe bool, err error) {
	content, s, err := f.read(name)
	if err != nil {
		return nil, false, err
	}
	return content, s.Safe(), nil
}

func (f *Folder) read(name string) ([]byte, *State, error) {
	content, s, err := ReadRegular(f.fd, name, unix.O_NOFOLLOW)
	switch {
	case errors.Is(err, unix.ELOOP):
		return nil, nil, fmt.Errorf("%s/%s is a symbolic link; remove it", f.path, name)
	case err != nil:
		return nil, nil, fmt.Errorf("in %s: %w", f.path, err)
	case s.Nlink != 1:
		return nil, nil, fmt.Errorf("%s/%s has %d names (hard links); remove it", f.path, name, s.Nlink)
	}
	return content, s, nil
}

// ReadMode is Read for those who put a file back later: its content and its permission bits.
func (f *Folder) ReadMode(name string) (content []byte, mode os.FileMode, err error) {
	content, s, err := f.read(name)
	if err != nil {
		return nil, 0, err
	}
	return content, os.FileMode(s.Permissions() & 0o777), nil
}

// sync makes the folder's names last through a power cut.
func (f *Folder) sync() error {
	if err := unix.Fsync(f.fd); err != nil {
		return f.fail("sync", ".", err)
	}
	return nil
}

// Replace gives a file new content in one step: at any moment, and after a power cut, the old or the new
// is there, whole.
func (f *Folder) Replace(name string, content []byte, mode os.FileMode) error {
	if err := f.flagged(name); err != nil { // in an append-only folder the half of it could not be taken away
		return err
	}
	temporary := TemporaryPrefix(name) + rand.Text()
	at := f.fd
	fd, err := unix.Openat(at, temporary, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return f.fail("create", temporary, err)
	}
	file := os.NewFile(uintptr(fd), f.path+"/"+temporary)
	err = func() error {
		if _, err := file.Write(content); err != nil {
			return err
		}
		if err := file.Chmod(mode); err != nil {
			return err
		}
		return file.Sync()
	}()
	err = errors.Join(err, file.Close())
	if err == nil {
		if err = unix.Renameat(at, temporary, at, name); err != nil {
			err = f.fail("rename", name, err)
		}
	}
	if err != nil {
		unix.Unlinkat(at, temporary, 0) // what stays is swept next time, and sshd doesn't read it
		return err
	}
	return f.sync()
}

// Chmod gives the folder itself these permission bits.
func (f *Folder) Chmod(mode os.FileMode) error {
	var s State
	err := unix.Fstat(f.fd, &s.Stat_t)
	if err == nil && s.Permissions()&0o7777 != uint32(mode.Perm()) {
		err = unix.Fchmod(f.fd, uint32(mode.Perm()))
	}
	if err != nil {
		return f.fail("chmod", ".", err)
	}
	return nil
}

// Remove takes a file away for good.
func (f *Folder) Remove(name string) error {
	if err := unix.Unlinkat(f.fd, name, 0); err != nil {
		return f.fail("remove", name, err)
	}
	return f.sync()
}

// Sweep removes what a Replace or Stage of this file left that was cut short.
func (f *Folder) Sweep(name string) error { return f.sweep(TemporaryPrefix(name)) }

// SweepAll is Sweep for every name, in a folder of one's own.
func (f *Folder) SweepAll() error { return f.sweep(".") }

func (f *Folder) sweep(prefix string) error {
	entries, err := os.ReadDir("/proc/self/fd/" + strconv.Itoa(f.fd) + "/")
	if err != nil {
		return err
	}
	for _, e := range entries {
		found := e.Name()
		at := len(found) - len(rand.Text())
		if !strings.HasPrefix(found, prefix) || at < 0 || !strings.HasSuffix(found[:at], ".new-") || prefix != "." && found[:at] != prefix {
			continue
		}
		if err := unix.Unlinkat(f.fd, found, 0); err != nil {
			return f.fail("remove", found, err)
		}
	}
	return nil
}

// TemporaryPrefix is how the names of half-written files start. It starts with a dot and leads to no name ending in .conf: no Include pattern finds it.
func TemporaryPrefix(name string) string { return "." + name + ".new-" }

// Path is where the directory was opened.
func (f *Folder) Path() string { return f.path }

// Lock keeps a second process that asks for the same name from going on until release is called or this process ends
// (flock(2)); the file stays. It waits until ctx ends.
func (f *Folder) Lock(ctx context.Context, name string) (release func(), err error) {
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
			return nil, fmt.Errorf("waiting for whoever holds %s/%s: %w", f.path, name, ctx.Err())
		case <-pause.C:
		}
	}
	unix.Close(fd)
	return nil, f.fail("lock", name, err)
}
