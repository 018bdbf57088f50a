//go:build sshds

package hardening

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// tree is a configuration: the content of each file by its path. The order is that of writing.
type tree struct {
	paths []string
	text  map[string]string
}

func (t *tree) put(path, text string) {
	if _, there := t.text[path]; !there {
		t.paths = append(t.paths, path)
	}
	t.text[path] = text
}

// holds says that a file of the tree has the text in it.
func (t *tree) holds(text string) bool {
	return slices.ContainsFunc(t.paths, func(path string) bool { return strings.Contains(t.text[path], text) })
}

func (t *tree) String() string {
	var b strings.Builder
	for _, path := range t.paths {
		fmt.Fprintf(&b, "--- %s\n", path)
		for line := range strings.SplitAfterSeq(t.text[path], "\n") {
			if line != "" {
				fmt.Fprintf(&b, "\t%q\n", line)
			}
		}
	}
	return b.String()
}

const (
	mainFile = "/etc/ssh/sshd_config"
	dropIns  = "/etc/ssh/sshd_config.d/"
	hostKey  = "/etc/ssh/ssh_host_ed25519_key"
)

// generator draws one tree. What it may write grows with nothing but the seed.
type generator struct {
	*rand.Rand
	tree tree
	odd  bool // unusual syntax
	bad  bool // lines that sshd refuses
	old  bool // OpenSSH before 9.8
}

// generate is the tree of a seed. What old releases don't know is left out for them.
func generate(seed uint64, old bool) *tree {
	g := &generator{old: old, Rand: rand.New(rand.NewPCG(seed, 3)), tree: tree{text: map[string]string{}}}
	g.odd = g.one(2)
	g.bad = g.one(8)
	g.tree.put(mainFile, "") // comes first
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
			line(g.of("", "   ", "\t", "# PermitRootLogin yes", "#Port 1", "#"))
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
		patterns = append(patterns, "sshd_config.d/*", "/etc/ssh/sshd_config.d/[0-9]*.conf", "sshd_config.d/.*.conf", "/etc/ssh/sshd_config.d/*.conf")
	}
	args := []string{g.quoted(g.some(patterns))}
	if g.one(4) {
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
	"User":         {"pi", "root", "alice,bob", "!root,*", "*", "a*", "pi,!pi", "?i", "stranger"},
	"Group":        {"ssh", "wheel", "!wheel,*", "nosuchgroup", "pi,ssh"},
	"Address":      {"192.168.0.0/16", "10.1.2.3", "!10.0.0.0/8,*", "2001:db8::/32", "192.168.*", "127.0.0.1,::1", "0.0.0.0/0"},
	"Host":         {"*.example.org", "localhost", "!evil.test,*"},
	"LocalAddress": {"192.168.1.1", "::1", "192.168.0.0/16"},
	"LocalPort":    {"22", "10101", "2222"},
}

func (g *generator) match() string {
	if g.one(6) {
		return g.word("Match") + g.space() + g.word("all")
	}
	names := []string{"User", "Group", "Address", "Host", "LocalAddress", "LocalPort"}
	quote := func(s string) string {
		if g.odd && g.one(6) {
			return "\"" + s + "\""
		}
		return s
	}
	g.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	text := g.word("Match")
	for _, name := range names[:1+g.IntN(5)/3] {
		// Bookworm's sshd would take "=User", too; the reader refuses it, since no other release does.
		text += g.space() + strings.TrimPrefix(g.word(name), "=") + g.between() + quote(g.some(criteria[name]))
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
		"Match invalid-user", "Match version OpenSSH_1*", "RequiredRSASize 1024", "PerSourcePenalties no",
	}
	if inMatch {
		lines = append(lines, "Port 22", "UseDNS yes", "MaxStartups 10", "HostKey /etc/ssh/x", "ListenAddress 127.0.0.1")
	}
	return g.some(lines)
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
		return g.of("", "", "", "", " ", "\t", " \t\f", " # why", "\t#")
	}
	return ""
}
