package audit

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"

	"keyswitchd/internal/lockout"
)

// authorizedKeys: who holds a key to which account, and whether others could put one there.
func authorizedKeys(_ context.Context, m *Machine, n notes) {
	left := 0
	for _, a := range m.book.Accounts {
		if !a.Person() || a.Home == "" {
			continue
		}
		for _, name := range []string{".ssh/authorized_keys", ".ssh/authorized_keys2"} {
			file := filepath.Join(a.Home, name)
			content, err := m.text(file)
			if err != nil {
				left++
				continue
			}
			count := 0
			for line := range bytes.Lines([]byte(content)) {
				if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
					count++
				}
			}
			if count == 0 {
				continue
			}
			n.add(Info, "look whether all of them are still wanted", "%s holds %d keys to the account %s", file, count, a.Name)
			var mode *lockout.ModeError
			if err := lockout.StrictModes(m.Root, file, a, m.book); errors.As(err, &mode) {
				n.add(Warning, mode.Do, "%s is not %s's alone, so sshd ignores it: %s", file, a.Name, mode)
			} else if err != nil {
				n.left("%s: %s", file, why(err))
			}
		}
		left += privateKeys(m, n, a.Name, filepath.Join(a.Home, ".ssh"))
	}
	if left > 0 {
		n.left("the .ssh folders of other accounts: %s", needs())
	}
}

// privateKeys: a key that lies here opens other machines to whoever gets at the card.
func privateKeys(m *Machine, n notes, account, dir string) (left int) {
	entries, err := os.ReadDir(m.path(dir))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return 0
		}
		return 1
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "id_") || strings.HasSuffix(e.Name(), ".pub") {
			continue
		}
		file := dir + "/" + e.Name()
		text, err := m.text(file)
		if err != nil {
			left++
			continue
		}
		if _, err := ssh.ParseRawPrivateKey([]byte(text)); err == nil {
			n.add(Info, "ssh-keygen -p -f "+file, "%s's private key %s has no passphrase: whoever has the card has what it opens", account, file)
		}
		if info, err := os.Stat(m.path(file)); err == nil && info.Mode().Perm()&0o077 != 0 {
			n.add(Warning, "chmod 0600 "+file, "%s's private key %s can be read by others (%04o)", account, file, info.Mode().Perm())
		}
	}
	return left
}
