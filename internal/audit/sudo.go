package audit

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"keyswitchd/internal/accounts"
)

// sudoFileLimit bounds the files of a loop of @include.
const sudoFileLimit = 200

// sudoers finds who becomes root without a password, sudoers(5). What it can't take apart (netgroups, runas details) it
// takes for the worse. Only those matter who may log in.
func sudoers(_ context.Context, m *Machine, n notes) {
	s := sudo{m: m, n: n, aliases: map[string][]string{}}
	s.file("/etc/sudoers")
	for _, r := range s.rules {
		who := s.whom(r.who, 0)
		if len(who) == 0 {
			continue
		}
		n.add(Warning, "visudo -f "+r.file+": take NOPASSWD or !authenticate out (and give the account a password first: passwd NAME)",
			"%s:%d lets %s do as root without a password: %.100s", r.file, r.line, strings.Join(who, ", "), r.text)
	}
}

type sudoRule struct {
	file string
	line int
	who  []string
	text string
}

type sudo struct {
	m       *Machine
	n       notes
	files   int
	aliases map[string][]string // User_Alias
	rules   []sudoRule
}

func (s *sudo) file(name string) {
	if s.files++; s.files > sudoFileLimit {
		s.n.left("%s: more than %d sudoers files", name, sudoFileLimit)
		return
	}
	text, err := s.m.text(name)
	if err != nil {
		s.n.left("%s can't be read: %s", name, why(err))
		return
	}
	// "#include" is not a comment here.
	text = strings.ReplaceAll("\n"+text, "\n#include", "\n@include")[1:]
	for number, line := range lines(text) {
		line, _, _ = strings.Cut(line, " #")
		word, rest, _ := strings.Cut(line, " ")
		if tabbed, after, ok := strings.Cut(word, "\t"); ok {
			word, rest = tabbed, after+" "+rest
		}
		rest = strings.TrimSpace(rest)
		switch {
		case word == "@include":
			s.file(within(name, rest))
		case word == "@includedir":
			dir := within(name, rest)
			entries, err := os.ReadDir(s.m.path(dir))
			if err != nil && !os.IsNotExist(err) {
				s.n.left("%s can't be listed: %s", dir, why(err))
			}
			for _, e := range entries {
				// sudo skips these two kinds, sudoers(5).
				if !strings.Contains(e.Name(), ".") && !strings.HasSuffix(e.Name(), "~") {
					s.file(dir + "/" + e.Name())
				}
			}
		case word == "User_Alias":
			for part := range strings.SplitSeq(rest, ":") {
				name, members, _ := strings.Cut(part, "=")
				s.aliases[strings.TrimSpace(name)] = split(members)
			}
		case strings.HasPrefix(word, "Defaults"):
			if strings.Contains(rest, "!authenticate") {
				who := []string{"ALL"}
				if of, ok := strings.CutPrefix(word, "Defaults:"); ok {
					who = split(of)
				}
				s.rules = append(s.rules, sudoRule{name, number, who, line})
			}
		case strings.HasSuffix(word, "_Alias"):
		case strings.Contains(line, "NOPASSWD"):
			left, _, _ := strings.Cut(line, "=")
			if cut := strings.LastIndexAny(strings.TrimSpace(left), " \t"); cut > 0 {
				left = left[:cut] // the hosts
			}
			s.rules = append(s.rules, sudoRule{name, number, split(left), line})
		}
	}
}

func within(file, name string) string {
	name = strings.Trim(name, `"`)
	if !filepath.IsAbs(name) {
		return filepath.Join(filepath.Dir(file), name)
	}
	return filepath.Clean(name)
}

func split(list string) []string {
	var out []string
	for w := range strings.SplitSeq(list, ",") {
		if w = strings.TrimSpace(w); w != "" {
			out = append(out, w)
		}
	}
	return out
}

// whom are the accounts, other than root, that a list of sudoers means and that somebody may log in to.
func (s *sudo) whom(list []string, depth int) []string {
	var out []string
	for _, w := range list {
		if list, ok := s.aliases[w]; ok && depth < 10 {
			out = append(out, s.whom(list, depth+1)...)
			continue
		}
		for _, a := range s.m.book.Accounts {
			if a.UID != 0 && a.Person() && s.means(w, a) && s.m.mayLogIn(a) && !slices.Contains(out, a.Name) {
				out = append(out, a.Name)
			}
		}
	}
	return out
}

func (s *sudo) means(word string, a accounts.Account) bool {
	if name, ok := strings.CutPrefix(word, "%"); ok {
		return slices.ContainsFunc(s.m.book.GroupsOf(a), func(g accounts.Group) bool { return g.Name == name })
	}
	return word == "ALL" || word == a.Name
}

// mayLogIn: the policy's lists; an unknown policy admits everybody.
func (m *Machine) mayLogIn(a accounts.Account) bool {
	p := m.Policy
	if m.PolicyErr != nil {
		return true
	}
	inGroup := func(name string) bool { g, ok := m.book.Group(name); return ok && m.book.In(a, g) }
	return !slices.Contains(p.DenyUsers, a.Name) && (len(p.AllowUsers) == 0 || slices.Contains(p.AllowUsers, a.Name)) &&
		(len(p.AllowGroups) == 0 || slices.ContainsFunc(p.AllowGroups, inGroup))
}
