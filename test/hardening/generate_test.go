//go:build sshds

package hardening

import (
	"math/rand/v2"
	"strings"
)

const (
	mainFile = "/etc/ssh/sshd_config"
	dropIns  = "/etc/ssh/sshd_config.d/"
	hostKey  = "/etc/ssh/ssh_host_ed25519_key"
)

// generator draws one tree. What it may write grows with nothing but the seed.
type generator struct {
	*rand.Rand
	tree tree
	odd  bool     // unusual syntax
	bad  bool     // lines that sshd refuses
	old  bool     // OpenSSH before 9.8: no penalties, no criteria without a value, and Match lines that are taken apart in another way
	more []string // further Include patterns
}

// generate is the tree of a seed. What old releases don't know is left out for them.
func generate(seed uint64, old bool) *tree {
	g := &generator{old: old, Rand: rand.New(rand.NewPCG(seed, 3)), tree: *newTree()}
	g.odd = g.one(2)
	g.bad = g.one(8)
	g.tree.put(mainFile, "") // comes first
	g.places()
	for _, name := range []string{"10-local.conf", "50-cloud-init.conf", "99-last.conf", "000.conf", "extra.txt", ".hidden.conf"} {
		if g.one(3) {
			g.tree.put(dropIns+name, g.file(1, g.IntN(6)))
		}
	}
	for _, name := range []string{"a.conf", "b.conf"} {
		if g.one(3) {
			g.tree.put("/etc/ssh/deep/"+name, g.file(2, g.IntN(5)))
		}
	}
	if g.one(4) {
		g.tree.put("/etc/ssh/deep/c.inc", g.file(3, g.IntN(4)))
	}
	g.tree.put(mainFile, g.file(0, 2+g.IntN(10)))
	return &g.tree
}

func (g *generator) one(in int) bool           { return g.IntN(in) == 0 }
func (g *generator) of(list ...string) string  { return list[g.IntN(len(list))] }
func (g *generator) some(list []string) string { return list[g.IntN(len(list))] }

// file is one file's text. depth 0 is the main file; only a file of a lower depth is included.
func (g *generator) file(depth, lines int) string {
	ending := "\n"
	if g.odd && g.one(4) {
		ending = "\r\n"
	}
	var b strings.Builder
	line := func(text string) { b.WriteString(g.indent() + text + g.trail() + ending) }
	inMatch := depth > 0 && g.one(2) // it may be drawn in by a Match block
	include := func() {
		if depth < 3 {
			line(g.include(depth))
		}
	}
	if depth == 0 && !g.one(5) {
		line("Include " + g.of("/etc/ssh/sshd_config.d/*.conf", "sshd_config.d/*.conf"))
	}
	for range lines {
		switch {
		case g.one(12):
			include()
		case g.one(6):
			line(g.match())
			inMatch = true
		case g.bad && g.one(10):
			line(g.refused(inMatch))
		case g.odd && g.one(6):
			line(g.of("", "   ", "\t", "# PermitRootLogin yes", "#Port 1", "#", g.long(), g.deprecated(inMatch)))
		default:
			if text := g.directive(inMatch); text != "" {
				line(text)
			}
		}
	}
	text := b.String()
	if g.odd && g.one(4) {
		text = strings.TrimSuffix(text, ending) // or "\n" alone
	}
	return text
}

func (g *generator) include(depth int) string {
	patterns := []string{"/etc/ssh/none/*.conf", "deep/none.conf"}
	if depth < 2 {
		patterns = append(patterns, "deep/*.conf", "/etc/ssh/deep/[ab].conf", "deep/?.conf", "/etc/ssh/deep/b.conf", "/etc/ssh/d*p/a.conf", "deep/*")
	}
	if depth < 3 {
		patterns = append(patterns, "deep/c.inc", "/etc/ssh/deep/c.*")
	}
	if depth < 1 {
		patterns = append(patterns, "sshd_config.d/*", "/etc/ssh/sshd_config.d/[0-9]*.conf", "sshd_config.d/.*.conf", "/etc/ssh/sshd_config.d/*.conf",
			"sshd_config.d/[!0-4]*", "sshd_config.d/[]15-9x-z]?-*f", "sshd_config.d/[^a]*.conf", "sshd_config.d/{10,50}-*.conf", "sshd_config.d/[5", "//etc//ssh/sshd_config.d/99-last.conf",
			"/etc/ssh/deep/../sshd_config.d/000.conf", "sshd_config.d/1\\0*")
		patterns = append(patterns, g.more...)
	}
	args := []string{g.quoted(g.some(patterns))}
	for g.one(4) {
		args = append(args, g.quoted(g.some(patterns)))
	}
	return g.word("Include") + g.gap() + strings.Join(args, " ")
}

