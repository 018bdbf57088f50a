package folder

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestReadStrangers(t *testing.T) {
	dir := t.TempDir()
	fifo, file := filepath.Join(dir, "fifo"), filepath.Join(dir, "file")
	if err := unix.Mkfifo(fifo, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("keys\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"to-fifo": fifo, "to-file": file, "to-nothing": filepath.Join(dir, "nothing"), "to-folder": dir} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	watch, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(watch)
	if _, err := unix.InotifyAddWatch(watch, fifo, unix.IN_OPEN); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"fifo", "to-fifo", "to-folder"} {
		if _, _, err := ReadStrangers(filepath.Join(dir, name)); err == nil || !strings.Contains(err.Error(), name+" is not a regular file") {
			t.Errorf("bad: %s: %v", name, err)
		}
	}
	if _, err := unix.Read(watch, make([]byte, 1024)); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("bad: what is no regular file was opened (%v)", err)
	}
	for _, name := range []string{"nothing", "to-nothing"} {
		if _, _, err := ReadStrangers(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("bad: %s: %v", name, err)
		}
	}
	for _, name := range []string{"file", "to-file"} {
		if content, s, err := ReadStrangers(filepath.Join(dir, name)); err != nil || string(content) != "keys\n" || s.Size != 5 {
			t.Errorf("%s: %q, %v", name, content, err)
		}
	}
}
