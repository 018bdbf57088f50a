package hardening

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// version is OpenSSH's own, without the portable level: 9.2p1 is {9, 2}.
type version struct {
	Major, Minor int
}

func (v version) String() string { return strconv.Itoa(v.Major) + "." + strconv.Itoa(v.Minor) }

func (v version) atLeast(major, minor int) bool {
	return v.Major > major || v.Major == major && v.Minor >= minor
}

// oldest is the first sshd whose keywords and `sshd -T` this room knows: Debian 11's.
var oldest = version{8, 4}

// parseVersion finds "OpenSSH_9.2p1" in what `sshd -V` printed: a line of its own, or, before 9.2 or so,
// the second line of a usage error. It returns that word too.
func parseVersion(text string) (version, string, error) {
	const mark = "OpenSSH_"
	at := strings.Index(text, mark)
	if at < 0 {
		return version{}, "", fmt.Errorf("it did not say which OpenSSH it is, but: %s", firstLine(text))
	}
	word := text[at:]
	if end := strings.IndexAny(word, ", \t\r\n"); end >= 0 {
		word = word[:end]
	}
	major, rest, found := strings.Cut(word[len(mark):], ".")
	minor := rest
	if end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
		minor = rest[:end]
	}
	x, err1 := strconv.ParseUint(major, 10, 16)
	y, err2 := strconv.ParseUint(minor, 10, 16)
	if !found || err1 != nil || err2 != nil {
		return version{}, "", fmt.Errorf("its version %.40q is not of the form OpenSSH_9.2", word)
	}
	v := version{int(x), int(y)}
	if !v.atLeast(oldest.Major, oldest.Minor) {
		return version{}, "", fmt.Errorf("OpenSSH %s is too old to be hardened; install %s or newer", v, oldest)
	}
	return v, word, nil
}

// abilities is what the installed sshd supports. They are kept with the result, since asking costs five
// processes, and hold for as long as the two programs are the same files.
type abilities struct {
	SSHD    fileIdentity `json:"sshd-file"`
	SSH     fileIdentity `json:"ssh-file"`
	Name    string       `json:"name"` // "OpenSSH_9.2p1"
	Version version      `json:"version"`
	Release string       `json:"release"` // "OpenSSH_10.0p2 Debian-7", see Release
	Kex     []string     `json:"kex"`
	Ciphers []string     `json:"ciphers"`
	MACs    []string     `json:"macs"`
	Keys    []string     `json:"keys"` // signature algorithms, of hosts and of users
}

// askAbilities runs `sshd -V` and `ssh -Q`. sshd has no -Q of its own; Debian ties the two packages to
// one version, and if they differ all the same, `sshd -T` refuses the rendered text later on.
func askAbilities(ctx context.Context, run runner, sshd, ssh string) (abilities, error) {
	var a abilities
	out, err := run(ctx, sshd, "-V") // its exit code means nothing before 9.2
	text := out.stderr + out.stdout
	if err != nil && text == "" {
		return a, fmt.Errorf("hardening: asking %s for its version: %w", sshd, err)
	}
	if a.Version, a.Name, err = parseVersion(text); err != nil {
		return a, fmt.Errorf("hardening: asking %s for its version: %w", sshd, err)
	}
	r, err := ParseRelease(text)
	if err != nil {
		return a, fmt.Errorf("hardening: asking %s for its version: %w", sshd, err)
	}
	a.Release = r.name
	for _, q := range []struct {
		what string
		into *[]string
	}{{"kex", &a.Kex}, {"cipher", &a.Ciphers}, {"mac", &a.MACs}, {"HostKeyAlgorithms", &a.Keys}} {
		out, err := run(ctx, ssh, "-Q", q.what)
		if err != nil {
			return a, fmt.Errorf("hardening: asking %s -Q %s: %w", ssh, q.what, out.explain(err))
		}
		*q.into = strings.Fields(out.stdout)
	}
	return a, nil
}

func firstLine(text string) string {
	text = strings.TrimSpace(text)
	if line, _, found := strings.Cut(text, "\n"); found {
		text = line
	}
	if text == "" {
		return "nothing"
	}
	return strconv.Quote(text)
}
