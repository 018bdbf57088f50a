package image

import (
	"os"
	"path/filepath"
	"testing"
)

func TestPickMirror(t *testing.T) {
	tests := []struct{ name, targets, want string }{
		{"bad: nothing", "", ""},
		{"bad: other distributions only", "Other|Debian|main|http://other.test/debian/\n", ""},
		{"bad: security only", "Debian|Debian-Security|main|http://mirror.test/debian-security/\n", ""},
		{"the first of Debian's", "X|X|main|http://x.test/\nDebian|Debian|main|http://mirror.test/debian/\nDebian|Debian|main|http://second.test/\n", "http://mirror.test/debian"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := pickMirror(tt.targets); got != tt.want {
				t.Errorf("pickMirror = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestReplaceKeepsTheMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "shadow")
	if err := os.WriteFile(path, []byte("root:*:1:\nbin:*:1:\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := replace(path, func(line string) string {
		if line == "root:*:1:\n" {
			return "root::1:\n"
		}
		return line
	})
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil || string(b) != "root::1:\nbin:*:1:\n" {
		t.Errorf("content %q, %v", b, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}
