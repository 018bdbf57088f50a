package folder

import (
	"fmt"
	"io/fs"
	"strconv"

	"golang.org/x/sys/unix"
)

// ReadStrangers is ReadRegular for a file in somebody else's folder. What is no regular file isn't opened at all: opening does
// something for some devices, such as starting the watchdog, and a link in a home directory may lead to each of them.
// It needs /proc.
func ReadStrangers(name string) ([]byte, *State, error) {
	fd, err := openAt(unix.AT_FDCWD, name, unix.O_PATH, 0)
	if err != nil {
		return nil, nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(fd)
	s := new(State)
	if err := unix.Fstat(fd, &s.Stat_t); err != nil {
		return nil, nil, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	if !s.isRegular() {
		return nil, nil, fmt.Errorf("%s is not a regular file; move it away", name)
	}
	// The descriptor holds on to the file, so nobody can put something else in its place.
	content, s, err := ReadRegular(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(fd), 0)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	return content, s, nil
}
