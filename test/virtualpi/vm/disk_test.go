package vm

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// A disk is the base with the overlay's sectors in their places.
func TestDisk(t *testing.T) {
	dir := t.TempDir()
	base := filepath.Join(dir, "base")
	const size = 1 << 20
	content := bytes.Repeat([]byte("base"), size/4)
	if err := os.WriteFile(base, content, 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := newOverlay(dir, base)
	if err != nil {
		t.Fatal(err)
	}
	bitmap, data := cowLayout(size)
	for _, sector := range []int64{0, 11, 12, 17, size/cowSector - 1} {
		b := make([]byte, 1)
		if _, err := f.ReadAt(b, bitmap+sector/8); err != nil {
			t.Fatal(err)
		}
		b[0] |= 1 << (sector % 8)
		if _, err := f.WriteAt(b, bitmap+sector/8); err != nil {
			t.Fatal(err)
		}
		changed := bytes.Repeat([]byte{byte(sector)}, cowSector)
		if _, err := f.WriteAt(changed, data+sector*cowSector); err != nil {
			t.Fatal(err)
		}
		copy(content[sector*cowSector:], changed)
	}
	copied, err := nameless(dir)
	if err == nil {
		err = copySparse(copied, f)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	d := &Disk{copied, base}
	defer d.Close()
	whole := filepath.Join(dir, "whole")
	if err := d.WriteFile(whole); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(whole); err != nil || !bytes.Equal(got, content) {
		t.Errorf("the disk is not the base with the changed sectors: %v", err)
	}
	if err := d.WriteFile(filepath.Join(dir, "nowhere", "whole")); err == nil {
		t.Error("bad: written to where nothing can be")
	}
}
