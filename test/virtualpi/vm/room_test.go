package vm

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestUnfit(t *testing.T) {
	if unfit("/nonexistent", 1) == "" {
		t.Error("a missing directory is fit")
	}
	tests := []struct {
		name string
		stat unix.Statfs_t
		fit  bool
	}{
		{"bad: small", unix.Statfs_t{Bsize: 4096, Bavail: 64 << 8}, false},
		{"bad: noexec", unix.Statfs_t{Bsize: 4096, Bavail: 4096 << 8, Flags: unix.ST_NOEXEC}, false},
		{"good", unix.Statfs_t{Bsize: 4096, Bavail: 1024 << 8}, true},
	}
	for _, tt := range tests {
		if why := unfitStat(tt.stat, 1024); (why == "") != tt.fit {
			t.Errorf("%s: %q", tt.name, why)
		}
	}
}

func TestConsoleKeepsTheEnd(t *testing.T) {
	c := &console{}
	for range 3000 {
		if _, err := c.Write([]byte("0123456789012345678901234567890123456789\r\n")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Write([]byte("a\r\nb\r\n")); err != nil {
		t.Fatal(err)
	}
	if len(c.buf) > consoleBytes {
		t.Errorf("%d bytes are kept", len(c.buf))
	}
	for lines, want := range map[int]string{1: "b", 2: "a\nb", 3: "0123456789012345678901234567890123456789\na\nb"} {
		if got := c.last(lines); got != want {
			t.Errorf("last(%d) = %q, want %q", lines, got, want)
		}
	}
	short := &console{buf: []byte("only\n")}
	if got := short.last(100); got != "only" {
		t.Errorf("last(100) of one line = %q", got)
	}
}
