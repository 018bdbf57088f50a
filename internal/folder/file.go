package folder

import (
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Limit is the bytes of the largest file that is read whole: a configuration file or a record of our own.
const Limit = 4 << 20

// State is what fstat says of an open file.
type State struct {
	unix.Stat_t
}

// Permissions is the file's kind and permission bits, as inode(7) has them.
func (s *State) Permissions() uint32 { return uint32(s.Mode) }

func (s *State) isRegular() bool { return s.Permissions()&unix.S_IFMT == unix.S_IFREG }

// Owned says whether it belongs to root, or to whoever runs this.
func (s *State) Owned() bool { return s.Uid == 0 || int(s.Uid) == os.Geteuid() }

// Safe says whether nobody else can change it.
func (s *State) Safe() bool { return s.Owned() && s.Permissions()&0o022 == 0 }

// ReadRegular reads a regular file of at most Limit bytes, relative to the directory descriptor at, and waits for no FIFO. It makes four system calls: on
// the way to a running sshd, os.ReadFile's ten for each file can be felt on a small Pi.
func ReadRegular(at int, name string, flags int) ([]byte, *State, error) {
	fd, err := openAt(at, name, unix.O_RDONLY|unix.O_NONBLOCK|flags, 0)
	if err != nil {
		return nil, nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(fd)
	return readOpen(fd, name)
}

// readOpen is ReadRegular for a file that is open.
func readOpen(fd int, name string) ([]byte, *State, error) {
	s := new(State)
	if err := unix.Fstat(fd, &s.Stat_t); err != nil {
		return nil, nil, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	if !s.isRegular() {
		return nil, nil, fmt.Errorf("%s is not a regular file; move it away", name)
	}
	if s.Size > Limit {
		return nil, nil, fmt.Errorf("%s is larger than %d MB; move it away", name, Limit>>20)
	}
	content := make([]byte, 0, s.Size+1)
	for {
		n, err := unix.Read(fd, content[len(content):cap(content)])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, nil, &fs.PathError{Op: "read", Path: name, Err: err}
		}
		content = content[:len(content)+n]
		if n == 0 || int64(len(content)) == s.Size {
			break
		}
		if len(content) == cap(content) {
			return nil, nil, fmt.Errorf("%s grows while it is read; try again", name)
		}
	}
	if int64(len(content)) != s.Size {
		return nil, nil, fmt.Errorf("%s shrinks while it is read; try again", name)
	}
	return content, s, nil
}

func openAt(at int, name string, flags int, mode uint32) (int, error) {
	for {
		fd, err := unix.Openat(at, name, flags|unix.O_CLOEXEC, mode)
		if err != unix.EINTR {
			return fd, err
		}
	}
}
