package folder

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// acl is rw-r-----, and r-- for user 4711, in the kernel's form (acl(5), linux/posix_acl_xattr.h).
func acl() []byte {
	b := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range []struct {
		tag, perm uint16
		id        uint32
	}{{0x01, 6, ^uint32(0)}, {0x02, 4, 4711}, {0x04, 4, ^uint32(0)}, {0x10, 4, ^uint32(0)}, {0x20, 0, ^uint32(0)}} {
		b = binary.LittleEndian.AppendUint16(b, e.tag)
		b = binary.LittleEndian.AppendUint16(b, e.perm)
		b = binary.LittleEndian.AppendUint32(b, e.id)
	}
	return b
}

// eachSystem is the disk's file system and the one in memory, where this machine lets us.
func eachSystem(t *testing.T, try func(t *testing.T, dir string)) {
	for _, above := range []string{os.TempDir(), "/dev/shm"} {
		dir, err := os.MkdirTemp(above, "keyswitchd-test-")
		if err != nil {
			t.Logf("%v: not tried there", err)
			continue
		}
		t.Run(filepath.Base(above), func(t *testing.T) {
			defer os.RemoveAll(dir)
			try(t, dir)
		})
	}
}

// A file that is replaced, and one that is put back, has what it had: ACL, attributes, mode. What a folder gives new files by itself goes.
func TestExtendedAttributesStay(t *testing.T) {
	eachSystem(t, func(t *testing.T, dir string) {
		f, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		path := filepath.Join(dir, "file")
		write(t, path, "old", 0o640)
		write(t, filepath.Join(dir, "plain"), "old", 0o644)
		set := map[string][]byte{"user.note": []byte("mine"), accessACL: acl()}
		if os.Geteuid() == 0 {
			set["security.selinux"] = []byte("system_u:object_r:etc_t:s0\x00")
		}
		for name, value := range set {
			if err := unix.Setxattr(path, name, value, 0); err != nil {
				t.Logf("%s: %v: not tried here", name, err)
				delete(set, name)
			}
		}
		if err := unix.Setxattr(dir, "system.posix_acl_default", acl(), 0); err != nil {
			t.Logf("a default ACL: %v: not tried here", err)
		}
		_, before, err := f.ReadAttributes("file")
		if err != nil || len(before.Extended) != len(set) {
			t.Fatalf("%+v, %v; want %q", before, err, set)
		}
		_, plain, err := f.ReadAttributes("plain")
		if err != nil {
			t.Fatal(err)
		}
		for name, a := range map[string]Attributes{"file": before, "plain": plain} {
			s, err := f.Stage(name, []byte("new"), a, false)
			if err == nil {
				err = errors.Join(s.Commit([]byte("old")), s.Untouched([]byte("old")), s.Close())
			}
			if err != nil || len(s.Lost()) > 0 {
				t.Fatalf("%s: %v, lost %q", name, err, s.Lost())
			}
			content, after, err := f.ReadAttributes(name)
			if err != nil || string(content) != "new" || !after.Same(a) {
				t.Errorf("%s: %q, %+v, %v; want %+v", name, content, after, err, a)
			}
		}
		a := before
		a.Extended = map[string][]byte{"no.such": []byte("x")}
		s, err := f.Stage("file", []byte("new"), a, false)
		if err != nil || len(s.Lost()) != 1 {
			t.Errorf("an attribute that can't be: %v, %v", s, err)
		} else if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Somebody who has the former file open, and writes into it after it changed places, is noticed.
func TestWrittenAfterwards(t *testing.T) {
	dir := t.TempDir()
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	write(t, filepath.Join(dir, "file"), "old", 0o644)
	editor, err := os.OpenFile(filepath.Join(dir, "file"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer editor.Close()
	s, err := f.Stage("file", []byte("new"), Attributes{Mode: 0o644, UID: os.Geteuid(), GID: os.Getegid()}, false)
	if err == nil {
		err = s.Commit([]byte("old"))
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := editor.WriteString(" and more"); err != nil {
		t.Fatal(err)
	}
	if s.Untouched([]byte("old")) == nil {
		t.Error("it was not noticed")
	}
	if err := errors.Join(s.Revert(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if text, _, err := f.Read("file"); string(text) != "old and more" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
}

func TestRemovalCanBeTakenBack(t *testing.T) {
	dir := t.TempDir()
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	write(t, filepath.Join(dir, "file"), "old", 0o644)
	s, err := f.StageRemoval("file")
	if err == nil {
		err = s.Commit([]byte("other"))
	}
	if err == nil {
		t.Error("a file that somebody has changed was removed")
	}
	if err := errors.Join(s.Commit([]byte("old")), s.Revert()); err != nil {
		t.Fatal(err)
	}
	if text, _, err := f.Read("file"); string(text) != "old" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	if err := errors.Join(s.Commit([]byte("old")), s.Close()); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// What chattr has shut is told with the command that opens it, before anything is written.
func TestFlags(t *testing.T) {
	for _, c := range []struct {
		what, flag, want string
		bit              int
		folder           bool
	}{
		{"an immutable file", "-i", "file is immutable; chattr -i ", unix.STATX_ATTR_IMMUTABLE, false},
		{"an append-only file", "-a", "file is append-only; chattr -a ", unix.STATX_ATTR_APPEND, false},
		{"an immutable folder", "-i", " is immutable; chattr -i ", unix.STATX_ATTR_IMMUTABLE, true},
		{"an append-only folder", "-a", " is append-only; chattr -a ", unix.STATX_ATTR_APPEND, true},
	} {
		t.Run(c.what, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "file")
			write(t, path, "old", 0o644)
			shut := path
			if c.folder {
				shut = dir
			}
			// linux/fs.h: these two have the bits that statx gives them
			if err := setFlags(shut, c.bit); err != nil {
				t.Logf("%v: not tried here", err)
				return
			}
			defer setFlags(shut, 0)
			f, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			_, staging := f.Stage("file", []byte("new"), Attributes{Mode: 0o644, UID: os.Geteuid(), GID: os.Getegid()}, false)
			_, removal := f.StageRemoval("file")
			for _, err := range []error{staging, removal, f.Replace("file", []byte("new"), 0o644), f.Remove("file")} {
				var flag *FlagError
				if !errors.As(err, &flag) || !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), c.want+shut) {
					t.Errorf("%v, want %q", err, c.want+shut)
				}
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
}

// setFlags turns these on, or with 0 those two off, as chattr does.
func setFlags(path string, flags int) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	has, err := unix.IoctlGetInt(int(file.Fd()), unix.FS_IOC_GETFLAGS)
	if err != nil {
		return err
	}
	return unix.IoctlSetPointerInt(int(file.Fd()), unix.FS_IOC_SETFLAGS, has&^(unix.STATX_ATTR_IMMUTABLE|unix.STATX_ATTR_APPEND)|flags)
}
