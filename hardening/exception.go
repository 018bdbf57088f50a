package hardening

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Exception is a [[hardening.match]] table: connections for which a part of the policy is otherwise. What is not set is as
// for everyone.
type Exception struct {
	// Criterion is what sshd_config(5) has after Match, such as "User backup Address 192.168.1.0/24". All criteria of one line must
	// hold: User, Group, Address, LocalAddress and LocalPort can be used. Of several exceptions for one connection, the first counts.
	Criterion string `toml:"criterion"`

	// The keys that may be otherwise; each means what it means in [hardening].
	RootLogin           *RootLogin  `toml:"root-login"`
	Passwords           *bool       `toml:"passwords"`
	MaxAuthTries        *int        `toml:"max-auth-tries"`
	MaxSessions         *int        `toml:"max-sessions"`
	ClientAliveInterval *Duration   `toml:"client-alive-interval"`
	ClientAliveCount    *int        `toml:"client-alive-count"`
	TCPForwarding       *Forwarding `toml:"tcp-forwarding"`
	StreamForwarding    *Forwarding `toml:"stream-forwarding"`
	AgentForwarding     *bool       `toml:"agent-forwarding"`
	X11Forwarding       *bool       `toml:"x11-forwarding"`
	Tunnel              *Tunnel     `toml:"tunnel"`
}

// directives are what the exception sets.
func (e Exception) directives() []directive {
	var list []directive
	word := func(set bool, keyword string, value func() string) {
		if set {
			text := value()
			list = append(list, directive{keyword: keyword, args: []string{text}, want: text, same: sameWord(text)})
		}
	}
	word(e.RootLogin != nil, "PermitRootLogin", func() string { return string(*e.RootLogin) })
	word(e.Passwords != nil, "PasswordAuthentication", func() string { return yesNo(*e.Passwords) })
	word(e.Passwords != nil, "KbdInteractiveAuthentication", func() string { return yesNo(*e.Passwords) })
	word(e.MaxAuthTries != nil, "MaxAuthTries", func() string { return strconv.Itoa(*e.MaxAuthTries) })
	word(e.MaxSessions != nil, "MaxSessions", func() string { return strconv.Itoa(*e.MaxSessions) })
	word(e.ClientAliveInterval != nil, "ClientAliveInterval", func() string { return strconv.Itoa(e.ClientAliveInterval.seconds()) })
	word(e.ClientAliveCount != nil, "ClientAliveCountMax", func() string { return strconv.Itoa(*e.ClientAliveCount) })
	word(e.TCPForwarding != nil, "AllowTcpForwarding", func() string { return string(*e.TCPForwarding) })
	word(e.StreamForwarding != nil, "AllowStreamLocalForwarding", func() string { return string(*e.StreamForwarding) })
	word(e.AgentForwarding != nil, "AllowAgentForwarding", func() string { return yesNo(*e.AgentForwarding) })
	word(e.X11Forwarding != nil, "X11Forwarding", func() string { return yesNo(*e.X11Forwarding) })
	word(e.Tunnel != nil, "PermitTunnel", func() string { return string(*e.Tunnel) })
	return list
}

func (e Exception) validate() error {
	const key = "match"
	_, args, err := splitLine("Match " + e.Criterion)
	if err != nil || len(args) == 0 || strings.ContainsFunc(e.Criterion, func(r rune) bool { return r < ' ' || r > '~' || strings.ContainsRune("#\"'\\=", r) }) {
		return wrong(key, "the criterion %q is none of sshd_config's; write for example \"User backup Address 192.168.1.0/24\"", e.Criterion)
	}
	for i := 0; i < len(args); i += 2 {
		switch name := strings.ToLower(args[i]); name {
		case "user", "group", "address", "localaddress", "localport":
		case "all":
			return wrong(key, "the criterion \"all\" would be the policy itself; set it in [hardening]")
		case "host":
			return wrong(key, "the criterion Host goes by names that their owner's DNS decides; use Address")
		default:
			return wrong(key, "the criterion %q is not possible here; use User, Group, Address, LocalAddress or LocalPort", args[i])
		}
	}
	var newest Release // these criteria are read alike by all
	if _, err := newest.applies(args, nil); err != nil {
		return wrong(key, "the criterion %q: %s", e.Criterion, err)
	}
	if len(e.directives()) == 0 {
		return wrong(key, "the exception for %q sets nothing; give it a key such as tcp-forwarding = \"local\", or take it out", e.Criterion)
	}
	p := DefaultPolicy()
	if e.RootLogin != nil {
		p.RootLogin = *e.RootLogin
	}
	if e.MaxAuthTries != nil {
		p.MaxAuthTries = *e.MaxAuthTries
	}
	if e.MaxSessions != nil {
		p.MaxSessions = *e.MaxSessions
	}
	if e.ClientAliveInterval != nil {
		p.ClientAliveInterval = *e.ClientAliveInterval
	}
	if e.ClientAliveCount != nil {
		p.ClientAliveCount = *e.ClientAliveCount
	}
	if e.TCPForwarding != nil {
		p.TCPForwarding = *e.TCPForwarding
	}
	if e.StreamForwarding != nil {
		p.StreamForwarding = *e.StreamForwarding
	}
	if e.Tunnel != nil {
		p.Tunnel = *e.Tunnel
	}
	if err := p.Validate(); err != nil {
		return wrong(key, "the exception for %q: %s", e.Criterion, err)
	}
	return nil
}

func (p Policy) validateMatch() error {
	for _, e := range p.Match {
		if err := e.validate(); err != nil {
			return err
		}
	}
	return nil
}

// exceptionFor is what an exception makes of a directive for one connection.
func (p Policy) exceptionFor(d directive, c Connection) (directive, bool) {
	for _, e := range p.Match {
		_, args, err := splitLine("Match " + e.Criterion)
		if err != nil {
			continue
		}
		if ok, err := (Release{}).applies(args, &c); err != nil || !ok {
			continue
		}
		for _, own := range e.directives() {
			if own.keyword == d.keyword {
				return own, true
			}
		}
	}
	return d, false
}

// shortfall says how sshd's account of a connection differs from one directive, or from the exception that is declared for it.
func (p Policy) shortfall(v Values, d directive, c Connection) string {
	text := v.difference(d)
	if text == "" {
		return ""
	}
	own, declared := p.exceptionFor(d, c)
	if !declared {
		return text
	}
	if v.difference(own) == "" {
		return ""
	}
	return fmt.Sprintf("%s, or %s by its exception", text, own.want)
}

// Advice is what somebody should know who chooses this policy, one line each.
func (p Policy) Advice() []string {
	var lines []string
	if p.Port != 22 {
		lines = append(lines, fmt.Sprintf("port = %d keeps the logs quiet, it keeps nobody out: a scan finds it in seconds", p.Port))
	}
	if p.Passwords {
		lines = append(lines, "passwords = true: a password can be guessed from anywhere, a key can't")
	}
	if p.ClientAliveInterval == 0 {
		lines = append(lines, "client-alive-interval = \"0s\": the session of a client that vanished stays for good")
	}
	if len(p.AllowUsers) == 0 && len(p.AllowGroups) == 0 {
		lines = append(lines, "neither allow-users nor allow-groups is set: every account may log in, also one that a package creates later")
	}
	if time.Duration(p.LoginGrace) > 2*time.Minute {
		lines = append(lines, fmt.Sprintf("login-grace = %q: an idle connection holds one of max-startups' places for that long", p.LoginGrace))
	}
	return lines
}