// directive is one line that sets something, or "" if nothing fits.
func (g *generator) directive(inMatch bool) string {
	k := keywords[g.IntN(len(keywords))]
	if k.global && inMatch || k.newer && g.old {
		return ""
	}
	name := k.name
	if len(k.aliases) > 0 && g.one(3) {
		name = g.some(k.aliases)
	}
	text := k.values[g.IntN(len(k.values))].text
	if k.name == "ForceCommand" { // the rest of the line as it stands
		return g.word(name) + " " + text
	}
	if k.name == "PerSourcePenalties" { // each word counts by itself
		return g.word(name) + g.gap() + text
	}
	args := []string{g.quoted(text)}
	for k.splits && g.one(3) {
		args = append(args, g.quoted(k.values[g.IntN(len(k.values))].text))
	}
	return g.word(name) + g.gap() + strings.Join(args, g.space())
}

var criteria = map[string][]string{
	"User":  {"pi", "root", "alice,bob", "!root,*", "*", "a*", "pi,!pi", "?i", "stranger", "!*", "!stranger,!a*,*", "zoë,pi", "pi,,root", "*,"},
	"Group": {"ssh", "wheel", "!wheel,*", "nosuchgroup", "pi,ssh"},
	"Address": {"192.168.0.0/16", "10.1.2.3", "!10.0.0.0/8,*", "2001:db8::/32", "192.168.*", "127.0.0.1,::1", "0.0.0.0/0",
		"fe80::/10,!fe80::2", "::/0", "10.66051", "0x7f.1", "!2001:db8::/32,::/0,203.0.113.0/24", "*", "::ffff:10.1.2.3", "10.1.2.*,!*.4"},
	"Host":         {"*.example.org", "localhost", "!evil.test,*"},
	"LocalAddress": {"192.168.1.1", "::1", "192.168.0.0/16"},
	"LocalPort":    {"22", "10101", "2222", "ssh"},
	"RDomain":      {"blue", "*", "!blue,*", "red,bl?e"},
}

func (g *generator) match() string {
	if g.one(6) {
		return g.word("Match") + g.space() + g.word("all")
	}
	if !g.old && g.one(10) {
		return g.word("Match") + g.space() + g.of("invalid-user", "Invalid-User user *", "user * invalid-user", "version OpenSSH_10.*", "Version=*", "version=!*_10.0*,OpenSSH_* user pi", "\"#\" x",
			"user pi \"# x\"")
	}
	names := []string{"User", "Group", "Address", "Host", "LocalAddress", "LocalPort", "RDomain"}
	quote := func(s string) string {
		if g.odd && g.one(6) {
			quote := g.of("\"", "\"", "'")
			return quote + s + quote
		}
		return s
	}
	g.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	text := g.word("Match")
	for _, name := range names[:1+g.IntN(6)/3] {
		word := g.word(name)
		if !g.old && strings.HasPrefix(word, "=") && !g.bad {
			word = name
		}
		text += g.space() + word + g.between() + quote(g.some(criteria[name]))
	}
	return text
}

