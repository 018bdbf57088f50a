package sshds

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"keyswitchd/test/virtualpi/image"
)

// Suites are the Debian releases, oldest first: OpenSSH 9.2, 10.0 and 10.6.
func Suites() []string { return []string{image.Bookworm, image.Trixie, image.Forky} }

// The environment of a process that is to go into a tree before anything else.
const (
	envTree  = "KEYSWITCHD_SSHDS_TREE"  // the tree's directory here
	envWork  = "KEYSWITCHD_SSHDS_WORK"  // a directory here that is /mnt there; "" for none
	envRun   = "KEYSWITCHD_SSHDS_RUN"   // "1": become the program in the arguments
	envSuite = "KEYSWITCHD_SSHDS_SUITE" // the name of the release, for a test that goes on there
)

// Tree is one release's OpenSSH. Close it when no process uses it any more.
type Tree struct {
	Suite string
	entry *image.Entry
}

// Open finds the tree of a suite in the cache, or makes it (half a minute). Only root can.
func Open(ctx context.Context, suite string) (*Tree, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("sshds: opening a tree: only root can run a program in it; run the tests as root")
	}
	cache, err := image.Open("", os.Stderr)
	if err != nil {
		return nil, fmt.Errorf("sshds: opening the tree of %s: %w", suite, err)
	}
	entry, err := cache.SSHD(ctx, suite)
	if err != nil {
		return nil, fmt.Errorf("sshds: opening the tree of %s: %w", suite, err)
	}
	return &Tree{Suite: suite, entry: entry}, nil
}

// Close lets the cache throw the tree away when its recipe has changed.
func (t *Tree) Close() error { return t.entry.Release() }

// Command is a program of the tree, by its absolute path there, or a role of Main's, by its name. work is a directory of this machine that is /mnt
// there, or "". The test's TestMain must call Main. The network is this machine's; all else that the program does
// ends with it.
func (t *Tree) Command(ctx context.Context, work, program string, args ...string) *exec.Cmd {
	cmd := t.self(ctx, work, append([]string{program}, args...))
	cmd.Env = append(cmd.Env, envRun+"=1")
	return cmd
}

// self is this very program, in the tree.
func (t *Tree) self(ctx context.Context, work string, args []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", args...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=/root",
		envTree + "=" + t.entry.Dir, envWork + "=" + work}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID, // its processes and mounts end with it
		Pdeathsig:  syscall.SIGKILL,
		Setpgid:    true,
	}
	return cmd
}
