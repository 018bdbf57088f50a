package simulate

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// somewhere is a place that sshd would trust if the home were there.
func somewhere(t *testing.T) string {
	t.Helper()
	place, err := filepath.EvalSymlinks(t.TempDir())
	if err == nil {
		err = os.Chmod(place, 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	return place
}

func make1(t *testing.T, place string) *folder {
	t.Helper()
	f, err := makeFolder([]string{place}, place)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func gone(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is still there (%v)", path, err)
	}
}

func TestFolder(t *testing.T) {
	place := somewhere(t)
	one, two := make1(t, place), make1(t, place)
	if one.path == two.path {
		t.Fatalf("both have %s", one.path)
	}
	info, err := os.Stat(one.path)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v; want it private", info.Mode(), err)
	}
	if err := one.remove(); err != nil {
		t.Error(err)
	}
	gone(t, one.path)
	if _, err := os.Stat(two.path); err != nil {
		t.Errorf("the other one's was removed: %v", err)
	}
	if err := two.remove(); err != nil {
		t.Error(err)
	}
	gone(t, filepath.Join(place, shelfName))
}

// What a killed simulation left is removed by the next one, and what a living one has is not.
func TestFolderSweep(t *testing.T) {
	place := somewhere(t)
	killed, alive := make1(t, place), make1(t, place)
	if err := killed.lock.Close(); err != nil { // as the kernel does it
		t.Fatal(err)
	}
	unfinished := filepath.Join(place, shelfName, "7")
	if err := os.Mkdir(unfinished, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(killed.file("key"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	next := make1(t, place)
	gone(t, unfinished)
	gone(t, filepath.Join(killed.path, "key"))
	if next.path != killed.path {
		t.Errorf("the next has %s; want the number that became free", next.path)
	}
	if _, err := os.Stat(alive.file(lockName)); err != nil {
		t.Errorf("the living one's was removed: %v", err)
	}
	if err := next.lock.Close(); err != nil {
		t.Fatal(err)
	}
	if err := sweepFolders([]string{"/nowhere", place}, place); err != nil {
		t.Error(err)
	}
	gone(t, next.path)
	if err := alive.remove(); err != nil {
		t.Error(err)
	}
}

func TestFolderRefuses(t *testing.T) {
	bad := func(name string, make func(place string) string, want string) {
		t.Run(name, func(t *testing.T) {
			place := somewhere(t)
			home := place
			f, err := makeFolder([]string{make(place)}, home)
			if err == nil {
				t.Fatalf("made %s", f.path)
			}
			if !strings.Contains(err.Error(), want) {
				t.Errorf("error %q, want one with %q", err, want)
			}
		})
	}
	check := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	bad("others can write the place", func(place string) string { check(os.Chmod(place, 0o770)); return place }, "chmod go-w")
	bad("others can write a parent", func(place string) string {
		check(os.Chmod(place, 0o777))
		return filepath.Join(place, "below")
	}, "chmod go-w")
	bad("a name that needs quotes", func(place string) string { return filepath.Join(place, "a b") }, "quotes")
	bad("the shelf is a link", func(place string) string {
		check(os.Symlink("/", filepath.Join(place, shelfName)))
		return place
	}, shelfName)
	bad("the shelf is open to others", func(place string) string {
		check(os.Mkdir(filepath.Join(place, shelfName), 0o755))
		return place
	}, "open to others")
}

// The second place is taken if the first one won't do.
func TestFolderSecondPlace(t *testing.T) {
	place := somewhere(t)
	f, err := makeFolder([]string{"/proc/nowhere", place}, place)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(f.path, place) {
		t.Errorf("made %s", f.path)
	}
	if err := f.remove(); err != nil {
		t.Error(err)
	}
}
