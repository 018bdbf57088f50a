package audit

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// guardedFiles decide who gets in. Patterns of filepath.Match; deny is the mode bits that must not be set.
var guardedFiles = [...]struct {
	pattern string
	deny    os.FileMode
}{
	{"/etc/ssh", 0o022}, {"/etc/ssh/sshd_config", 0o022}, {"/etc/ssh/sshd_config.d", 0o022}, {"/etc/ssh/sshd_config.d/*", 0o022}, {"/etc/ssh/moduli", 0o022},
	{"/etc/ssh/ssh_host_*_key", 0o077}, {"/etc/ssh/ssh_host_*_key.pub", 0o022},
	{"/etc/keyswitchd", 0o022}, {"/etc/keyswitchd/*", 0o022}, {"/var/lib/keyswitchd", 0o022}, {"/usr/sbin/keyswitchd", 0o022},
	{"/usr/lib/keyswitchd/interlock", 0o022}, {"/usr/lib/keyswitchd/interlock/*", 0o022}, {"/etc/systemd/system", 0o022}, {"/etc/systemd/system/ssh*.d", 0o022}, {"/etc/systemd/system/ssh*.d/*", 0o022},
	{"/etc/passwd", 0o022}, {"/etc/group", 0o022}, {"/etc/shadow", 0o037}, {"/etc/gshadow", 0o037}, {"/etc/sudoers", 0o022}, {"/etc/sudoers.d", 0o022}, {"/etc/sudoers.d/*", 0o022},
	{"/etc/default/ssh", 0o022}, {"/etc/pam.d", 0o022}, {"/etc/pam.d/sshd", 0o022},
}

// fileModes: whoever can write one of these decides who gets in.
func fileModes(_ context.Context, m *Machine, n notes) {
	root := uint32(0)
	if m.Root != "/" { // a tree in a test belongs to the tester
		root = uint32(os.Geteuid())
	}
	for _, g := range guardedFiles {
		found, err := filepath.Glob(m.path(g.pattern))
		if err != nil {
			n.left("%s: %s", g.pattern, why(err))
		}
		for _, path := range found {
			file := path
			if m.Root != "/" {
				file = path[len(m.Root):]
			}
			info, err := os.Stat(path)
			if err != nil {
				if !errors.Is(err, fs.ErrNotExist) {
					n.left("%s: %s", file, why(err))
				}
				continue
			}
			severity := Critical
			if g.deny == 0o037 || g.deny == 0o077 {
				severity = Warning
			}
			if st := info.Sys().(*syscall.Stat_t); st.Uid != root {
				n.add(Critical, "chown root "+file, "%s belongs to user id %d, who can change it", file, st.Uid)
			}
			mode := info.Mode().Perm()
			if mode&0o022&g.deny != 0 {
				n.add(Critical, "chmod go-w "+file, "%s can be written by others (%04o)", file, mode)
			} else if mode&g.deny != 0 {
				n.add(severity, "chmod "+keep(g.deny)+" "+file, "%s can be read by others (%04o)", file, mode)
			}
		}
	}
	for _, dir := range []string{"/etc/sudoers.d"} {
		if _, err := os.ReadDir(m.path(dir)); errors.Is(err, fs.ErrPermission) {
			n.left("the files in %s: that needs root", dir)
		}
	}
}

func keep(deny os.FileMode) string {
	if deny == 0o037 {
		return "u=rw,g=r,o="
	}
	return "0600"
}
