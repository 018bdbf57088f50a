package hardening

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// directive is one governed keyword: what it must be, how that is written, and how sshd's own account of
// it (`sshd -T`) is compared.
type directive struct {
	keyword  string   // as sshd_config(5) spells it
	args     []string // one line each in the drop-in; none: nothing is written, it is only checked
	want     string   // for people: "no", "one of ..."
	same     func(got []string) bool
	optional bool // some builds lack the keyword and don't print it
}

// directives is the policy in the keywords of one sshd, in the order of the drop-in.
func (p Policy) directives(a abilities) ([]directive, error) {
	v := a.Version
	var list []directive
	add := func(d directive) { list = append(list, d) }
	word := func(keyword, value string) {
		add(directive{keyword: keyword, args: []string{value}, want: value, same: sameWord(value)})
	}
	number := func(keyword string, value int) { word(keyword, strconv.Itoa(value)) }

	// Where, and who.
	add(directive{keyword: "Port", args: []string{strconv.Itoa(p.Port)}, want: strconv.Itoa(p.Port),
		same: func(got []string) bool { return len(got) == 1 && got[0] == strconv.Itoa(p.Port) }})
	add(p.listenDirective())
	add(nameDirective("AllowUsers", p.AllowUsers, true))
	add(nameDirective("DenyUsers", p.DenyUsers, false))
	add(nameDirective("AllowGroups", p.AllowGroups, true))
	word("PermitRootLogin", string(p.RootLogin))

	// How they prove it.
	word("PubkeyAuthentication", "yes")
	word("PasswordAuthentication", yesNo(p.Passwords))
	word("KbdInteractiveAuthentication", yesNo(p.Passwords))
	if !v.atLeast(8, 7) { // an alias of the former from 8.7 on, a keyword of its own before
		word("ChallengeResponseAuthentication", yesNo(p.Passwords))
	}
	word("PermitEmptyPasswords", "no")
	word("HostbasedAuthentication", "no")
	word("IgnoreRhosts", "yes")
	word("StrictModes", "yes")
	word("PermitUserEnvironment", "no")
	word("UseDNS", "no") // host names in patterns are whatever their owner's DNS says
	add(absentOrNo("GSSAPIAuthentication"))
	add(absentOrNo("KerberosAuthentication"))

	// How often, how long, how many.
	number("MaxAuthTries", p.MaxAuthTries)
	number("LoginGraceTime", p.LoginGrace.seconds())
	word("MaxStartups", p.MaxStartups)
	if v.atLeast(8, 5) {
		if p.PerSourceMaxStartups > 0 {
			number("PerSourceMaxStartups", p.PerSourceMaxStartups)
		} else {
			word("PerSourceMaxStartups", "none")
		}
		word("PerSourceNetBlockSize", "32:64") // one customer's IPv6 is a /64
	}
	if v.atLeast(9, 8) {
		add(p.penaltyDirective())
		if p.PerSourcePenalties {
			add(directive{keyword: "PerSourcePenaltyExemptList", want: "none", same: sameWord("none")})
		}
	}
	number("MaxSessions", p.MaxSessions)
	number("ClientAliveInterval", p.ClientAliveInterval.seconds())
	number("ClientAliveCountMax", p.ClientAliveCount)

	// What else they may do.
	word("AllowTcpForwarding", string(p.TCPForwarding))
	word("AllowStreamLocalForwarding", string(p.StreamForwarding))
	word("AllowAgentForwarding", yesNo(p.AgentForwarding))
	word("X11Forwarding", yesNo(p.X11Forwarding))
	word("X11UseLocalhost", "yes")
	word("PermitTunnel", string(p.Tunnel))
	word("GatewayPorts", "no")

	// Seen afterwards: VERBOSE names the key that was used.
	word("LogLevel", "VERBOSE")

	algo := p.Profile.algorithms()
	userKeys := "PubkeyAcceptedAlgorithms"
	if !v.atLeast(8, 5) {
		userKeys = "PubkeyAcceptedKeyTypes"
	}
	for _, l := range []struct {
		keyword     string
		wished, has []string
	}{
		{"KexAlgorithms", algo.kex, a.Kex},
		{"Ciphers", algo.ciphers, a.Ciphers},
		{"MACs", algo.macs, a.MACs},
		{"HostKeyAlgorithms", algo.hostKeys, a.Keys},
		{userKeys, algo.userKeys, a.Keys},
		{"CASignatureAlgorithms", algo.authorities, a.Keys},
	} {
		value, err := supported(l.keyword, l.wished, l.has)
		if err != nil {
			return nil, fmt.Errorf("hardening: profile %q for %s: %w; use another profile or a newer sshd", p.Profile, a.Name, err)
		}
		word(l.keyword, value)
	}
	if v.atLeast(9, 1) {
		number("RequiredRSASize", algo.rsaBits)
	}
	return list, nil
}

