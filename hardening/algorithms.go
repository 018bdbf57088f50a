package hardening

import (
	"fmt"
	"slices"
	"strings"
)

// algorithms is one profile's wishes, best first. What this sshd doesn't have is left out.
//
// Left out on purpose, in both: SHA-1, CBC, 3DES, DSA, NIST curves for key exchange and host keys, and
// group exchange, whose strength depends on a moduli file. Compare ssh-audit's and dev-sec's lists and
// stribika's "Secure Secure Shell".
type algorithms struct {
	kex, ciphers, macs, hostKeys, userKeys, authorities []string
	rsaBits                                             int
}

// Ed25519 alone would do for any client of the last ten years; RSA is for host keys that clients already
// know and for smart cards.
var hostKeyAlgorithms = []string{
	"ssh-ed25519-cert-v01@openssh.com",
	"sk-ssh-ed25519-cert-v01@openssh.com",
	"rsa-sha2-512-cert-v01@openssh.com",
	"rsa-sha2-256-cert-v01@openssh.com",
	"ssh-mldsa44-ed25519-cert",
	"ssh-ed25519",
	"sk-ssh-ed25519@openssh.com",
	"rsa-sha2-512",
	"rsa-sha2-256",
	"ssh-mldsa44-ed25519",
}

// Keys kept in hardware tokens of an older make are ECDSA ones (sk-ecdsa): admitted even by "strict".
var tokenKeyAlgorithms = []string{
	"sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
	"webauthn-sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
	"sk-ecdsa-sha2-nistp256@openssh.com",
	"webauthn-sk-ecdsa-sha2-nistp256@openssh.com",
}

var ecdsaKeyAlgorithms = []string{
	"ecdsa-sha2-nistp256-cert-v01@openssh.com",
	"ecdsa-sha2-nistp384-cert-v01@openssh.com",
	"ecdsa-sha2-nistp521-cert-v01@openssh.com",
	"ecdsa-sha2-nistp256",
	"ecdsa-sha2-nistp384",
	"ecdsa-sha2-nistp521",
}

var postQuantumKex = []string{
	"mlkem768x25519-sha256",              // 9.9 and newer
	"sntrup761x25519-sha512",             // 9.9 and newer, and Debian's 9.2
	"sntrup761x25519-sha512@openssh.com", // 8.5 and newer
}

func (p Profile) algorithms() algorithms {
	if p == Strict {
		return algorithms{
			kex: postQuantumKex,
			// ChaCha20 first: no Pi before the 5 has AES instructions.
			ciphers: []string{"chacha20-poly1305@openssh.com", "aes256-gcm@openssh.com", "aes128-gcm@openssh.com"},
			// The ciphers authenticate by themselves; a list must be given all the same.
			macs:        []string{"hmac-sha2-512-etm@openssh.com", "hmac-sha2-256-etm@openssh.com"},
			hostKeys:    hostKeyAlgorithms,
			userKeys:    slices.Concat(hostKeyAlgorithms, tokenKeyAlgorithms),
			authorities: withoutCertificates(slices.Concat(hostKeyAlgorithms, tokenKeyAlgorithms)),
			rsaBits:     3072,
		}
	}
	return algorithms{
		kex: slices.Concat(postQuantumKex, []string{
			"curve25519-sha256", "curve25519-sha256@libssh.org",
			"diffie-hellman-group18-sha512", "diffie-hellman-group16-sha512",
		}),
		ciphers: []string{
			"chacha20-poly1305@openssh.com", "aes256-gcm@openssh.com", "aes128-gcm@openssh.com",
			"aes256-ctr", "aes192-ctr", "aes128-ctr",
		},
		macs: []string{
			"hmac-sha2-512-etm@openssh.com", "hmac-sha2-256-etm@openssh.com", "umac-128-etm@openssh.com",
			"hmac-sha2-512", "hmac-sha2-256",
		},
		hostKeys:    hostKeyAlgorithms,
		userKeys:    slices.Concat(hostKeyAlgorithms, tokenKeyAlgorithms, ecdsaKeyAlgorithms),
		authorities: withoutCertificates(slices.Concat(hostKeyAlgorithms, tokenKeyAlgorithms, ecdsaKeyAlgorithms)),
		rsaBits:     2048,
	}
}

// withoutCertificates: an authority signs certificates, it doesn't have one.
func withoutCertificates(list []string) []string {
	var out []string
	for _, name := range list {
		if !strings.Contains(name, "-cert") {
			out = append(out, name)
		}
	}
	return out
}

// supported joins the wished names that sshd has, in the wished order.
func supported(keyword string, wished, has []string) (string, error) {
	var out []string
	for _, name := range wished {
		if slices.Contains(has, name) {
			out = append(out, name)
		}
	}
	if len(out) == 0 {
		return "", fmt.Errorf("this sshd supports none of %s for %s", strings.Join(wished, ","), keyword)
	}
	return strings.Join(out, ","), nil
}
