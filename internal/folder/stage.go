package folder

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Attributes are what a file is given back beside its content.
type Attributes struct {
	Mode     os.FileMode // permission bits, with setuid, setgid and sticky as in inode(7)
	UID, GID int
	Safe     bool // nobody but root, or whoever runs this, can change it
}

// ReadAttributes is Read for those who put a file back later.
func (f *Folder) ReadAttributes(name string) ([]byte, Attributes, error) {
	content, s, err := f.read(name)
	if err != nil {
		return nil, Attributes{}, err
	}
	return content, Attributes{os.FileMode(s.Permissions() & 0o7777), int(s.Uid), int(s.Gid), s.Safe()}, nil
}

// Staged is a file that lies ready beside the one that it replaces. Everything that needs room on the disk has been done by then.
type Staged struct {
	f         *Folder
	name      string
	temporary string // after Commit it holds the former file itself, with all that belongs to it
	absent    bool
	linked    bool // this file system can't exchange two names
	committed bool
}

// Stage writes content beside the file, with these attributes. absent says that there must be no such file yet.
func (f *Folder) Stage(name string, content []byte, a Attributes, absent bool) (*Staged, error) {
	s := &Staged{f: f, name: name, temporary: TemporaryPrefix(name) + rand.Text(), absent: absent}
	fd, err := unix.Openat(f.fd, s.temporary, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, f.fail("create", s.temporary, err)
	}
	file := os.NewFile(uintptr(fd), f.path+"/"+s.temporary)
	err = func() error {
		if _, err := file.Write(content); err != nil {
			return err
		}
		if a.UID != os.Geteuid() || a.GID != os.Getegid() {
			if err := file.Chown(a.UID, a.GID); err != nil {
				return err
			}
		}
		if err := unix.Fchmod(fd, uint32(a.Mode)); err != nil {
			return f.fail("chmod", s.temporary, err)
		}
		return file.Sync()
	}()
	if err = errors.Join(err, file.Close()); err != nil {
		unix.Unlinkat(f.fd, s.temporary, 0) // what stays is swept next time
		return nil, err
	}
	return s, nil
}

// Commit puts the staged file in place in one step, if the former one is still what was read: otherwise somebody has
// replaced it meanwhile, and theirs stays.
func (s *Staged) Commit(former []byte) error {
	at := s.f.fd
	if s.absent {
		err := unix.Renameat2(at, s.temporary, at, s.name, unix.RENAME_NOREPLACE)
		if err != nil {
			return s.f.fail("rename", s.name, err)
		}
		s.committed = true
		return s.f.sync()
	}
	err := unix.Renameat2(at, s.temporary, at, s.name, unix.RENAME_EXCHANGE)
	if err == unix.EINVAL || err == unix.ENOSYS {
		err = s.link()
	}
	if err == unix.EPERM {
		return fmt.Errorf("%w; is it immutable? lsattr shows it, chattr -i ends it", s.f.fail("replace", s.name, err))
	}
	if err != nil {
		return s.f.fail("replace", s.name, err)
	}
	s.committed = true
	was, _, err := ReadRegular(at, s.temporary, unix.O_NOFOLLOW)
	if err == nil && !bytes.Equal(was, former) {
		err = fmt.Errorf("%s/%s was changed meanwhile by somebody else; try again", s.f.path, s.name)
	}
	if err == nil {
		err = s.f.sync()
	}
	if err != nil {
		return errors.Join(err, s.Revert())
	}
	return nil
}

// link is Commit where two names can't be exchanged: the former file is kept under a second name.
func (s *Staged) link() error {
	old := TemporaryPrefix(s.name) + rand.Text()
	if err := unix.Linkat(s.f.fd, s.name, s.f.fd, old, 0); err != nil {
		return err
	}
	if err := unix.Renameat(s.f.fd, s.temporary, s.f.fd, s.name); err != nil {
		unix.Unlinkat(s.f.fd, old, 0) // what stays is swept next time
		return err
	}
	s.temporary, s.linked = old, true
	return nil
}

// Revert takes Commit back. It needs no room on the disk.
func (s *Staged) Revert() error {
	if !s.committed {
		return nil
	}
	at := s.f.fd
	var err error
	switch {
	case s.absent:
		err = unix.Unlinkat(at, s.name, 0)
	case s.linked:
		err = unix.Renameat(at, s.temporary, at, s.name)
	default:
		err = unix.Renameat2(at, s.temporary, at, s.name, unix.RENAME_EXCHANGE)
	}
	if err != nil {
		return s.f.fail("put back", s.name, err)
	}
	s.committed = false
	return s.f.sync()
}

// Close removes what lies beside: the former file after Commit, the new one otherwise.
func (s *Staged) Close() error {
	err := unix.Unlinkat(s.f.fd, s.temporary, 0)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s.f.fail("remove", s.temporary, err)
	}
	return nil
}
