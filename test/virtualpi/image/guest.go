package image

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// GuestFile is the name of the program that the kernel starts first, in the guest's entry.
const GuestFile = "init"

// guestPackage is the program's import path. It is compiled from the tree that this process runs in.
const guestPackage = "keyswitchd/test/virtualpi/guest"

// Guest returns the entry with the program that runs inside. Its directory is what the kernel boots from: it has
// the mount points that this needs.
func (c *Cache) Guest(ctx context.Context) (*Entry, error) {
	program, err := c.compileGuest(ctx)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(program)
	return c.ensure(ctx, "guest", hex.EncodeToString(sum[:8]), func(_ context.Context, dir string) error {
		for _, mountPoint := range []string{"dev", "proc", "newroot"} {
			if err := os.Mkdir(filepath.Join(dir, mountPoint), 0o755); err != nil {
				return fmt.Errorf("image: placing the guest program: %w", err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, GuestFile), program, 0o755); err != nil {
			return fmt.Errorf("image: placing the guest program: %w", err)
		}
		return nil
	})
}

// compileGuest leaves the compiler's output in the cache: an unchanged program isn't linked again.
func (c *Cache) compileGuest(ctx context.Context) ([]byte, error) {
	unlock, err := c.lock(ctx, "compiler")
	if err != nil {
		return nil, err
	}
	defer unlock()
	out := filepath.Join(c.dir, "guest.bin")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", out, guestPackage)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=")
	var complaint bytes.Buffer
	build.Stdout, build.Stderr = io.Discard, &complaint
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("image: compiling the guest program: %w; run it inside the project's tree, with go in the PATH:\n%s", err, complaint.Bytes())
	}
	program, err := os.ReadFile(out)
	if err != nil {
		return nil, fmt.Errorf("image: compiling the guest program: %w", err)
	}
	return program, nil
}
