package sshds

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// enter makes the tree this process's root. Its namespace of mounts must be its own already.
func enter(tree, work string) error {
	at := func(path string) string { return filepath.Join(tree, path) }
	steps := []mount{
		{"", "/", "", syscall.MS_REC | syscall.MS_PRIVATE, ""},
		{tree, tree, "", syscall.MS_BIND, ""},
		{"", tree, "", syscall.MS_BIND | syscall.MS_REMOUNT | syscall.MS_RDONLY, ""},
		{"proc", at("proc"), "proc", syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC, ""},
	}
	for _, dir := range []string{"etc/ssh", "run", "root", "home", "var/lib/keyswitchd", "dev"} {
		steps = append(steps, mount{"tmpfs", at(dir), "tmpfs", syscall.MS_NOSUID, "mode=0755"})
	}
	steps = append(steps, mount{"tmpfs", at("tmp"), "tmpfs", syscall.MS_NOSUID | syscall.MS_NODEV, "mode=1777"})
	if work != "" {
		steps = append(steps, mount{work, at("mnt"), "", syscall.MS_BIND, ""})
	}
	for _, m := range steps {
		if err := m.do(); err != nil {
			return err
		}
	}
	for _, device := range []string{"dev/null", "dev/zero", "dev/random", "dev/urandom"} {
		if err := os.WriteFile(at(device), nil, 0o644); err != nil {
			return fmt.Errorf("sshds: entering %s: %w", tree, err)
		}
		if err := (mount{"/" + device, at(device), "", syscall.MS_BIND, ""}).do(); err != nil {
			return err
		}
	}
	for _, dir := range []string{"run/sshd", "etc/ssh/sshd_config.d"} {
		if err := os.Mkdir(at(dir), 0o755); err != nil {
			return fmt.Errorf("sshds: entering %s: %w", tree, err)
		}
	}
	if err := homes(tree); err != nil {
		return fmt.Errorf("sshds: entering %s: %w", tree, err)
	}
	if err := syscall.Chroot(tree); err != nil {
		return fmt.Errorf("sshds: entering %s: %w", tree, err)
	}
	return os.Chdir("/")
}

// homes makes the home of each account that has its place in /home.
func homes(tree string) error {
	passwd, err := os.ReadFile(filepath.Join(tree, "etc/passwd"))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(passwd)) {
		f := strings.Split(line, ":")
		if len(f) < 7 || !strings.HasPrefix(f[5], "/home/") {
			continue
		}
		var uid, gid int
		if _, err := fmt.Sscan(f[2], &uid); err != nil {
			return err
		}
		if _, err := fmt.Sscan(f[3], &gid); err != nil {
			return err
		}
		home := filepath.Join(tree, f[5])
		if err := os.Mkdir(home, 0o755); err != nil {
			return err
		}
		if err := os.Chown(home, uid, gid); err != nil {
			return err
		}
	}
	return nil
}

// mount is the arguments of mount(2).
type mount struct {
	source, target, kind string
	flags                uintptr
	data                 string
}

func (m mount) do() error {
	if err := syscall.Mount(m.source, m.target, m.kind, m.flags, m.data); err != nil {
		return fmt.Errorf("sshds: mounting %s on %s: %w; it takes root with CAP_SYS_ADMIN", m.source, m.target, err)
	}
	return nil
}
