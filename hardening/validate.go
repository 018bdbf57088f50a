package hardening

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// KeyError says which key of [hardening] is wrong and what would be right.
type KeyError struct {
	Key string // as in the file, relative to [hardening]: "allow-users"
	Msg string // what is wrong; what to do
}

// Error is "KEY: MSG".
func (e *KeyError) Error() string { return e.Key + ": " + e.Msg }

func wrong(key, format string, args ...any) error {
	return &KeyError{Key: key, Msg: fmt.Sprintf(format, args...)}
}

// Validate reports every key that is wrong, joined; errors.As finds the first *KeyError. A policy that
// passes holds nothing that could mean more than itself in sshd_config.
func (p Policy) Validate() error {
	return errors.Join(
		p.validatePort(),
		validateListen(p.Listen),
		validateNames("allow-users", "an account", p.AllowUsers),
		validateNames("deny-users", "an account", p.DenyUsers),
		validateNames("allow-groups", "a group", p.AllowGroups),
		p.validateContradictions(),
		oneOf("root-login", p.RootLogin, RootNo, RootKeysOnly, RootForcedCommands),
		validateStartups(p.MaxStartups),
		seconds("login-grace", p.LoginGrace, 5*time.Second, 10*time.Minute),
		within("max-auth-tries", p.MaxAuthTries, 1, 10),
		within("max-sessions", p.MaxSessions, 1, 100),
		seconds("client-alive-interval", p.ClientAliveInterval, 0, time.Hour),
		within("client-alive-count", p.ClientAliveCount, 1, 100),
		oneOf("tcp-forwarding", p.TCPForwarding, ForwardNo, ForwardLocal, ForwardRemote, ForwardYes),
		oneOf("stream-forwarding", p.StreamForwarding, ForwardNo, ForwardLocal, ForwardRemote, ForwardYes),
		oneOf("tunnel", p.Tunnel, TunnelNo, TunnelPointToPoint, TunnelEthernet, TunnelYes),
		within("per-source-max-startups", p.PerSourceMaxStartups, 0, 1000),
		oneOf("profile", p.Profile, Standard, Strict),
		p.validateMatch(),
	)
}

func (p Policy) validatePort() error {
	if p.Port == 22 || p.Port >= 1024 && p.Port <= 65535 {
		return nil
	}
	return wrong("port", "%d is not possible; use 22, or 1024 to 65535", p.Port)
}

func (p Policy) validateContradictions() error {
	denied := make(map[string]bool, len(p.DenyUsers))
	for _, name := range p.DenyUsers {
		denied[name] = true
	}
	for _, name := range p.AllowUsers {
		if denied[name] {
			return wrong("allow-users", "%q is in deny-users too, which wins; take it out of one of them", name)
		}
		if name == "root" && p.RootLogin == RootNo {
			return wrong("allow-users", "\"root\" is listed, but root-login is \"no\"; take it out, or set root-login = \"prohibit-password\"")
		}
	}
	return nil
}

// validateListen admits only addresses that sshd binds as they stand: no host names, whose meaning a
// resolver decides, and no pair where binding one would make the other fail.
func validateListen(list []string) error {
	const key = "listen"
	seen := make(map[netip.Addr]bool, len(list))
	var every4, every6 bool
	for _, text := range list {
		addr, err := netip.ParseAddr(text)
		switch {
		case err != nil:
			return wrong(key, "%q is not an IP address; write one such as \"192.168.1.10\" or \"fe80::1%%eth0\", without a port", text)
		case addr.Is4In6():
			return wrong(key, "%q is IPv4 written as IPv6; write %q", text, addr.Unmap().String())
		case addr.IsMulticast() || addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
			return wrong(key, "%q is a multicast or broadcast address; sshd needs one of this machine's own", text)
		case addr.Is6() && addr.IsLinkLocalUnicast() && addr.Zone() == "":
			return wrong(key, "%q is link-local, so it needs its interface: \"%s%%eth0\"", text, addr)
		case addr.Zone() != "" && !interfaceName(addr.Zone()):
			return wrong(key, "%q names no network interface after the %%; write it as `ip link` does", text)
		case seen[addr]:
			return wrong(key, "%q is listed twice; take one out", text)
		}
		seen[addr] = true
		every4 = every4 || addr == netip.IPv4Unspecified()
		every6 = every6 || addr == netip.IPv6Unspecified()
	}
	for addr := range seen {
		if every4 && addr.Is4() && !addr.IsUnspecified() || every6 && addr.Is6() && !addr.IsUnspecified() {
			return wrong(key, "%q is covered by the address that means all; list one of them", addr.String())
		}
	}
	return nil
}

func interfaceName(name string) bool {
	if len(name) == 0 || len(name) > 15 {
		return false
	}
	for _, c := range []byte(name) {
		if !letterOrDigit(c) && !strings.ContainsRune("_.-", rune(c)) {
			return false
		}
	}
	return true
}

// validateNames keeps sshd_config's own syntax out of names: quotes, blanks, line ends, '#', and the
// patterns * ? ! and @ that would admit more than they seem to.
func validateNames(key, what string, names []string) error {
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		switch {
		case name == "":
			return wrong(key, "an empty name is no name; take it out")
		case len(name) > 32:
			return wrong(key, "%.40q has more than 32 characters, which no name of %s has", name, what)
		case seen[name]:
			return wrong(key, "%q is listed twice; take one out", name)
		case strings.ContainsAny(name, "*?!@"):
			return wrong(key, "%q is a pattern; write each name out", name)
		case !plainName(name):
			return wrong(key, "%q is no name of %s; use letters, digits, '_', '.' and '-', not starting with '-' or '.'", name, what)
		}
		seen[name] = true
	}
	return nil
}

// plainName is useradd's rule (names.c of shadow), a little wider: capitals and dots are in use.
func plainName(name string) bool {
	for i, c := range []byte(name) {
		switch {
		case letterOrDigit(c), c == '_':
		case i > 0 && (c == '-' || c == '.'):
		case i > 0 && i == len(name)-1 && c == '$':
		default:
			return false
		}
	}
	return name != ""
}

func letterOrDigit(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func validateStartups(text string) error {
	var n [3]int
	parts := strings.Split(text, ":")
	ok := len(parts) == len(n)
	for i := 0; ok && i < len(n); i++ {
		v, err := strconv.Atoi(parts[i])
		ok = err == nil && strconv.Itoa(v) == parts[i]
		n[i] = v
	}
	if ok && n[0] >= 1 && n[0] <= 1000 && n[1] >= 1 && n[1] <= 100 && n[2] >= n[0] && n[2] <= 1000 {
		return nil
	}
	return wrong("max-startups", "%q is not START:RATE:FULL; write for example \"10:30:60\" (1 to 1000, 1 to 100 percent, START to 1000)", text)
}

func seconds(key string, d Duration, low, high time.Duration) error {
	v := time.Duration(d)
	if v < low || v > high || v%time.Second != 0 {
		return wrong(key, "%s is not possible; use whole seconds from \"%s\" to \"%s\"", d, low, high)
	}
	return nil
}

func within(key string, v, low, high int) error {
	if v < low || v > high {
		return wrong(key, "%d is not possible; use %d to %d", v, low, high)
	}
	return nil
}

func oneOf[T ~string](key string, v T, choices ...T) error {
	if slices.Contains(choices, v) {
		return nil
	}
	quoted := make([]string, len(choices))
	for i, c := range choices {
		quoted[i] = strconv.Quote(string(c))
	}
	return wrong(key, "%q is not possible; use %s", string(v), strings.Join(quoted, ", "))
}
