package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"keyswitchd/test/virtualpi/vm"
)

func TestSharesFor(t *testing.T) {
	tests := []struct {
		name, binary, module string
		want                 []vm.Share // nil: an error
	}{
		{"bad: a program of the system", "/bin/true", "/home/me/module", nil},
		{"bad: a module in the machine's way", "/tmp/b001/x.test", "/usr/src/module", nil},
		{"bad: the root", "/tmp/b001/x.test", "/", nil},
		{"go test", "/tmp/b001/x.test", "/home/me/module", []vm.Share{
			{Host: "/tmp/b001", Guest: "/tmp/b001"},
			{Host: "/home/me/module", Guest: "/home/me/module", ReadOnly: true},
		}},
		{"the binary within the module", "/home/me/module/out/x.test", "/home/me/module", []vm.Share{
			{Host: "/home/me/module", Guest: "/home/me/module", ReadOnly: true},
			{Host: "/home/me/module/out", Guest: "/home/me/module/out"},
		}},
		{"the binary at the module's root", "/m/x.test", "/m", []vm.Share{{Host: "/m", Guest: "/m"}}},
		{"a name that only begins like the system's", "/usr2/x.test", "/usr2", []vm.Share{{Host: "/usr2", Guest: "/usr2"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := sharesFor(tt.binary, tt.module)
			if (err != nil) != (tt.want == nil) || !slices.Equal(got, tt.want) {
				t.Errorf("sharesFor = %+v, %v", got, err)
			}
		})
	}
}

func TestModuleRoot(t *testing.T) {
	root := t.TempDir()
	deep := filepath.Join(root, "module", "a", "b")
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	if got := moduleRoot(deep); got != deep {
		t.Errorf("without go.mod: %s", got)
	}
	if err := os.WriteFile(filepath.Join(root, "module", "go.mod"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := moduleRoot(deep); got != filepath.Join(root, "module") {
		t.Errorf("with go.mod: %s", got)
	}
}

func TestParseShare(t *testing.T) {
	dir := t.TempDir()
	tests := []struct {
		in   string
		want *vm.Share
	}{
		{"", nil},
		{dir, nil},
		{dir + ":relative", nil},
		{dir + ":relative:ro", nil},
		{dir + ":/a:rw", nil},
		{"/nonexistent:/a", nil},
		{dir + ":/a", &vm.Share{Host: dir, Guest: "/a"}},
		{dir + ":/a:ro", &vm.Share{Host: dir, Guest: "/a", ReadOnly: true}},
	}
	for _, tt := range tests {
		got, err := parseShare(tt.in)
		if (err != nil) != (tt.want == nil) || tt.want != nil && got != *tt.want {
			t.Errorf("parseShare(%q) = %+v, %v", tt.in, got, err)
		}
	}
}

func TestPassedOn(t *testing.T) {
	got := passedOn([]string{"HOME=/root", "KEYSWITCHD_X=1", "PATH=/bin", "VIRTUALPI_Y=2"})
	if !slices.Equal(got, []string{"KEYSWITCHD_X=1", "VIRTUALPI_Y=2"}) {
		t.Errorf("passedOn = %q", got)
	}
}

func TestUsageErrors(t *testing.T) {
	for _, args := range [][]string{nil, {"nope"}, {"exec"}, {"exec", "-key", "sideways", "x"}, {"exec", "-install", "/nonexistent", "x"}, {"build", "-x"}} {
		if code := run(t.Context(), args); code != exitUsage {
			t.Errorf("run(%q) = %d, want %d", args, code, exitUsage)
		}
	}
}
