package hardening

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// class is what a governed keyword outside of our drop-in does there.
type class string

const (
	harmless class = "harmless"     // it says what the policy says, narrows it, or comes too late to count
	additive class = "additive"     // it adds to what our drop-in says
	earlier  class = "earlier file" // sshd comes to it before our drop-in, and the first one wins
	inMatch  class = "Match"        // it overrides the policy for some connections
	include  class = "Include"      // our drop-in is read too late, twice or not at all
	unknown  class = "unknown"      // sshd would not start
)

// finding is one line that stands in the policy's way.
type finding struct {
	line  line
	class class
	why   string   // for people
	add   []string // lines that take its place
}

// disallow is the guide's keyword, which no sshd ever had.
const disallow = "disallowusers"

// classify looks at every governed keyword in every file but our own and returns those that do harm. An error
// is what can't be mended by taking lines out.
func (o *Options) classify(list []directive, t *tree) ([]finding, error) {
	byKeyword := make(map[string]directive, len(list))
	for _, d := range list {
		byKeyword[alias(strings.ToLower(d.keyword))] = d
	}
	found, err := o.classifyIncludes(t)
	if err != nil || len(found) > 0 { // what counts depends on when our drop-in is read
		return found, err
	}
	seen := make(map[[2]int]bool)
	note := func(l line, c class, why string, add ...string) {
		if at := [2]int{l.file, l.number}; c != harmless && !seen[at] {
			seen[at] = true
			found = append(found, finding{l, c, why, add})
		}
	}
	t.release = o.release
	ours := false // sshd has come to our drop-in
	err = t.first(func(l line, active bool) error {
		if samePath(t.files[l.file].path, o.DropIn) {
			ours = true
			return nil
		}
		if l.keyword == disallow {
			c, why, add, err := o.disallowed(t, l)
			note(l, c, why, add...)
			return err
		}
		d, governed := byKeyword[alias(l.keyword)]
		if !governed {
			return nil
		}
		if active {
			c, why := o.weigh(d, l, ours)
			note(l, c, why)
		}
		if t.blockOf(l) > 0 {
			c, why := judgeInMatch(d, l)
			note(l, c, why)
		}
		return nil
	})
	return found, err
}

// blockOf is the line of the Match that l stands under in its own file, or the file's own if it was drawn in under one; 0 is none.
func (t *tree) blockOf(l line) int {
	f := &t.files[l.file]
	if f.inMatch {
		return 1
	}
	if f.firstMatch > 0 && l.number > f.firstMatch {
		return f.firstMatch
	}
	return 0
}

// weigh is for a line that counts for every connection.
func (o *Options) weigh(d directive, l line, ours bool) (class, string) {
	value := strings.Join(l.args, " ")
	said := d.keyword + " " + value
	switch alias(l.keyword) {
	case "port":
		return additive, fmt.Sprintf("Port adds up over all files; the policy's %d stands in keyswitchd's file", o.Policy.Port)
	case "listenaddress":
		if len(o.Policy.Listen) > 0 {
			return additive, "ListenAddress adds up over all files; the policy's addresses stand in keyswitchd's file"
		}
		if _, port := splitListen(value); port != "" && port != strconv.Itoa(o.Policy.Port) {
			return additive, fmt.Sprintf("%s adds a listener on another port than the policy's %d", said, o.Policy.Port)
		}
		return harmless, ""
	case "allowusers", "allowgroups":
		if len(d.args) > 0 && slices.ContainsFunc(l.args, func(name string) bool { return !slices.Contains(d.args, name) }) {
			return additive, fmt.Sprintf("%s adds to the policy's %s %s", said, d.keyword, d.want)
		}
		return harmless, ""
	case "denyusers":
		return harmless, ""
	case "persourcepenalties":
		if slices.ContainsFunc(l.args, func(word string) bool { return !slices.Contains(strings.Fields(d.want), word) }) {
			return additive, said + ", and each penalty counts by itself, over all lines; the policy wants " + d.want
		}
		return harmless, ""
	}
	if d.same([]string{plainWord(alias(l.keyword), value)}) {
		return harmless, ""
	}
	if o.release.lastWins(alias(l.keyword)) {
		return additive, said + ", and this release of sshd takes the last one, not the first; the policy wants " + d.want
	}
	if ours && len(d.args) > 0 {
		return harmless, "" // shadowed
	}
	return earlier, fmt.Sprintf("%s, and sshd takes the first it finds; the policy wants %s", said, d.want)
}

// judgeInMatch is for a line that counts for some connections. A name list there takes the place of the whole list.
func judgeInMatch(d directive, l line) (class, string) {
	value := strings.Join(l.args, " ")
	if globalOnly[alias(l.keyword)] || d.same([]string{plainWord(alias(l.keyword), value)}) {
		return harmless, "" // sshd itself refuses the former
	}
	return inMatch, fmt.Sprintf("%s for some connections; the policy wants %s for all ([[hardening.match]] in keyswitchd.toml is for exceptions)", d.keyword+" "+value, d.want)
}

// disallowed mends the guide's DisallowUsers: what is meant is DenyUsers. In a Match block, DenyUsers takes the place of the whole
// list, so the policy's is repeated.
func (o *Options) disallowed(t *tree, l line) (class, string, []string, error) {
	names := slices.Clone(l.args)
	for i, name := range names {
		names[i] = strings.Trim(name, ",")
	}
	if t.blockOf(l) > 0 {
		names = append(names, o.Policy.DenyUsers...)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return name == "" })
	why := "no sshd knows DisallowUsers, and none starts with it; the keyword is DenyUsers"
	for _, name := range names {
		if strings.ContainsFunc(name, func(r rune) bool { return !plainPattern(r) }) {
			return unknown, why, nil, fmt.Errorf("hardening: %s: %s; write it so, %q can't be mended here", t.place(l), why, name)
		}
	}
	if len(names) == 0 {
		return unknown, why, nil, nil
	}
	return unknown, why, []string{"DenyUsers " + strings.Join(names, " ")}, nil
}

// plainPattern says whether a character of a name or pattern means itself in sshd_config, without quotes.
func plainPattern(r rune) bool {
	return r < 0x80 && letterOrDigit(byte(r)) || strings.ContainsRune("_-.*?@:/!%$", r)
}
