package image

import (
	"os"
	"path/filepath"
	"testing"
)

func TestMend(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f.c")
	m := Mend{File: "f.c", Old: "bad();\n", New: "good();\n"}
	if _, err := m.apply(dir); err == nil {
		t.Error("a missing file is no error")
	}
	for _, c := range []struct {
		text, want string
		there      bool
	}{
		{"a\nbad();\nb\n", "a\ngood();\nb\n", true},
		{"mended by others\n", "mended by others\n", false},
		{"bad();\nbad();\n", "bad();\nbad();\n", false},
	} {
		if err := os.WriteFile(path, []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		there, err := m.apply(dir)
		got, _ := os.ReadFile(path)
		if there != c.there || err != nil || string(got) != c.want {
			t.Errorf("%q: %v, %v, %q", c.text, there, err, got)
		}
	}
}
