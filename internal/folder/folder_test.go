package folder

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	real := filepath.Join(dir, "real")
	for name, make := range map[string]func(path string) error{
		"a link":             func(p string) error { return os.Symlink(real, p) },
		"a file":             func(p string) error { return os.WriteFile(p, nil, 0o644) },
		"written by others":  func(p string) error { return errors.Join(os.Mkdir(p, 0o755), os.Chmod(p, 0o777)) },
		"written by a group": func(p string) error { return errors.Join(os.Mkdir(p, 0o755), os.Chmod(p, 0o775)) },
	} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(real, 0o755), make(path)); err != nil {
			t.Fatal(err)
		}
		if f, err := Open(path); err == nil {
			f.Close()
			t.Errorf("%s was opened", name)
		}
	}
	if _, err := Open(filepath.Join(dir, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing directory: %v", err)
	}
}

func TestReadRefuses(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	write(t, at("good"), "text", 0o640)
	write(t, at("twice"), "text", 0o644)
	write(t, at("loose"), "text", 0o666)
	if err := errors.Join(os.Link(at("twice"), at("again")), os.Symlink("good", at("link")), os.Mkdir(at("dir"), 0o755)); err != nil {
		t.Fatal(err)
	}
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if text, mode, err := f.ReadMode("good"); string(text) != "text" || mode != 0o640 || err != nil {
		t.Errorf("good: %q, %v, %v", text, mode, err)
	}
	if _, safe, err := f.Read("loose"); safe || err != nil {
		t.Errorf("a file that others can write: safe %v, %v", safe, err)
	}
	for _, name := range []string{"again", "link", "dir"} {
		if text, _, err := f.Read(name); err == nil {
			t.Errorf("%s: read %q", name, text)
		}
	}
	if _, _, err := f.Read("missing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
}

// A replaced file is another file: who has the old one open, or reaches it by another name, keeps it.
func TestReplace(t *testing.T) {
	dir := t.TempDir()
	f, err := Make(filepath.Join(dir, "new", "folder"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	victim := filepath.Join(dir, "victim")
	write(t, victim, "victim", 0o600)
	if err := os.Symlink(victim, filepath.Join(f.Path(), "file")); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"one", "two"} {
		if err := f.Replace("file", []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
		if got, mode, err := f.ReadMode("file"); string(got) != text || mode != 0o640 || err != nil {
			t.Errorf("got %q, %v, %v", got, mode, err)
		}
	}
	if got, _ := os.ReadFile(victim); string(got) != "victim" {
		t.Errorf("wrote through a link: %q", got)
	}
	half := TemporaryPrefix("file") + strings.Repeat("A", 26)
	write(t, filepath.Join(f.Path(), half), "half", 0o600)
	if err := errors.Join(f.Sweep("file"), f.Remove("file")); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(f.Path()); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestLock(t *testing.T) {
	f, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	release, err := f.Lock(t.Context(), "lock")
	if err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Lock(gone, "lock"); !errors.Is(err, context.Canceled) {
		t.Errorf("a second lock: %v", err)
	}
	release()
	again, err := f.Lock(gone, "lock")
	if err != nil {
		t.Fatal(err)
	}
	again()
}
