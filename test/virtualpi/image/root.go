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

// RootFile is the name of the ext4 file system in a root's entry.
const RootFile = "root.ext4"

// Root returns the entry of a suite's root file system, which it makes first if need be (a minute).
func (c *Cache) Root(ctx context.Context, suite string) (*Entry, error) {
	r, err := RootRecipe(suite)
	if err != nil {
		return nil, err
	}
	return c.ensure(ctx, "root-"+suite, r.Digest(), func(ctx context.Context, dir string) error {
		if err := c.InstallPackages(ctx, rootPackages()); err != nil {
			return err
		}
		if os.Geteuid() != 0 {
			return errors.New("image: making the root file system: its files have many owners; run `virtualpi build` as root once")
		}
		return c.makeRoot(ctx, r, dir)
	})
}

func rootPackages() []string {
	return []string{"mmdebstrap", "e2fsprogs", "debian-archive-keyring"}
}

func (c *Cache) makeRoot(ctx context.Context, r Root, dir string) error {
	tree := filepath.Join(dir, "tree")
	args := []string{
		"--variant=minbase", "--format=directory",
		"--include=" + strings.Join(r.Packages, ","),
		"--aptopt=APT::Install-Recommends \"false\"",
		"--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*",
		"--dpkgopt=path-exclude=/usr/share/locale/*",
		// A mirror may carry a testing suite's Release file that is out of date.
		"--aptopt=Acquire::Check-Valid-Until \"false\"",
		r.Suite, tree,
	}
	if mirror := debianMirror(ctx); mirror != "" {
		args = append(args, mirror)
	}
	bootstrap := exec.Command("/usr/bin/mmdebstrap", args...)
	bootstrap.Env = append(os.Environ(), "LC_ALL=C") // proxies come from the environment
	if err := c.step(ctx, "installing Debian "+r.Suite, bootstrap); err != nil {
		return err
	}
	if err := r.adapt(tree); err != nil {
		return fmt.Errorf("image: adapting Debian %s: %w", r.Suite, err)
	}
	file := filepath.Join(dir, RootFile)
	f, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("image: making the file system: %w", err)
	}
	err = f.Truncate(int64(r.SizeMiB) << 20)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("image: making the file system: %w", err)
	}
	// No lazy initialisation: it would write into every machine's overlay.
	format := exec.Command("/sbin/mke2fs", "-q", "-F", "-t", "ext4", "-m", "0", "-L", "virtualpi",
		"-E", "lazy_itable_init=0,lazy_journal_init=0", "-d", tree, file)
	if err := c.step(ctx, "making the file system", format); err != nil {
		return err
	}
	return os.RemoveAll(tree)
}

// adapt turns what mmdebstrap made into a machine's disk.
func (r Root) adapt(tree string) error {
	at := func(path string) string { return filepath.Join(tree, path) }
	for _, dir := range []string{"dev", "run", "var/cache/apt/archives", "var/lib/apt/lists"} {
		entries, err := os.ReadDir(at(dir))
		for _, e := range entries {
			err = errors.Join(err, os.RemoveAll(filepath.Join(at(dir), e.Name())))
		}
		if err != nil {
			return err
		}
	}
	files := map[string]string{
		"etc/machine-id":  r.Machine + "\n",
		"etc/hostname":    "virtualpi\n",
		"etc/hosts":       "127.0.0.1 localhost\n127.0.1.1 virtualpi\n::1 localhost ip6-localhost ip6-loopback\n",
		"etc/fstab":       "",
		"etc/resolv.conf": "",
	}
	for path, content := range files {
		if err := os.Remove(at(path)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if err := os.WriteFile(at(path), []byte(content), 0o644); err != nil {
			return err
		}
	}
	// Nothing may start by itself in the middle of a test or a measurement.
	for _, timer := range []string{"apt-daily", "apt-daily-upgrade", "dpkg-db-backup", "e2scrub_all", "fstrim", "man-db", "systemd-tmpfiles-clean"} {
		link := at("etc/systemd/system/" + timer + ".timer")
		if err := os.Symlink("/dev/null", link); err != nil {
			return err
		}
	}
	if err := replace(at("etc/shadow"), func(line string) string {
		if f := strings.SplitN(line, ":", 3); f[0] == "root" {
			return "root::" + f[2] // the console needs no password
		}
		return line
	}); err != nil {
		return err
	}
	for _, u := range r.Users {
		if err := u.create(tree); err != nil {
			return err
		}
	}
	return nil
}

// create adds a user to the files of the tree, with a group of the same name.
func (u User) create(tree string) error {
	lines := map[string]string{
		"etc/passwd":  fmt.Sprintf("%s:x:%d:%d::/home/%s:/bin/bash\n", u.Name, u.UID, u.UID, u.Name),
		"etc/group":   fmt.Sprintf("%s:x:%d:\n", u.Name, u.UID),
		"etc/shadow":  fmt.Sprintf("%s:*:20000:0:99999:7:::\n", u.Name),
		"etc/gshadow": fmt.Sprintf("%s:!::\n", u.Name),
	}
	for path, line := range lines {
		f, err := os.OpenFile(filepath.Join(tree, path), os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteString(line)
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	home := filepath.Join(tree, "home", u.Name)
	if err := os.CopyFS(home, os.DirFS(filepath.Join(tree, "etc/skel"))); err != nil {
		return err
	}
	if err := os.Chmod(home, 0o755); err != nil {
		return err
	}
	return filepath.Walk(home, func(path string, _ os.FileInfo, err error) error {
		return errors.Join(err, os.Lchown(path, u.UID, u.UID))
	})
}

// replace maps each line of a file in place, so that owner and mode stay.
func replace(path string, line func(string) string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var out strings.Builder
	for l := range strings.Lines(string(b)) {
		out.WriteString(line(l))
	}
	return os.WriteFile(path, []byte(out.String()), 0o640)
}

// debianMirror returns where this machine gets Debian from; "" if it can't be told, and mmdebstrap then uses its own default.
func debianMirror(ctx context.Context) string {
	targets := exec.CommandContext(ctx, "/usr/bin/apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(COMPONENT)|$(REPO_URI)")
	out, err := targets.Output()
	if err != nil {
		return ""
	}
	return pickMirror(string(out))
}

func pickMirror(targets string) string {
	for line := range strings.Lines(targets) {
		f := strings.Split(strings.TrimSpace(line), "|")
		if len(f) == 4 && f[0] == "Debian" && f[1] == "Debian" && f[2] == "main" {
			return strings.TrimSuffix(f[3], "/")
		}
	}
	return ""
}