// listenDirective: with addresses given, exactly these, all at the port. Without, any at all, at the port.
func (p Policy) listenDirective() directive {
	want := make([]string, len(p.Listen))
	args := make([]string, len(p.Listen))
	for i, text := range p.Listen {
		addr, err := netip.ParseAddr(text)
		if err != nil { // Validate has refused it
			addr = netip.IPv4Unspecified()
		}
		args[i] = addr.String()
		want[i] = netip.AddrPortFrom(addr, uint16(p.Port)).String()
	}
	slices.Sort(want)
	d := directive{keyword: "ListenAddress", args: args, want: strings.Join(want, " ")}
	if len(args) == 0 {
		d.want = "nothing but port " + strconv.Itoa(p.Port)
	}
	d.same = func(got []string) bool {
		found := make([]string, 0, len(got))
		for _, text := range got {
			at, err := netip.ParseAddrPort(text)
			if err != nil || int(at.Port()) != p.Port {
				return false
			}
			found = append(found, at.String())
		}
		if len(args) == 0 {
			return len(found) > 0
		}
		slices.Sort(found)
		return slices.Equal(found, want)
	}
	return d
}

// nameDirective: such lists add up over all files. Another name allowed loosens the policy, another name
// denied doesn't; and where the policy allows everyone, any list is narrower.
func nameDirective(keyword string, names []string, allows bool) directive {
	d := directive{keyword: keyword, args: names, want: strings.Join(names, " ")}
	if len(names) == 0 {
		d.same = func([]string) bool { return true }
		return d
	}
	d.same = func(got []string) bool {
		var found []string
		for _, line := range got { // one a line, but several would mean the same
			found = append(found, strings.Fields(line)...)
		}
		for _, name := range names {
			if !slices.Contains(found, name) {
				return false
			}
		}
		return !allows || !slices.ContainsFunc(found, func(name string) bool { return !slices.Contains(names, name) })
	}
	return d
}

// penaltyDirective writes each penalty out: a later file could otherwise lower one that is left unsaid.
func (p Policy) penaltyDirective() directive {
	const keyword = "PerSourcePenalties"
	if !p.PerSourcePenalties {
		return directive{keyword: keyword, args: []string{"no"}, want: "no", same: sameWord("no")}
	}
	wants := []struct {
		name    string
		seconds int
	}{{"crash", 90}, {"authfail", 5}, {"noauth", 1}, {"grace-exceeded", 20}, {"max", 600}, {"min", 15}}
	text := make([]string, len(wants))
	for i, w := range wants {
		text[i] = w.name + ":" + strconv.Itoa(w.seconds)
	}
	want := strings.Join(text, " ")
	return directive{keyword: keyword, args: []string{want}, want: want, same: func(got []string) bool {
		if len(got) != 1 {
			return false
		}
		fields := strings.Fields(got[0])
		for _, w := range wants {
			ok := slices.ContainsFunc(fields, func(field string) bool {
				name, value, _ := strings.Cut(field, ":")
				v, err := strconv.ParseFloat(value, 64) // 10.3 and newer print fractions
				return name == w.name && err == nil && v == float64(w.seconds)
			})
			if !ok {
				return false
			}
		}
		return true
	}}
}

// absentOrNo is for keywords that some builds lack: writing them there would be an error.
func absentOrNo(keyword string) directive {
	return directive{keyword: keyword, want: "no", same: sameWord("no"), optional: true}
}

func sameWord(want string) func([]string) bool {
	want = plainValue(want)
	return func(got []string) bool { return len(got) == 1 && plainValue(got[0]) == want }
}

// plainValue undoes the ways in which versions of sshd print the same thing.
func plainValue(text string) string {
	text = strings.ToLower(strings.TrimSpace(text))
	switch text {
	case "without-password":
		return string(RootKeysOnly)
	case "true", "all": // 10.6 prints some switches so; "all" is AllowTcpForwarding's other yes
		return "yes"
	case "false":
		return "no"
	}
	return text
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
