package simulate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// shelfName is the directory that holds the folders of all simulations of one user.
const shelfName = "keyswitchd-sim"

// lockName is the file in a folder that its process holds locked for as long as it lives, however it ends.
const lockName = "lock"

// plainPath admits what needs no quotes in sshd_config, ssh_config and a shell.
var plainPath = regexp.MustCompile(`^/[A-Za-z0-9_./@+,:=-]*$`)

// folder is the private directory of one simulation: keys, configuration, permit.
type folder struct {
	path  string // absolute, without links
	shelf string
	lock  *os.File
}

func (f *folder) file(name string) string { return filepath.Join(f.path, name) }

// places are the directories that may hold the shelf, best first. None is /tmp: sshd (StrictModes) trusts no key below a
// directory that others can write.
func places(home string) []string {
	var list []string
	if os.Geteuid() == 0 {
		list = append(list, "/run")
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		list = append(list, dir)
	}
	if dir, err := os.UserCacheDir(); err == nil {
		return append(list, dir)
	}
	return append(list, filepath.Join(home, ".cache"))
}

// makeFolder makes a folder in the first place that sshd will trust. Folders of simulations that are gone are removed.
func makeFolder(places []string, home string) (*folder, error) {
	var errs []error
	for _, place := range places {
		shelf, err := makeShelf(place, home)
		if err == nil {
			return shelf.add()
		}
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("simulate: making a private folder that sshd trusts: %w", errors.Join(errs...))
}

// sweepFolders removes the folders of simulations that are gone, in all places.
func sweepFolders(places []string, home string) error {
	var errs []error
	for _, place := range places {
		if _, err := os.Lstat(filepath.Join(place, shelfName)); err != nil {
			continue
		}
		if shelf, err := makeShelf(place, home); err == nil {
			errs = append(errs, shelf.sweep(), shelf.unlock())
		}
	}
	return errors.Join(errs...)
}

// shelf is the directory of the folders, locked against other simulations.
type shelf struct {
	path string
	dir  *os.File
}

func makeShelf(place, home string) (*shelf, error) {
	if err := os.MkdirAll(place, 0o700); err != nil {
		return nil, err
	}
	place, err := filepath.EvalSymlinks(place)
	if err != nil {
		return nil, err
	}
	if !plainPath.MatchString(place) {
		return nil, fmt.Errorf("%s: its name has characters that ssh_config(5) would need quotes for", place)
	}
	if err := trusted(place, home); err != nil {
		return nil, err
	}
	path := filepath.Join(place, shelfName)
	for {
		if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		s, err := lockShelf(path)
		if s != nil || err != nil {
			return s, err
		}
	}
}

// lockShelf waits for the lock. It returns nil if the directory was removed meanwhile.
func lockShelf(path string) (*shelf, error) {
	dir, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	info, err := dir.Stat()
	if err == nil {
		err = private(path, info)
	}
	for err == nil {
		if err = unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != unix.EINTR {
			break
		}
		err = nil
	}
	if err != nil {
		dir.Close()
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	if now, err := os.Lstat(path); err != nil || !os.SameFile(now, info) {
		dir.Close()
		return nil, nil
	}
	return &shelf{path, dir}, nil
}

// unlock removes the shelf if it is empty, and ends the lock.
func (s *shelf) unlock() error {
	_ = os.Remove(s.path) // not empty: others are at work
	return s.dir.Close()
}

// sweep removes the folders whose process is gone. What was cut short before it had a lock is gone as well: folders are
// made with the shelf locked.
func (s *shelf) sweep() error {
	entries, err := os.ReadDir(s.path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(s.path, e.Name())
		if _, err := strconv.Atoi(e.Name()); err != nil || !e.IsDir() {
			continue
		}
		if f, err := os.OpenFile(filepath.Join(path, lockName), os.O_RDWR|unix.O_NOFOLLOW, 0); err == nil {
			err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
			f.Close()
			if err != nil {
				continue // its process lives
			}
		}
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("simulate: removing what a former simulation left: %w", err)
		}
	}
	return nil
}

// add makes a folder and unlocks the shelf.
func (s *shelf) add() (_ *folder, err error) {
	defer func() {
		if closed := s.dir.Close(); err == nil {
			err = closed
		}
	}()
	if err := s.sweep(); err != nil {
		return nil, err
	}
	f := &folder{shelf: s.path}
	for n := 1; ; n++ { // short names: people have to read the path
		f.path = filepath.Join(s.path, strconv.Itoa(n))
		err := os.Mkdir(f.path, 0o700)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("simulate: making the folder: %w", err)
		}
	}
	f.lock, err = os.OpenFile(f.file(lockName), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		err = unix.Flock(int(f.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		return nil, fmt.Errorf("simulate: locking the folder: %w", errors.Join(err, os.RemoveAll(f.path)))
	}
	return f, nil
}

// remove takes the folder away.
func (f *folder) remove() error {
	s, err := lockShelf(f.shelf)
	if err != nil {
		return fmt.Errorf("simulate: removing the folder: %w", err)
	}
	err = os.RemoveAll(f.path)
	f.lock.Close() // it only holds the lock
	if s != nil {
		err = errors.Join(err, s.unlock())
	}
	return err
}

// private says what is wrong with a directory that must be ours alone.
func private(path string, info os.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok || int(st.Uid) != os.Geteuid():
		return fmt.Errorf("%s belongs to another user", path)
	case info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("%s is open to others (%04o); chmod 0700 it", path, info.Mode().Perm())
	}
	return nil
}

// trusted says why sshd with StrictModes would not trust a key file below path, as its safe_path does (misc.c): every
// directory up to the home or the root must be of root or of the user, and writable by nobody else.
func trusted(path, home string) error {
	if real, err := filepath.EvalSymlinks(home); err == nil {
		home = real
	}
	for dir := path; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok || (st.Uid != 0 && int(st.Uid) != os.Geteuid()) {
			return fmt.Errorf("%s: %s belongs to another user", path, dir)
		}
		if info.Mode().Perm()&0o022 != 0 {
			return fmt.Errorf("%s: %s can be written by others (%04o); chmod go-w %s", path, dir, info.Mode().Perm(), dir)
		}
		if dir == home || dir == "/" || strings.HasPrefix(dir, ".") {
			return nil
		}
	}
}
