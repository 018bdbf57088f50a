package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// installTree copies a directory of the host over /, as `make install` would have done here: owned by root,
// modes and symbolic links kept. What is not in it stays.
func installTree(host string) error {
	from := filepath.Join(ownDir, "install")
	if err := mountHost(host, from, true); err != nil {
		return err
	}
	err := filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil || rel == "." {
			return err
		}
		return installOne(path, filepath.Join("/", rel), e)
	})
	if err != nil {
		return fmt.Errorf("guest: installing %s: %w", host, err)
	}
	unix.Sync() // a power cut must not undo the installation
	return unix.Unmount(from, 0)
}

func installOne(from, to string, e fs.DirEntry) error {
	info, err := e.Info()
	if err != nil {
		return err
	}
	mode := uint32(info.Sys().(*syscall.Stat_t).Mode) & 0o7777
	switch {
	case e.IsDir():
		// An existing directory, or link to one such as /lib, keeps its mode.
		if at, err := os.Stat(to); err == nil && at.IsDir() {
			return nil
		}
		if err := os.Mkdir(to, 0o700); err != nil {
			return err
		}
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		if err := os.RemoveAll(to); err != nil {
			return err
		}
		return os.Symlink(target, to)
	case info.Mode().IsRegular():
		if err := copyFile(from, to); err != nil {
			return err
		}
	default:
		return fmt.Errorf("%s: is neither a file, a directory nor a symbolic link; leave it out of the tree", from)
	}
	if err := os.Chown(to, 0, 0); err != nil {
		return err
	}
	return unix.Chmod(to, mode)
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if closeErr := out.Close(); err == nil {
		err = closeErr
	}
	return err
}

// mountHost mounts a directory of the host.
func mountHost(host, guest string, readOnly bool) error {
	if err := os.MkdirAll(guest, 0o755); err != nil {
		return fmt.Errorf("guest: sharing %s: %w", host, err)
	}
	var flags uintptr
	if readOnly {
		flags = unix.MS_RDONLY
	}
	if err := unix.Mount("none", guest, "hostfs", flags, host); err != nil {
		return fmt.Errorf("guest: sharing %s as %s: %w", host, guest, err)
	}
	return nil
}
