package vm

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOverlayOfNothing(t *testing.T) {
	if _, err := newOverlay(t.TempDir(), "/nonexistent/base"); err == nil {
		t.Error("no error")
	}
}

func TestOverlay(t *testing.T) {
	dir := t.TempDir()
	base := filepath.Join(dir, "base")
	if err := os.WriteFile(base, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	const size = 64 << 20
	if err := os.Truncate(base, size); err != nil {
		t.Fatal(err)
	}
	f, err := newOverlay(dir, base)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := make([]byte, cowHeaderSize)
	if _, err := f.ReadAt(h, 0); err != nil {
		t.Fatal(err)
	}
	if m := binary.BigEndian.Uint32(h); m != cowMagic {
		t.Errorf("magic %#x", m)
	}
	if s := binary.BigEndian.Uint64(h[12:]); s != size {
		t.Errorf("size %d, want %d", s, size)
	}
	if p := strings.TrimRight(string(h[32:]), "\x00"); p != base {
		t.Errorf("backing file %q, want %q", p, base)
	}
	// 8192 bytes of header, one bit a sector.
	if info, err := f.Stat(); err != nil || info.Size() != 8192+size/512/8 {
		t.Errorf("size %d, %v", info.Size(), err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "virtualpi-overlay-*"))
	if err != nil || len(left) != 0 {
		t.Errorf("the overlay has a name: %q, %v", left, err)
	}
}
