package folder

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Attributes are what a file is given back beside its content.
type Attributes struct {
	Mode     os.FileMode // permission bits, with setuid, setgid and sticky as in inode(7)
	UID, GID int
	Extended map[string][]byte // xattr(7) with acl(5) among them, but for those that sign the content
	Safe     bool              // nobody but root, or whoever runs this, can change it
}

// Same says whether a file that has the one need not be given the other.
func (a Attributes) Same(b Attributes) bool {
	return a.Mode == b.Mode && a.UID == b.UID && a.GID == b.GID && maps.EqualFunc(a.Extended, b.Extended, bytes.Equal)
}

// accessACL is where acl(5) keeps what chmod can't say.
const accessACL = "system.posix_acl_access"

// ReadAttributes is Read for those who put a file back later.
func (f *Folder) ReadAttributes(name string) ([]byte, Attributes, error) {
	content, s, err := f.read(name)
	if err != nil {
		return nil, Attributes{}, err
	}
	a := Attributes{Mode: os.FileMode(s.Permissions() & 0o7777), UID: int(s.Uid), GID: int(s.Gid), Safe: s.Safe()}
	fd, err := openAt(f.fd, name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, Attributes{}, f.fail("open", name, err)
	}
	defer unix.Close(fd)
	var again State
	if err := unix.Fstat(fd, &again.Stat_t); err != nil {
		return nil, Attributes{}, f.fail("stat", name, err)
	}
	if again.Ino != s.Ino || again.Dev != s.Dev {
		return nil, Attributes{}, fmt.Errorf("%s/%s was replaced while it was read; try again", f.path, name)
	}
	if a.Extended, err = extended(fd); err != nil {
		return nil, Attributes{}, f.fail("read the extended attributes of", name, err)
	}
	return content, a, nil
}

// extended are the extended attributes of an open file; none where the file system has no such thing.
func extended(fd int) (map[string][]byte, error) {
	names, err := sized(func(buf []byte) (int, error) { return unix.Flistxattr(fd, buf) })
	if errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOSYS) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out map[string][]byte
	for name := range strings.SplitSeq(string(names), "\x00") {
		if name == "" || name == "security.ima" || name == "security.evm" { // the kernel's own, of this very content
			continue
		}
		value, err := sized(func(buf []byte) (int, error) { return unix.Fgetxattr(fd, name, buf) })
		if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
			continue // gone meanwhile, or listed without being there
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if out == nil {
			out = map[string][]byte{}
		}
		out[name] = value
	}
	return out, nil
}

// sized asks for the size, then for the value, until both agree. 64 KB is the kernel's limit for each.
func sized(ask func([]byte) (int, error)) ([]byte, error) {
	for {
		n, err := ask(nil)
		if err != nil || n == 0 {
			return nil, err
		}
		buf := make([]byte, n)
		if n, err = ask(buf); err == nil {
			return buf[:n], nil
		}
		if !errors.Is(err, unix.ERANGE) {
			return nil, err
		}
	}
}

// setExtended gives a new file the extended attributes, and takes an ACL away that it has from its folder. What can't be set here is
// lost, one line each; only a lack of room is an error.
func setExtended(fd int, wanted map[string][]byte) (lost []string, err error) {
	has, err := extended(fd)
	if err != nil {
		return nil, err
	}
	if _, keep := wanted[accessACL]; has[accessACL] != nil && !keep {
		if err := unix.Fremovexattr(fd, accessACL); err != nil {
			return nil, fmt.Errorf("taking away %s: %w", accessACL, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		if now, there := has[name]; there && bytes.Equal(now, wanted[name]) {
			continue
		}
		switch err := unix.Fsetxattr(fd, name, wanted[name], 0); {
		case errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES), errors.Is(err, unix.EINVAL):
			lost = append(lost, fmt.Sprintf("%s (%v)", name, err))
		case err != nil:
			return nil, fmt.Errorf("setting %s: %w", name, err)
		}
	}
	return lost, nil
}

// flagged says whether chattr(1) has shut the file or the folder even to root, and what opens it.
func (f *Folder) flagged(name string) error {
	for _, at := range [...]struct{ name, path string }{{"", f.path}, {name, f.path + "/" + name}} {
		var s unix.Statx_t
		if unix.Statx(f.fd, at.name, unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW, 0, &s) != nil {
			continue // not there, or nothing that can be asked here: then the change itself will tell
		}
		switch {
		case s.Attributes&unix.STATX_ATTR_IMMUTABLE != 0:
			return &FlagError{at.path, "immutable", "chattr -i " + at.path}
		case s.Attributes&unix.STATX_ATTR_APPEND != 0:
			return &FlagError{at.path, "append-only", "chattr -a " + at.path}
		}
	}
	return nil
}

// FlagError is a file or directory that even root can't change. It is fs.ErrPermission.
type FlagError struct{ Path, What, Do string }

// Error says what to type.
func (e *FlagError) Error() string { return e.Path + " is " + e.What + "; " + e.Do }

// Is makes it a lack of permission.
func (e *FlagError) Is(target error) bool { return target == fs.ErrPermission }
