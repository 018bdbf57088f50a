//go:build e2e

package e2e

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// surroundings are everything that arming may touch: files and their owners byte for byte, and the states of units.
type surroundings map[string]string

func lookAround() (surroundings, error) {
	s := surroundings{}
	for _, tree := range []string{"/etc/ssh", "/etc/systemd/system", "/run/systemd/system", "/etc/keyswitchd", "/var/lib/keyswitchd", "/etc/polkit-1"} {
		err := filepath.WalkDir(tree, func(path string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if path == "/var/lib/keyswitchd/backup" { // kept for ever
				return fs.SkipDir
			}
			info, err := e.Info()
			if err != nil {
				return err
			}
			owner := info.Sys().(*syscall.Stat_t)
			about := fmt.Sprintf("%v %d:%d", info.Mode(), owner.Uid, owner.Gid)
			switch {
			case info.Mode().IsRegular():
				content, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				about += fmt.Sprintf(" %q", content)
			case info.Mode()&fs.ModeSymlink != 0:
				to, err := os.Readlink(path)
				if err != nil {
					return err
				}
				about += " -> " + to
			}
			// Where arming keeps its memory, the folder itself may stay; and backups of sshd's files are kept for good.
			if path != "/var/lib/keyswitchd" && !strings.HasPrefix(path, "/var/lib/keyswitchd/backup") {
				s[path] = about
			}
			return nil
		})
		if err != nil && !os.IsNotExist(err) {
			return nil, err
		}
	}
	for _, unit := range []string{"ssh.service", "ssh.socket", "keyswitchd.service"} {
		for _, verb := range []string{"is-enabled", "is-active"} {
			out, _ := exec.Command("systemctl", verb, unit).Output() // the exit code says the same as the word
			s["systemctl "+verb+" "+unit] = strings.TrimSpace(string(out))
		}
	}
	out, err := exec.Command("systemctl", "show", "-p", "DropInPaths,KillMode,ExecStartPre,NeedDaemonReload", "ssh.service").Output()
	if err != nil {
		return nil, fmt.Errorf("systemctl show ssh.service: %w", err)
	}
	for line := range strings.Lines(string(out)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		value, _, _ = strings.Cut(value, " ; ignore_errors") // what follows are the times of the last run
		s["ssh.service "+name] = value
	}
	return s, nil
}

// diff names what isn't as it was.
func (before surroundings) diff(after surroundings) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if now, ok := after[name]; !ok {
			fmt.Fprintf(&b, "  %s is gone\n", name)
		} else if now != before[name] {
			fmt.Fprintf(&b, "  %s\n    was %s\n    is  %s\n", name, before[name], now)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if _, ok := before[name]; !ok {
			fmt.Fprintf(&b, "  %s is new: %s\n", name, after[name])
		}
	}
	return b.String()
}
