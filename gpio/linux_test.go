package gpio

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestNoChips(t *testing.T) {
	b := &linuxBoard{dev: t.TempDir()}
	if err := b.noChips("GPIO17"); !strings.Contains(err.Error(), "gpio: looking for line GPIO17: there is no "+b.dev+"/gpiochip*: the chip is gone, or this is not a Raspberry Pi") {
		t.Error(err)
	}
	chip := filepath.Join(b.dev, "gpiochip0")
	if err := os.WriteFile(chip, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.noChips("GPIO17"); !strings.Contains(err.Error(), "GPIO17: asking "+chip+" which lines there are: the kernel refused") {
		t.Error(err)
	}
	if err := os.Remove(chip); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", chip); err != nil {
		t.Fatal(err)
	}
	if err := b.noChips("GPIO17"); !strings.Contains(err.Error(), "GPIO17: opening "+chip+": no such file or directory") {
		t.Error(err)
	}
	if err := openError("GPIO17", chip, &os.PathError{Op: "open", Path: chip, Err: syscall.EACCES}); !strings.Contains(err.Error(), "group gpio") {
		t.Error(err)
	}
	if err := openError("GPIO17", chip, syscall.ENODEV); !strings.Contains(err.Error(), "unbound") {
		t.Error(err)
	}
}

func TestFingerprintSeesChipsComeAndGo(t *testing.T) {
	b := &linuxBoard{dev: t.TempDir()}
	chip := filepath.Join(b.dev, "gpiochip0")
	last := b.fingerprint()
	changed := func(what string, want bool) {
		t.Helper()
		now := b.fingerprint()
		if slices.Equal(now, last) == want {
			t.Errorf("%s: changed is not %v", what, want)
		}
		last = now
	}
	changed("nothing there", false)
	if err := os.WriteFile(chip, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	changed("a chip came", true)
	changed("nothing new", false)
	if err := os.Chmod(chip, 0o660); err != nil {
		t.Fatal(err)
	}
	changed("permissions", true)
	// Bound again: another file of the same name. The old one is kept, so that its inode is not used again at once.
	if err := os.Rename(chip, filepath.Join(b.dev, "old")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(chip, nil, 0o660); err != nil {
		t.Fatal(err)
	}
	changed("another chip", true)
	if err := os.Remove(chip); err != nil {
		t.Fatal(err)
	}
	changed("the chip went", true)
}