// refused is a line that sshd doesn't take, or one that some releases don't.
func (g *generator) refused(inMatch bool) string {
	lines := []string{
		"NoSuchKeyword yes", "DisallowUsers bob", "Port", "Port 22 23", "Port none", "Port 0", "PermitRootLogin maybe",
		"Banner \"/etc/open", "MaxAuthTries many", "Match", "Match User", "Match Colour red", "Match User pi all",
		"Match Address 10.0.0.1/8", "AllowUsers", "Include", "Ciphers none-such", "MaxStartups 10:200:5",
		"Match User pi exec true", "X11Forwarding yes no", "Subsystem sftp", "LogLevel LOUD", "ClientAliveInterval -1",
		"PermitRootLogin \"yes", "=", "\"\" yes", "Match all User pi", "UsePrivilegeSeparation yes", "\f", "Protocol 1",
		"Match invalid-user", "Match version OpenSSH_1*", "RequiredRSASize 1024", "Match LocalNetwork 10.0.0.0/8", "Match user * exec \"/usr/bin/touch " + ran + "\"",
		"Match exec \"/usr/bin/touch " + ran + "\"", "Match User pi extra", "Match User", "Match User = ", "Match Address 10/8", "Match LocalPort 22,2222", "Port\f22",
		"Match canonical", "Match final all", "Match originalhost x", "Match tagged x", "Match localuser root", "Include ~/x", "Include \"\"", "\vPort 22", "AllowUsers a\\",
		"MaxStartups 10:20", "MaxStartups 0", "PerSourceNetBlockSize 33", "PerSourceMaxStartups many", "PerSourcePenalties no crash:1", "Include sshd_config", "PerSourcePenalties no",
	}
	if inMatch {
		lines = append(lines, "Port 22", "UseDNS yes", "MaxStartups 10", "HostKey /etc/ssh/x", "ListenAddress 127.0.0.1")
	}
	return g.some(lines)
}

// long is a line that no buffer of a fixed size would hold.
func (g *generator) long() string {
	if g.one(2) {
		return "# " + strings.Repeat("x", 1000+g.IntN(9000))
	}
	return "AcceptEnv" + strings.Repeat(" LONG_*", 50+g.IntN(400))
}

// deprecated is a line that sshd knows and overlooks.
func (g *generator) deprecated(inMatch bool) string {
	if inMatch {
		return g.word(g.of("RSAAuthentication", "RhostsRSAAuthentication", "AuthorizedKeysFile2")) + " yes"
	}
	return g.word(g.of("KeyRegenerationInterval 1h", "ServerKeyBits 768", "UseLogin no", "UsePrivilegeSeparation sandbox", "Protocol 2", "Protocol 2,1", "RSAAuthentication yes"))
}

// --- syntax ---

func (g *generator) word(s string) string {
	if !g.odd {
		return s
	}
	switch g.IntN(20) {
	case 0, 1, 2:
		return strings.ToUpper(s)
	case 3, 4, 5:
		return strings.ToLower(s)
	case 6:
		return "\"" + s + "\""
	case 7:
		return "=" + s
	}
	return s
}

func (g *generator) space() string {
	if g.odd {
		return g.of(" ", " ", "  ", "\t", " \t ")
	}
	return " "
}

// between is what may stand between a criterion and its value.
func (g *generator) between() string {
	if g.odd && g.one(6) {
		return "="
	}
	if g.old && g.odd && g.one(8) {
		return g.of(" = ", "= ", " =", "\t=\t")
	}
	return g.space()
}

func (g *generator) gap() string {
	if g.odd {
		return g.of(" ", " ", "\t", "=", " = ", "= ", " =", "   ")
	}
	return " "
}

func (g *generator) quoted(s string) string {
	if strings.ContainsAny(s, " #") {
		if g.odd {
			return g.of("\""+s+"\"", "'"+s+"'", strings.ReplaceAll(s, " ", "\\ "))
		}
		return "\"" + s + "\""
	}
	if g.odd && g.one(4) {
		quote := g.of("\"", "\"", "'")
		return quote + s + quote
	}
	if g.odd && len(s) > 1 && g.one(12) { // quotes within a word
		at := 1 + g.IntN(len(s)-1)
		return s[:at] + g.of("\"\"", "''") + s[at:]
	}
	return s
}

func (g *generator) indent() string {
	if g.odd {
		return g.of("", "", "", " ", "\t", "    ")
	}
	return ""
}

func (g *generator) trail() string {
	if g.odd {
		return g.of("", "", "", "", " ", "\t", " \t\f", " # why", "\t#", "\f\r", " # \"wh\\\"y\xff zoë")
	}
	return ""
}
