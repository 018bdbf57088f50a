package lockout

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"keyswitchd/internal/accounts"
	"keyswitchd/internal/shellword"
)

// ModeError is a file or directory that others can change or its owner can't read.
type ModeError struct {
	Path string
	Why  string // "can be written by everybody (0777)"
	Do   string // the command that mends it
}

// Error is the path with what is wrong.
func (e *ModeError) Error() string { return e.Path + " " + e.Why }

// StrictModes returns why sshd with StrictModes would not use a file of the account (safe_path of OpenSSH's misc.c), or
// nil. The file and every directory above it, up to the home directory or the root, must belong to the account or to
// root and be writable by nobody else. The path is below root.
func StrictModes(root, file string, a accounts.Account, book *accounts.Book) error {
	real, err := filepath.EvalSymlinks(filepath.Join(root, file))
	if err != nil {
		return err
	}
	home, err := filepath.EvalSymlinks(filepath.Join(root, a.Home))
	if err != nil {
		home = "" // then up to the root
	}
	top, err := filepath.EvalSymlinks(root)
	if err != nil {
		return err
	}
	for at := real; ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		if err != nil {
			return err
		}
		if at == real && !info.Mode().IsRegular() {
			return fmt.Errorf("%s is no regular file", show(top, at))
		}
		if why, do := secure(info, a, book); why != "" {
			// Where a link leads is the account's choice: no command that root would run there on its word.
			if inside := home != "" && (at == home || strings.HasPrefix(at, home+"/")); !inside && real != filepath.Join(top, file) {
				return &ModeError{show(top, at), why, "look at " + shellword.Quote(show(top, at)) + ": a link leads there"}
			}
			return &ModeError{show(top, at), why, do + " " + shellword.Quote(show(top, at))}
		}
		if at == home && at != real || at == top || at == "/" {
			return nil
		}
	}
}

// show takes the root of a test tree off again.
func show(top, path string) string {
	if top == "/" {
		return path
	}
	if rest := strings.TrimPrefix(path, top); rest != "" {
		return rest
	}
	return "/"
}

// secure is secure_permissions of Debian's openssh (user-group-modes.patch): beside OpenSSH's own rule, the group may
// write if nobody but the owner is in it, as useradd makes it. It returns what is wrong and the command for it.
func secure(info os.FileInfo, a accounts.Account, book *accounts.Book) (why, do string) {
	st := info.Sys().(*syscall.Stat_t)
	mode := info.Mode().Perm()
	if st.Uid != 0 && st.Uid != a.UID {
		return fmt.Sprintf("belongs to user id %d", st.Uid), "chown -h " + shellword.Quote(a.Name)
	}
	if mode&0o002 != 0 {
		return fmt.Sprintf("can be written by everybody (%04o)", mode), "chmod go-w"
	}
	if mode&0o020 != 0 && !alone(st.Uid, st.Gid, a, book) {
		return fmt.Sprintf("can be written by its group (%04o)", mode), "chmod g-w"
	}
	return "", ""
}

// alone reports whether the group has exactly one member: the account that owns the file.
func alone(owner, gid uint32, a accounts.Account, book *accounts.Book) bool {
	i := slices.IndexFunc(book.Groups, func(g accounts.Group) bool { return g.GID == gid })
	if i < 0 {
		return false
	}
	members := 0
	for _, other := range book.Accounts {
		if other.GID != gid {
			continue
		}
		if members++; other.UID != a.UID {
			return false
		}
	}
	if m := book.Groups[i].Members; len(m) > 0 {
		members++
		name := ""
		for _, other := range book.Accounts {
			if other.UID == owner {
				name = other.Name
				break
			}
		}
		if len(m) > 1 || m[0] != name {
			return false
		}
	}
	return members > 0
}

// readable returns why the account itself could not read the file: sshd reads it with the account's rights.
func readable(root, file string, a accounts.Account, book *accounts.Book) error {
	if a.UID == 0 {
		return nil
	}
	real, err := filepath.EvalSymlinks(filepath.Join(root, file))
	if err != nil {
		return err
	}
	top, err := filepath.EvalSymlinks(root)
	if err != nil {
		return err
	}
	need := os.FileMode(0o4)
	for at := real; at != top && at != "/"; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		class := info.Mode().Perm()
		switch {
		case st.Uid == a.UID:
			class >>= 6
		case st.Gid == a.GID || slices.ContainsFunc(book.GroupsOf(a), func(g accounts.Group) bool { return g.GID == st.Gid }):
			class >>= 3
		}
		if class&need != need {
			path := shellword.Quote(show(top, at))
			do := fmt.Sprintf("chown -h %s %s && chmod u+rX %[2]s", shellword.Quote(a.Name), path)
			if home, err := filepath.EvalSymlinks(filepath.Join(root, a.Home)); err != nil || at != home && !strings.HasPrefix(at, home+"/") {
				do = "chmod a+rX " + path // others have to do with it, too
			}
			if real != filepath.Join(top, file) {
				do = "look at " + path + ": a link leads there"
			}
			return &ModeError{show(top, at), fmt.Sprintf("has mode %04o and owner %d:%d", info.Mode().Perm(), st.Uid, st.Gid), do}
		}
		need = 0o1
	}
	return nil
}
