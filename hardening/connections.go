package hardening

import (
	"net"
	"os"
	"slices"
	"strings"
)

// questions bounds how often sshd is asked in one verification: 60 processes are about a second on a PC, ten on a Pi Zero. More kinds
// of connection than that are judged by the own reader alone, which has been through every Match block by then.
const questions = 60

// connections are those that sshd is asked about: nobody in particular, someone unknown, root, each permitted account, and for each
// Match block someone to whom it applies.
func (o *Options) connections(t *tree) ([]Connection, error) {
	t.release = o.release
	usual := Connection{User: "nobody", Host: "client.invalid", Addr: "192.0.2.1", LAddr: "192.0.2.2", LPort: o.Policy.Port}
	as := func(c Connection, user string) Connection { c.User = user; return c }
	var list []Connection
	add := func(c Connection) {
		if len(list) < questions && !slices.Contains(list, c) {
			list = append(list, c)
		}
	}
	blocks, err := t.blocks()
	if err != nil {
		return nil, err
	}
	// `sshd -T` without -C refuses every Match LocalPort.
	if !slices.ContainsFunc(blocks, func(args []string) bool {
		return slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(strings.ToLower(a), "localport") })
	}) {
		add(Connection{})
	}
	people := []string{"nobody", "root"}
	for _, name := range o.Policy.AllowUsers {
		if !slices.Contains(people, name) {
			people = append(people, name)
		}
	}
	for _, name := range people {
		add(as(usual, name))
	}
	for _, args := range blocks {
		c, named, found := o.release.witness(args, usual)
		if !found {
			continue
		}
		add(c)
		if !named { // anyone: root and a permitted account are anyone too
			add(as(c, "root"))
			add(as(c, people[len(people)-1]))
		}
	}
	return list, nil
}

// blocks are the arguments of every Match line, each set once.
func (t *tree) blocks() ([][]string, error) {
	var found [][]string
	seen := map[string]bool{}
	for i := range t.files {
		if t.files[i].firstMatch == 0 {
			continue
		}
		lines, err := t.lines(i)
		if err != nil {
			return nil, err
		}
		for _, l := range lines {
			if key := strings.Join(l.args, "\x00"); l.keyword == "match" && !seen[key] {
				seen[key] = true
				found = append(found, l.args)
			}
		}
	}
	return found, nil
}

// witness is a connection to which a Match line applies, and whether the line says whose it must be.
func (r Release) witness(args []string, c Connection) (_ Connection, named, found bool) {
	var pairs []string
	for _, a := range args {
		name, value, joined := strings.Cut(a, "=")
		switch {
		case strings.EqualFold(a, "invalid-user"):
			c.User, c.Invalid, named = "nosuchuser", true, true
		case joined && criteria[strings.ToLower(name)] && !r.looseMatch():
			pairs = append(pairs, name, value)
		default:
			pairs = append(pairs, a)
		}
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		value := pairs[i+1]
		switch strings.ToLower(pairs[i]) {
		case "user":
			c.User, named = example(value, "x"), true
		case "group":
			if name := member(value); name != "" {
				c.User, named = name, true
			}
		case "host":
			c.Host = example(value, "x")
		case "address":
			c.Addr = address(value)
		case "localaddress":
			c.LAddr = address(value)
		case "localport":
			if port, err := net.LookupPort("tcp", value); err == nil {
				c.LPort = port
			}
		case "rdomain":
			c.RDomain = example(value, "x")
		}
	}
	if strings.ContainsAny(c.Spec(), " \t") || strings.ContainsAny(c.User+c.Host+c.Addr+c.LAddr+c.RDomain, ",") {
		return c, named, false // -C can't say it
	}
	ok, err := r.applies(args, &c)
	return c, named, err == nil && ok
}

// example is some text that the first pattern of a list matches which isn't negated.
func example(list, filler string) string {
	for pattern := range strings.SplitSeq(list, ",") {
		if !strings.HasPrefix(pattern, "!") {
			return strings.NewReplacer("*", filler, "?", filler).Replace(pattern)
		}
	}
	return filler
}

func address(list string) string {
	for item := range strings.SplitSeq(list, ",") {
		if strings.HasPrefix(item, "!") {
			continue
		}
		if p, _, ok, err := parsePrefix(item); ok && err == nil {
			if next := p.Addr().Next(); !p.IsSingleIP() && p.Contains(next) {
				return next.String()
			}
			return p.Addr().String()
		}
		for _, filler := range []string{"1", "0.0.1", "0.1", "1:1"} {
			text := example(item, filler)
			if ok, err := matchAddresses(text, item); ok && err == nil {
				return text
			}
		}
	}
	return "198.51.100.1"
}

// member is an account of a group that the list admits, by /etc/group or as the group of its own.
func member(list string) string {
	groups, err := os.ReadFile("/etc/group")
	if err != nil {
		return ""
	}
	for entry := range strings.SplitSeq(string(groups), "\n") {
		fields := strings.Split(entry, ":")
		if len(fields) != 4 || matchList(fields[0], list) <= 0 {
			continue
		}
		for _, name := range append(strings.Split(fields[3], ","), fields[0]) {
			if name != "" && inGroup(name, list) {
				return name
			}
		}
	}
	return ""
}
