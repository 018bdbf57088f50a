package hardening

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// folder is an open directory that nobody but root, or whoever runs this, can change. All work in it goes
// through its descriptor, so that renaming or replacing the path meanwhile changes nothing.
type folder struct {
	dir  *os.File
	path string
}

// openFolder refuses a link in the last place, foreign ownership, and write permission for others.
func openFolder(path string) (*folder, error) {
	dir, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("%s is a link or no directory; put a real directory there", path)
	}
	if err != nil {
		return nil, err
	}
	info, err := dir.Stat()
	switch {
	case err != nil:
	case !sameOwner(info):
		err = fmt.Errorf("%s belongs to another user; chown it to root", path)
	case info.Mode().Perm()&0o022 != 0:
		err = fmt.Errorf("%s can be written by others (%#o); chmod it to 0755", path, info.Mode().Perm())
	}
	if err != nil {
		dir.Close()
		return nil, err
	}
	return &folder{dir, path}, nil
}

func (f *folder) close() { f.dir.Close() }

func (f *folder) fail(op, name string, err error) error {
	return &fs.PathError{Op: op, Path: f.path + "/" + name, Err: err}
}

// read returns a file of the folder and whether it is safe from others' hands. A missing one is
// fs.ErrNotExist; a link, a second name of some other file, or anything but a file is refused.
func (f *folder) read(name string) (content []byte, safe bool, err error) {
	file := f.path + "/" + name
	fd, err := unix.Openat(int(f.dir.Fd()), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ELOOP) {
		return nil, false, fmt.Errorf("%s is a symbolic link; remove it", file)
	}
	if err != nil {
		return nil, false, f.fail("open", name, err)
	}
	opened := os.NewFile(uintptr(fd), file)
	defer opened.Close()
	info, err := opened.Stat()
	if err != nil {
		return nil, false, err
	}
	var s unix.Stat_t
	if err := unix.Fstat(fd, &s); err != nil {
		return nil, false, f.fail("stat", name, err)
	}
	switch {
	case !info.Mode().IsRegular():
		return nil, false, fmt.Errorf("%s is not a regular file; remove it", file)
	case s.Nlink != 1:
		return nil, false, fmt.Errorf("%s has %d names (hard links); remove it", file, s.Nlink)
	}
	content, err = readBounded(opened, file, info.Size(), fileLimit)
	return content, sameOwner(info) && info.Mode().Perm()&0o022 == 0, err
}

// replace gives a file new content in one step: at any moment, and after a power cut, the old or the new
// is there, whole.
func (f *folder) replace(name string, content []byte, mode os.FileMode) error {
	temporary := temporaryPrefix(name) + rand.Text()
	at := int(f.dir.Fd())
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
	return f.dir.Sync()
}

// remove takes a file away for good.
func (f *folder) remove(name string) error {
	if err := unix.Unlinkat(int(f.dir.Fd()), name, 0); err != nil {
		return f.fail("remove", name, err)
	}
	return f.dir.Sync()
}

// sweep removes what a replace left that was cut short.
func (f *folder) sweep(name string) error {
	if _, err := f.dir.Seek(0, 0); err != nil {
		return err
	}
	names, err := f.dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, found := range names {
		rest, ours := strings.CutPrefix(found, temporaryPrefix(name))
		if !ours || len(rest) != len(rand.Text()) {
			continue
		}
		if err := unix.Unlinkat(int(f.dir.Fd()), found, 0); err != nil {
			return f.fail("remove", found, err)
		}
	}
	return nil
}

// temporaryPrefix starts with a dot and leads to no name ending in .conf: no Include pattern finds it.
func temporaryPrefix(name string) string { return "." + name + ".new-" }
