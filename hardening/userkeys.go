package hardening

import "slices"

// UserKeys is what the profile admits of people's keys: the names of signature algorithms, as sshd_config(5) has them
// under PubkeyAcceptedAlgorithms, and the least size of an RSA key in bits. An old sshd has fewer.
func (p Profile) UserKeys() (algorithms []string, rsaBits int) {
	a := p.algorithms()
	return slices.Clone(a.userKeys), a.rsaBits
}
