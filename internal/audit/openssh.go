package audit

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// releases are Debian's, with the day on which the (long-term) support ends: wiki.debian.org/LTS.
var releases = map[string]string{"stretch": "2022-06-30", "buster": "2024-06-30", "bullseye": "2026-08-31", "bookworm": "2028-06-30", "trixie": "2030-06-30"}

// hole is a known one in OpenSSH's server.
type hole struct {
	name     string
	from, to string // upstream versions, "from" the first that has it, "to" the first that doesn't
	debian   string // Debian's package that mends the version named by prefix, "" if there is none
	prefix   string
	severity Severity
}

var holes = [...]hole{
	{"CVE-2024-6387 (regreSSHion: root from the network, without logging in)", "8.5", "9.8", "1:9.2p1-2+deb12u3", "1:9.2p1-", Critical},
	{"CVE-2023-48795 (Terrapin: somebody on the way can weaken a connection)", "0", "9.6", "1:9.2p1-2+deb12u2", "1:9.2p1-", Warning},
	{"CVE-2025-26466 (memory used up without logging in)", "9.5", "9.9.2", "", "", Warning},
}

// opensshAge: whether the server is one that is still looked after, and the one that runs is the one that is installed.
func opensshAge(_ context.Context, m *Machine, n notes) {
	const mend = "apt update && apt install --only-upgrade openssh-server"
	version, err := m.packageVersion("openssh-server")
	switch {
	case err != nil:
		n.left("dpkg's record can't be read: %s", why(err))
	case version == "":
		n.left("openssh-server is not one of Debian's packages, so its age is not known")
	default:
		for _, h := range holes {
			if h.in(version) {
				n.add(h.severity, mend, "openssh-server %s has %s", version, h.name)
			}
		}
	}
	release := ""
	for _, line := range lines(m.textOrLeave(n, "/etc/os-release") + "\n" + m.textOrLeave(n, "/usr/lib/os-release")) {
		if name, ok := strings.CutPrefix(line, "VERSION_CODENAME="); ok && release == "" {
			release = strings.Trim(name, `"`)
		}
	}
	if end, ok := releases[release]; ok {
		if day, err := time.Parse(time.DateOnly, end); err == nil && m.Now.After(day) {
			n.add(Warning, "upgrade to the present Debian or Raspberry Pi OS", "security updates for this release (%s) ended on %s", release, end)
		}
	}
	if stamp, err := os.Stat(m.path("/var/lib/apt/lists")); err == nil {
		if age := m.Now.Sub(stamp.ModTime()); age > 30*24*time.Hour {
			n.add(Info, "apt update && apt upgrade", "no updates were looked for in %d days", int(age.Hours())/24)
		}
	}
	exes, err := filepath.Glob(m.path("/proc/[0-9]*/exe"))
	if err != nil {
		return
	}
	closed := false
	for _, exe := range exes {
		to, err := os.Readlink(exe)
		if strings.HasSuffix(to, "/sshd (deleted)") {
			n.add(Warning, "turn the key off and on", "an sshd runs that was replaced by an update since it was started")
			return
		}
		closed = closed || errors.Is(err, fs.ErrPermission)
	}
	if closed {
		n.left("whether the sshd that runs is the one that is installed: %s", needs())
	}
}

// packageVersion reads dpkg's record, which is about 1 MB, line by line.
func (m *Machine) packageVersion(name string) (string, error) {
	content, err := os.ReadFile(m.path("/var/lib/dpkg/status"))
	if os.IsNotExist(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	within, installed := false, false
	for line := range strings.Lines(string(content)) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "Package: "):
			within, installed = line == "Package: "+name, false
		case within && strings.HasPrefix(line, "Status: "):
			installed = strings.HasSuffix(line, " installed")
		case within && installed && strings.HasPrefix(line, "Version: "):
			return strings.TrimPrefix(line, "Version: "), nil
		}
	}
	return "", nil
}

// in reports whether a package has the hole. Debian mends without changing OpenSSH's own number.
func (h hole) in(version string) bool {
	own := upstream(version)
	if compare(own, h.from) < 0 || compare(own, h.to) >= 0 {
		return false
	}
	return h.prefix == "" || !strings.HasPrefix(version, h.prefix) || compareDebian(version, h.debian) < 0
}

// upstream is 9.9.2 for 1:9.9p2-1.
func upstream(version string) string {
	if _, rest, ok := strings.Cut(version, ":"); ok {
		version = rest
	}
	version, _, _ = strings.Cut(version, "-")
	return strings.Replace(version, "p", ".", 1)
}

// compare compares dotted numbers.
func compare(a, b string) int {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(x), len(y)) {
		var p, q int
		if i < len(x) {
			p, _ = strconv.Atoi(digits(x[i]))
		}
		if i < len(y) {
			q, _ = strconv.Atoi(digits(y[i]))
		}
		if p != q {
			return p - q
		}
	}
	return 0
}

func digits(s string) string {
	for i, c := range []byte(s) {
		if c < '0' || c > '9' {
			return s[:i]
		}
	}
	return s
}

// compareDebian is dpkg's rule (deb-version(7)) for versions of one epoch and one upstream version without tildes.
func compareDebian(a, b string) int {
	for a != "" || b != "" {
		i, j := 0, 0
		for i < len(a) && (a[i] < '0' || a[i] > '9') {
			i++
		}
		for j < len(b) && (b[j] < '0' || b[j] > '9') {
			j++
		}
		if c := strings.Compare(a[:i], b[:j]); c != 0 {
			return c
		}
		a, b = a[i:], b[j:]
		p, q := digits(a), digits(b)
		x, _ := strconv.Atoi(p)
		y, _ := strconv.Atoi(q)
		if x != y {
			return x - y
		}
		a, b = a[len(p):], b[len(q):]
	}
	return 0
}
