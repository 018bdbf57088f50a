// Package accounts reads who has an account on this machine, from /etc/passwd, /etc/group and /etc/shadow and from
// nowhere else. Directories such as LDAP are not asked: Elsewhere tells that there may be accounts this package doesn't
// know, so that nobody takes "unknown here" for "does not exist". It changes nothing.
package accounts

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"keyswitchd/internal/folder"
)

// Account is one line of /etc/passwd with what /etc/shadow says of it.
type Account struct {
	Name  string
	UID   uint32
	GID   uint32
	Home  string
	Shell string // "" in the file means /bin/sh, passwd(5)
	// Shadow is nil if there is no line of this name, or if the file could not be read.
	Shadow *Shadow
}

// Shadow is what shadow(5) says of an account.
type Shadow struct {
	Hash    string    // as crypt(5) has it; "" is an empty password, "!..." and "*" none that works
	Expires time.Time // the day from which the account is refused; zero for never
}

// Locked reports whether passwd -l or usermod -L has put its mark before the hash.
func (s *Shadow) Locked() bool { return strings.HasPrefix(s.Hash, "!") }

// Password reports whether some password, or none at all, opens the account.
func (s *Shadow) Password() bool {
	return s.Hash == "" || strings.HasPrefix(s.Hash, "$") || len(s.Hash) == 13 && s.Hash[0] != '*' && s.Hash[0] != '!'
}

// Group is one line of /etc/group.
type Group struct {
	Name    string
	GID     uint32
	Members []string // supplementary ones only
}

// Book is all of it. Its zero value has no account.
type Book struct {
	Accounts []Account
	Groups   []Group
	// ShadowErr is why /etc/shadow could not be read, usually fs.ErrPermission.
	ShadowErr error
	// Elsewhere is the sources beside files that nsswitch.conf(5) names for passwd and group, such as "sss" or "ldap".
	Elsewhere []string
}

// Files are what Read looks at, below the root directory.
var files = [...]string{"/etc/passwd", "/etc/group", "/etc/shadow", "/etc/nsswitch.conf"}

// Files lists the files that Read depends on, below root.
func Files(root string) []string {
	out := make([]string, len(files))
	for i, f := range files {
		out[i] = filepath.Join(root, f)
	}
	return out
}

// Read reads the files below root ("/" for this machine). Lines that make no sense are left out, as the C library does.
func Read(root string) (*Book, error) {
	b := new(Book)
	passwd, err := read(root, "/etc/passwd")
	if err != nil {
		return nil, fmt.Errorf("accounts: reading the accounts: %w", err)
	}
	group, err := read(root, "/etc/group")
	if err != nil {
		return nil, fmt.Errorf("accounts: reading the groups: %w", err)
	}
	for f := range fields(passwd, 7) {
		uid, err1 := strconv.ParseUint(f[2], 10, 32)
		gid, err2 := strconv.ParseUint(f[3], 10, 32)
		if err1 != nil || err2 != nil || f[0] == "" {
			continue
		}
		shell := f[6]
		if shell == "" {
			shell = "/bin/sh"
		}
		b.Accounts = append(b.Accounts, Account{Name: f[0], UID: uint32(uid), GID: uint32(gid), Home: f[5], Shell: shell})
	}
	for f := range fields(group, 4) {
		gid, err := strconv.ParseUint(f[2], 10, 32)
		if err != nil || f[0] == "" {
			continue
		}
		g := Group{Name: f[0], GID: uint32(gid)}
		for name := range strings.SplitSeq(f[3], ",") {
			if name = strings.TrimSpace(name); name != "" {
				g.Members = append(g.Members, name)
			}
		}
		b.Groups = append(b.Groups, g)
	}
	if shadow, err := read(root, "/etc/shadow"); err != nil {
		b.ShadowErr = err
	} else {
		b.shadow(shadow)
	}
	nss, err := read(root, "/etc/nsswitch.conf")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("accounts: reading where else accounts come from: %w", err)
	}
	b.Elsewhere = elsewhere(string(nss))
	return b, nil
}

func read(root, name string) ([]byte, error) {
	content, _, err := folder.ReadRegular(unix.AT_FDCWD, filepath.Join(root, name), 0)
	return content, err
}

// fields yields the lines that have at least n fields.
func fields(text []byte, n int) func(func([]string) bool) {
	return func(yield func([]string) bool) {
		for line := range strings.Lines(string(text)) {
			line = strings.TrimRight(line, "\r\n")
			f := strings.Split(line, ":")
			if len(f) < n || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "+") || strings.HasPrefix(line, "-") {
				continue
			}
			if !yield(f) {
				return
			}
		}
	}
}

func (b *Book) shadow(text []byte) {
	lines := map[string]*Shadow{}
	for f := range fields(text, 2) {
		s := &Shadow{Hash: f[1]}
		if len(f) > 7 {
			if days, err := strconv.ParseInt(f[7], 10, 32); err == nil && days >= 0 {
				s.Expires = time.Unix(days*86400, 0).UTC()
			}
		}
		if lines[f[0]] == nil { // the first one counts
			lines[f[0]] = s
		}
	}
	for i := range b.Accounts {
		b.Accounts[i].Shadow = lines[b.Accounts[i].Name]
	}
}

// elsewhere finds the sources of accounts that are not files. "systemd" holds only accounts that exist for a service's
// run, or that systemd-homed has.
func elsewhere(nss string) []string {
	var out []string
	for line := range strings.Lines(nss) {
		line, _, _ = strings.Cut(line, "#")
		database, sources, ok := strings.Cut(line, ":")
		database = strings.TrimSpace(database)
		if !ok || database != "passwd" && database != "group" && database != "initgroups" {
			continue
		}
		for _, s := range strings.Fields(sources) {
			if s == "files" || s == "compat" || s == "systemd" || strings.HasPrefix(s, "[") || strings.HasSuffix(s, "]") || slices.Contains(out, s) {
				continue
			}
			out = append(out, s)
		}
	}
	return out
}

// Account finds one by name; the first line counts.
func (b *Book) Account(name string) (Account, bool) {
	i := slices.IndexFunc(b.Accounts, func(a Account) bool { return a.Name == name })
	if i < 0 {
		return Account{}, false
	}
	return b.Accounts[i], true
}

// Group finds one by name.
func (b *Book) Group(name string) (Group, bool) {
	i := slices.IndexFunc(b.Groups, func(g Group) bool { return g.Name == name })
	if i < 0 {
		return Group{}, false
	}
	return b.Groups[i], true
}

// In reports whether the account is in the group, by its first group or as a member.
func (b *Book) In(a Account, g Group) bool {
	return a.GID == g.GID || slices.Contains(g.Members, a.Name)
}

// GroupsOf lists the groups that an account is in.
func (b *Book) GroupsOf(a Account) []Group {
	var out []Group
	for _, g := range b.Groups {
		if b.In(a, g) {
			out = append(out, g)
		}
	}
	return out
}

// Person reports whether somebody could work in the account: its shell is a shell, not a refusal.
func (a Account) Person() bool {
	switch filepath.Base(a.Shell) {
	case "nologin", "false", "true", "sync", "shutdown", "halt":
		return false
	}
	return true
}

// ShellRuns reports whether sshd accepts the account's shell: an executable file (auth.c, allowed_user).
func (a Account) ShellRuns(root string) bool {
	info, err := os.Stat(filepath.Join(root, a.Shell))
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}
