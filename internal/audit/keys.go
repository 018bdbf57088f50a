package audit

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"keyswitchd/internal/lockout"
	"keyswitchd/internal/shellword"
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
	found, err := entries(m.path(dir))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return 0
		}
		return 1
	}
	for _, e := range found {
		if !strings.HasPrefix(e.Name(), "id_") || strings.HasSuffix(e.Name(), ".pub") {
			continue
		}
		file := dir + "/" + e.Name()
		// A link would make the command below one for whatever it leads to.
		info, err := os.Lstat(m.path(file))
		if err != nil || !info.Mode().IsRegular() {
			left++
			continue
		}
		if info.Size() > privateKeyLimit {
			continue
		}
		text, err := m.text(file)
		if err != nil {
			left++
			continue
		}
		key, locked := privateKey(text)
		if !key {
			continue
		}
		// As the account itself: it is its folder, and it may put anything there until the command is typed.
		as := "runuser -u " + shellword.Quote(account) + " -- "
		if !locked {
			n.add(Info, as+"ssh-keygen -p -f "+shellword.Quote(file), "%s's private key %s has no passphrase: whoever has the card has what it opens", account, file)
		}
		if info.Mode().Perm()&0o077 != 0 {
			n.add(Warning, as+"chmod 0600 "+shellword.Quote(file), "%s's private key %s can be read by others (%04o)", account, file, info.Mode().Perm())
		}
	}
	return left
}

// privateKeyLimit is more than RSA with 16384 bits takes.
const privateKeyLimit = 32 << 10

// privateKey says whether a file holds a private key, and whether that is locked with a passphrase. It does no arithmetic: a key made for
// that could take hours.
func privateKey(text string) (key, locked bool) {
	block, _ := pem.Decode([]byte(text))
	switch {
	case block == nil || !strings.HasSuffix(block.Type, "PRIVATE KEY"):
		return false, false
	case block.Type == "OPENSSH PRIVATE KEY": // PROTOCOL.key: a mark, then the cipher's name
		rest, ok := bytes.CutPrefix(block.Bytes, []byte("openssh-key-v1\x00"))
		return ok, !bytes.HasPrefix(rest, []byte("\x00\x00\x00\x04none"))
	}
	return true, block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED")
}
