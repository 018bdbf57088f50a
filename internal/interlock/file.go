package interlock

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"keyswitchd/internal/folder"
)

// writeFile gives path its content in one step, if it doesn't have it, and makes its directory.
func writeFile(path string, content []byte, mode os.FileMode) error {
	dir, err := folder.Make(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	name := filepath.Base(path)
	has, was, err := dir.ReadMode(name)
	if err == nil && bytes.Equal(has, content) && was == mode {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return errors.Join(dir.Sweep(name), dir.Replace(name, content, mode))
}

// removeFile takes path away; one that isn't there is fine.
func removeFile(path string) error {
	dir, err := folder.Open(filepath.Dir(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := dir.Remove(filepath.Base(path)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func isNotEmpty(err error) bool {
	return errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EEXIST)
}
