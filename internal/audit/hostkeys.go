package audit

import (
	"context"
	"crypto/rsa"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"
)

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
