package image

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// SSHD is the recipe of a tree that holds one release's OpenSSH and what it needs to run in a chroot: no init, no
// package was configured.
type SSHD struct {
	Suite    string   // Debian release
	Packages []string // extracted with all they depend on
	Passwd   string   // accounts, as in /etc/passwd
	Group    string   // groups, as in /etc/group
}

// SSHDRecipe returns what the OpenSSH tree of a suite is made of.
func SSHDRecipe(suite string) (SSHD, error) {
	if _, err := RootRecipe(suite); err != nil {
		return SSHD{}, err
	}
	packages := []string{"openssh-server", "openssh-client", "dash"}
	if suite == Forky {
		packages = append(packages, "ssh-audit") // bookworm's is of 2021 and knows no post-quantum key exchange
	}
	return SSHD{
		Suite:    suite,
		Packages: packages,
		Passwd: `root:x:0:0:root:/root:/bin/dash
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
sshd:x:101:65534::/run/sshd:/usr/sbin/nologin
pi:x:1000:1000::/home/pi:/bin/dash
alice:x:1001:1001::/home/alice:/bin/dash
bob:x:1002:1002::/home/bob:/bin/dash
`,
		Group: `root:x:0:
nogroup:x:65534:
ssh:x:102:pi,alice
wheel:x:103:alice
users:x:100:
pi:x:1000:
alice:x:1001:
bob:x:1002:
`,
	}, nil
}

// Digest names the tree in the cache. The order of the packages doesn't matter.
func (s SSHD) Digest() string {
	s.Packages = sorted(s.Packages)
	return digest("sshd", s)
}

// SSHD returns the entry of a suite's OpenSSH tree, which it makes first if need be (half a minute). The entry's
// directory is the tree. Its /etc/ssh is empty.
func (c *Cache) SSHD(ctx context.Context, suite string) (*Entry, error) {
	s, err := SSHDRecipe(suite)
	if err != nil {
		return nil, err
	}
	return c.ensure(ctx, "sshd-"+suite, s.Digest(), func(ctx context.Context, dir string) error {
		if err := c.InstallPackages(ctx, sshdPackages()); err != nil {
			return err
		}
		if os.Geteuid() != 0 {
			return errors.New("image: making the OpenSSH tree: its files have many owners; run the tests as root once")
		}
		return c.makeSSHD(ctx, s, dir)
	})
}

func sshdPackages() []string { return []string{"mmdebstrap", "debian-archive-keyring"} }

func (c *Cache) makeSSHD(ctx context.Context, s SSHD, dir string) error {
	args := []string{
		"--variant=extract", "--format=directory",
		"--include=" + strings.Join(s.Packages, ","),
		"--aptopt=APT::Install-Recommends \"false\"",
		// A mirror may carry a testing suite's Release file that is out of date.
		"--aptopt=Acquire::Check-Valid-Until \"false\"",
		// Nothing is configured, so the links that base-files or usrmerge would make are made first.
		"--setup-hook=cd \"$1\" && mkdir -p usr/bin usr/sbin usr/lib usr/lib64 && ln -s usr/bin usr/sbin usr/lib usr/lib64 .",
		s.Suite, dir,
	}
	if mirror := debianMirror(ctx); mirror != "" {
		args = append(args, mirror)
	}
	extract := exec.Command("/usr/bin/mmdebstrap", args...)
	extract.Env = append(os.Environ(), "LC_ALL=C") // proxies come from the environment
	if err := c.step(ctx, "extracting OpenSSH of Debian "+s.Suite, extract); err != nil {
		return err
	}
	if err := s.adapt(dir); err != nil {
		return fmt.Errorf("image: adapting OpenSSH of Debian %s: %w", s.Suite, err)
	}
	return nil
}

// adapt makes room for what a test puts over the tree, and keeps the cache small.
func (s SSHD) adapt(dir string) error {
	at := func(path string) string { return filepath.Join(dir, path) }
	for _, big := range []string{"usr/share/doc", "usr/share/man", "usr/share/locale", "var/cache/apt", "var/lib/apt", "etc/ssh", "dev", "run"} {
		if err := os.RemoveAll(at(big)); err != nil {
			return err
		}
	}
	for _, empty := range []string{"etc/ssh", "dev", "run", "proc", "tmp", "root", "home", "mnt", "var/lib/keyswitchd"} {
		if err := os.MkdirAll(at(empty), 0o755); err != nil {
			return err
		}
	}
	for path, content := range map[string]string{
		"etc/passwd":        s.Passwd,
		"etc/group":         s.Group,
		"etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files\n",
		"etc/hosts":         "127.0.0.1 localhost\n",
	} {
		if err := os.WriteFile(at(path), []byte(content), 0o644); err != nil {
			return err
		}
	}
	// '*' is no password at all, but no locked account either: keys are let in.
	var shadow strings.Builder
	for line := range strings.Lines(s.Passwd) {
		name, _, _ := strings.Cut(line, ":")
		shadow.WriteString(name + ":*:20000:0:99999:7:::\n")
	}
	return os.WriteFile(at("etc/shadow"), []byte(shadow.String()), 0o600)
}
