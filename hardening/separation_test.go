package hardening

import (
	"context"
	"errors"
	"slices"
	"testing"
)

// The directory that ssh.service takes along when it stops is made anew, also if it vanishes just then; one that can't be made is sshd's error.
func TestSeparationDirectory(t *testing.T) {
	canMake := makeSeparationDir() == nil // root can, and others don't need to where it is there
	for missing, want := range map[int]bool{0: true, 1: canMake, separationTries: canMake, separationTries + 1: false} {
		m := newMachine(t)
		run, left := m.o.exec, missing
		m.o.exec = func(ctx context.Context, path string, args ...string) (output, error) {
			if slices.Contains(args, "-T") && left > 0 {
				left--
				return output{stderr: "Missing privilege separation directory: /run/sshd\r\n"}, errors.New("exit status 255")
			}
			return run(ctx, path, args...)
		}
		r, err := Harden(t.Context(), m.o)
		if (err == nil && r.Verified) != want {
			t.Errorf("missing %d times: verified %v, %v; want %v", missing, r.Verified, err, want)
		}
	}
}
