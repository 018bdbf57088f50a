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

// Staged is a file that lies ready beside the one that it replaces. Everything that needs room on the disk has been done by then.
type Staged struct {
	f         *Folder
	name      string
	temporary string // after Commit it holds the former file itself, with all that belongs to it
	absent    bool
	removal   bool // nothing is put in the file's place
	linked    bool // this file system can't exchange two names
	committed bool
	lost      []string
}

// Lost names the extended attributes that this file system or this user can't give the staged file, with the reason.
func (s *Staged) Lost() []string { return s.lost }

// Stage writes content beside the file, with these attributes. absent says that there must be no such file yet.
func (f *Folder) Stage(name string, content []byte, a Attributes, absent bool) (*Staged, error) {
	if err := f.flagged(name); err != nil { // in an append-only folder the file could be made and never be taken away
		return nil, err
	}
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
		if !absent {
			if s.lost, err = setExtended(fd, a.Extended); err != nil {
				return err
			}
		}
		// After the ACL, which has its say in the mode.
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

// StageRemoval prepares taking a file away so that it can be had back.
func (f *Folder) StageRemoval(name string) (*Staged, error) {
	if err := f.flagged(name); err != nil {
		return nil, err
	}
	return &Staged{f: f, name: name, temporary: TemporaryPrefix(name) + rand.Text(), removal: true}, nil
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
		if err := s.f.sync(); err != nil {
			return errors.Join(err, s.Revert())
		}
		return nil
	}
	var err error
	if s.removal {
		err = unix.Renameat(at, s.name, at, s.temporary)
	} else if err = unix.Renameat2(at, s.temporary, at, s.name, unix.RENAME_EXCHANGE); err == unix.EINVAL || err == unix.ENOSYS {
		err = s.link()
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
	case s.removal:
		err = unix.Renameat2(at, s.temporary, at, s.name, unix.RENAME_NOREPLACE)
	default:
		err = unix.Renameat2(at, s.temporary, at, s.name, unix.RENAME_EXCHANGE)
	}
	if err != nil {
		return s.f.fail("put back", s.name, err)
	}
	s.committed = false
	return s.f.sync()
}

// Untouched says whether the former file, which lies beside since Commit, is still what was read: somebody who had it open could have
// written into it since.
func (s *Staged) Untouched(former []byte) error {
	if s.absent || !s.committed {
		return nil
	}
	was, _, err := ReadRegular(s.f.fd, s.temporary, unix.O_NOFOLLOW)
	if err == nil && !bytes.Equal(was, former) {
		err = fmt.Errorf("%s/%s was changed meanwhile by somebody else; try again", s.f.path, s.name)
	}
	return err
}

// Close removes what lies beside: the former file after Commit, the new one otherwise.
func (s *Staged) Close() error {
	err := unix.Unlinkat(s.f.fd, s.temporary, 0)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s.f.fail("remove", s.temporary, err)
	}
	return nil
}
