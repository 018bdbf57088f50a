package audit

import (
	"bytes"
	"context"
	"crypto/rsa"
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

// hostKeys: what the machine proves itself with.
func hostKeys(_ context.Context, m *Machine, n notes) {
	found := 0
	for _, name := range m.names(n, "/etc/ssh") {
		if !strings.HasPrefix(name, "ssh_host_") || !strings.HasSuffix(name, "_key.pub") {
			continue
		}
		found++
		file := "/etc/ssh/" + name
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(m.textOrLeave(n, file)))
		if err != nil {
			if strings.Contains(name, "mldsa") || strings.Contains(name, "_dsa_") {
				continue // newer or older than what the library reads
			}
			n.add(Warning, "ssh-keygen -y -f "+strings.TrimSuffix(file, ".pub")+" > "+file, "%s holds no key", file)
			continue
		}
		private := strings.TrimSuffix(file, ".pub")
		again := "rm " + private + "* && ssh-keygen -A, and tell those who log in that the key has changed"
		if k, ok := key.(ssh.CryptoPublicKey); ok {
			if r, ok := k.CryptoPublicKey().(*rsa.PublicKey); ok && r.N.BitLen() < 3072 {
				n.add(Warning, again, "the host key %s has only %d bits", file, r.N.BitLen())
			}
		}
		if info, err := os.Stat(m.path(private)); err != nil {
			n.add(Info, again, "%s has no private half here: sshd does not use it", file)
		} else if info.Mode().Perm()&0o077 != 0 {
			n.add(Critical, "chmod 0600 "+private+"; then "+again, "the private host key %s can be read by others (%04o)", private, info.Mode().Perm())
		}
	}
	if found == 0 {
		n.add(Warning, "ssh-keygen -A", "there are no host keys in /etc/ssh: sshd does not start")
	}
}

// moduliBits is the least that is still good: RFC 9142, and what ssh-audit asks for.
const moduliBits = 3071

// moduli: the groups for a key exchange that the policy doesn't offer.
func moduli(_ context.Context, m *Machine, n notes) {
	text := m.textOrLeave(n, "/etc/ssh/moduli")
	short := 0
	for _, line := range lines(text) {
		if f := strings.Fields(line); len(f) == 7 {
			if bits := number(f[4]); bits > 0 && bits < moduliBits {
				short++
			}
		}
	}
	if short > 0 {
		n.add(Info, "awk '$5 >= 3071' /etc/ssh/moduli > /etc/ssh/moduli.safe && mv /etc/ssh/moduli.safe /etc/ssh/moduli",
			"%d groups in /etc/ssh/moduli are smaller than 3072 bits; neither profile offers the key exchange that uses them (diffie-hellman-group-exchange)", short)
	}
}

func number(text string) int {
	n := 0
	for _, c := range []byte(text) {
		if c < '0' || c > '9' || n > 1<<20 {
			return 0
		}
		n = n*10 + int(c-'0')
	}
	return n
}
