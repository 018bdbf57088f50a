package hardening

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Disagreements compares the own reader's idea with sshd's account, one line each; none means that they agree.
// defaults is what the same sshd says of a file that sets nothing. Compared are the governed keywords, whose ways of
// being written are known here; one that own doesn't hold must have its default.
func Disagreements(own, sshd, defaults Values) []string {
	var lines []string
	for _, keyword := range slices.Sorted(maps.Keys(governed)) {
		got, printed := sshd[keyword]
		if !printed && !adds[keyword] { // this build lacks it
			continue
		}
		want := own.plain(keyword, defaults)
		got = slices.Clone(got)
		for i, text := range got {
			got[i] = plainWord(keyword, text)
		}
		switch keyword {
		case "listenaddress":
			slices.Sort(want)
			slices.Sort(got)
		case "persourcepenalties":
			got = allPenalties(strings.Join(got, " "), "")
		}
		if !slices.Equal(want, got) {
			lines = append(lines, fmt.Sprintf("%s: the own reader has %q, sshd %q", keyword, want, got))
		}
	}
	return lines
}

// governed are the keywords of every policy, as the newest sshd prints them in lower case.
var governed = map[string]bool{
	"port": true, "listenaddress": true, "allowusers": true, "denyusers": true, "allowgroups": true, "permitrootlogin": true,
	"pubkeyauthentication": true, "passwordauthentication": true, "kbdinteractiveauthentication": true, "permitemptypasswords": true,
	"hostbasedauthentication": true, "ignorerhosts": true, "strictmodes": true, "permituserenvironment": true, "usedns": true,
	"gssapiauthentication": true, "kerberosauthentication": true, "maxauthtries": true, "logingracetime": true, "maxstartups": true,
	"persourcemaxstartups": true, "persourcenetblocksize": true, "persourcepenalties": true, "persourcepenaltyexemptlist": true, "maxsessions": true,
	"clientaliveinterval": true, "clientalivecountmax": true, "allowtcpforwarding": true, "allowstreamlocalforwarding": true,
	"allowagentforwarding": true, "x11forwarding": true, "x11uselocalhost": true, "permittunnel": true, "gatewayports": true, "loglevel": true,
	"kexalgorithms": true, "ciphers": true, "macs": true, "hostkeyalgorithms": true, "pubkeyacceptedalgorithms": true,
	"casignaturealgorithms": true, "requiredrsasize": true,
}

// plain is a keyword's values as sshd would print them.
func (v Values) plain(keyword string, defaults Values) []string {
	values, set := v[keyword]
	switch {
	case keyword == "listenaddress":
		return v.listeners(defaults)
	case keyword == "persourcepenalties":
		return allPenalties(v.first(keyword), defaults.first(keyword))
	case !set && keyword == "port":
		values = []string{"22"}
	case !set:
		values = defaults[keyword]
	}
	out := make([]string, len(values))
	for i, text := range values {
		switch keyword {
		case "kexalgorithms", "ciphers", "macs", "hostkeyalgorithms", "pubkeyacceptedalgorithms", "casignaturealgorithms":
			text = assemble(text, strings.Join(defaults[keyword], ","))
		}
		out[i] = plainWord(keyword, text)
	}
	return out
}

// listeners are the addresses with their ports: an address that has none listens on each of Port's.
func (v Values) listeners(defaults Values) []string {
	ports := v["port"]
	if len(ports) == 0 {
		ports = []string{"22"}
	}
	addresses := v["listenaddress"]
	if len(addresses) == 0 {
		addresses = []string{"::", "0.0.0.0"}
	}
	var out []string
	for _, text := range addresses {
		host, port := splitListen(text)
		use := ports
		if port != "" {
			use = []string{port}
		}
		for _, p := range use {
			p = plainWord("port", p)
			if strings.Contains(host, ":") {
				out = append(out, plainWord("listenaddress", "["+host+"]:"+p))
			} else {
				out = append(out, plainWord("listenaddress", host+":"+p))
			}
		}
	}
	return out
}

// splitListen takes the argument of ListenAddress apart: an address, or [address]:port, or IPv4:port. Its rdomain is left out.
func splitListen(text string) (host, port string) {
	text, _, _ = strings.Cut(text, " ")
	if strings.HasPrefix(text, "[") {
		host, rest, _ := strings.Cut(text[1:], "]")
		return host, strings.TrimPrefix(rest, ":")
	}
	if strings.Count(text, ":") == 1 {
		host, port, _ = strings.Cut(text, ":")
		return host, port
	}
	return text, ""
}

// assemble is kex_assemble_names: +, - and ^ before a list change the default one.
func assemble(text, usual string) string {
	if text == "" || !strings.ContainsRune("+-^", rune(text[0])) {
		return text
	}
	list := strings.Split(text[1:], ",")
	base := strings.Split(usual, ",")
	var out []string
	add := func(names []string) {
		for _, name := range names {
			if name != "" && !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	switch text[0] {
	case '+':
		add(base)
		add(list)
	case '^':
		add(list)
		add(base)
	case '-':
		for _, name := range base {
			if matchList(name, text[1:]) <= 0 {
				out = append(out, name)
			}
		}
	}
	return strings.Join(out, ",")
}

// plainWord undoes the ways in which one value can be written, and in which versions of sshd print it.
func plainWord(keyword, text string) string {
	switch keyword {
	case "allowusers", "denyusers", "allowgroups":
		return text
	case "listenaddress":
		if at, err := netip.ParseAddrPort(text); err == nil {
			return at.String()
		}
		return text
	case "logingracetime", "clientaliveinterval":
		if s, ok := convtime(text); ok {
			return strconv.FormatInt(s, 10)
		}
	case "port":
		if n, err := net.LookupPort("tcp", text); err == nil {
			return strconv.Itoa(n)
		}
	case "maxauthtries", "maxsessions", "clientalivecountmax", "requiredrsasize", "persourcemaxstartups":
		if n, err := strconv.ParseInt(text, 10, 32); err == nil {
			return strconv.FormatInt(n, 10)
		}
	case "maxstartups":
		return Release{}.maxStartups(text, "")
	case "persourcenetblocksize":
		return Release{}.netBlockSize(text)
	case "loglevel":
		switch strings.ToLower(text) { // two names for one level each
		case "debug1":
			return "debug"
		case "quiet":
			return "silent"
		}
	case "permituserenvironment":
		if l := strings.ToLower(text); l != "yes" && l != "no" {
			return text
		}
	}
	return plainValue(text)
}

// convtime reads sshd's time format: 90, 2m, 1h30m.
func convtime(text string) (int64, bool) {
	var total int64
	rest := text
	for rest != "" {
		digits := 0
		for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
			digits++
		}
		n, err := strconv.ParseInt(rest[:digits], 10, 32)
		if err != nil {
			return 0, false
		}
		rest = rest[digits:]
		unit := int64(1)
		if rest != "" {
			switch rest[0] {
			case 's', 'S':
			case 'm', 'M':
				unit = 60
			case 'h', 'H':
				unit = 3600
			case 'd', 'D':
				unit = 86400
			case 'w', 'W':
				unit = 604800
			default:
				return 0, false
			}
			rest = rest[1:]
		}
		if total += n * unit; total > 1<<31-1 {
			return 0, false
		}
	}
	return total, text != ""
}
