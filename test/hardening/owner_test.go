//go:build sshds

package hardening

import (
	"fmt"
	"io/fs"
	"syscall"
)

// owner is "UID:GID".
func owner(info fs.FileInfo) string {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "unknown"
	}
	return fmt.Sprintf("%d:%d", s.Uid, s.Gid)
}
