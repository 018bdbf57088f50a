package hardening

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// line is one directive with its place.
type line struct {
	file    int // in tree.files
	number  int
	keyword string // in lower case, as written
	args    []string
}

// state is what sshd keeps while it reads a file (servconf.c, parse_server_config_depth).
type state struct {
	active    bool
	matchOnly bool // the second reading, before the first Match of a file: nothing here is for it
	never     bool // drawn in from a Match block that does not apply
}

// reading is one of sshd's two passes over all files: the first, of what stands outside of Match blocks, has no
// connection; the second is of what the applying Match blocks say.
type reading struct {
	t    *tree
	c    *Connection
	each func(l line, active bool) error
}

// lines takes a file apart, once.
func (t *tree) lines(file int) ([]line, error) {
	f := &t.files[file]
	if f.parsed {
		return f.lines, nil
	}
	for number, rest := 1, f.content; len(rest) > 0; number++ {
		var text []byte
		text, rest = cutLine(rest)
		keyword, args, err := t.release.splitLine(string(text))
		if err != nil && keyword != "" { // without a keyword sshd overlooks it
			return nil, fmt.Errorf("hardening: %s:%d: %w", f.path, number, err)
		}
		if keyword != "" {
			f.lines = append(f.lines, line{file, number, keyword, args})
		}
	}
	f.parsed = true
	return f.lines, nil
}

func (r *reading) file(index int, s state) error {
	lines, err := r.t.lines(index)
	if err != nil {
		return err
	}
	for _, l := range lines {
		switch l.keyword {
		case "include":
			inner := state{active: s.active, matchOnly: s.matchOnly, never: !s.matchOnly && !s.active}
			for _, d := range r.t.files[index].draws {
				if d.line != l.number {
					continue
				}
				if err := r.file(d.file, inner); err != nil {
					return err
				}
			}
		case "match":
			c := r.c
			if s.never {
				c = nil
			}
			ok, err := r.t.release.applies(l.args, c)
			if err != nil {
				return fmt.Errorf("hardening: %s:%d: %w", r.t.files[index].path, l.number, err)
			}
			s.active = ok && !s.never
			s.matchOnly = false
		default:
			if err := r.each(l, s.active); err != nil {
				return err
			}
		}
	}
	return nil
}

// first is sshd's reading of what is for every connection.
func (t *tree) first(each func(l line, active bool) error) error {
	return (&reading{t, nil, each}).file(0, state{active: true})
}

// second is sshd's reading of what the Match blocks say for one connection.
func (t *tree) second(c Connection, each func(l line, active bool) error) error {
	return (&reading{t, &c, each}).file(0, state{matchOnly: true})
}

// ReadEffective is the own reader's idea of what `sshd -T -C` says: the keywords that some file sets for the connection, with
// their values as written, but for those of which sshd keeps something else. A keyword that isn't there has sshd's default. It asks no program.
func ReadEffective(file string, r Release, c Connection) (Values, error) {
	f, err := ReadFiles(file, r)
	if err != nil {
		return nil, err
	}
	return f.Effective(c)
}

// Files is sshd's configuration as read once, for those who ask about many connections.
type Files struct {
	tree   *tree
	global Values // what is for every connection
}

// ReadFiles reads the configuration that begins with file, and what it includes, as that release does.
func ReadFiles(file string, r Release) (*Files, error) {
	t, err := readTree(file)
	if err != nil {
		return nil, err
	}
	t.release = r
	return t.understand()
}

func (t *tree) understand() (*Files, error) {
	f := &Files{t, Values{}}
	if err := t.first(func(l line, active bool) error { return f.global.collect(t.release, l, active) }); err != nil {
		return nil, err
	}
	return f, nil
}

// Effective is [ReadEffective] for one connection.
func (f *Files) Effective(c Connection) (Values, error) {
	local := Values{}
	if err := f.tree.second(c, func(l line, active bool) error { return local.collect(f.tree.release, l, active) }); err != nil {
		return nil, err
	}
	all := maps.Clone(f.global)
	for keyword, value := range local {
		if !globalOnly[keyword] {
			all[keyword] = value
		}
	}
	return all, nil
}

// collect is how sshd takes a directive in: the first one wins, unless the keyword adds up, or the release has its own way.
func (v Values) collect(r Release, l line, active bool) error {
	if !active {
		return nil
	}
	keyword := alias(l.keyword)
	switch {
	case adds[keyword]:
		v[keyword] = append(v[keyword], l.args...)
	case keyword == "listenaddress": // may have an rdomain
		v[keyword] = append(v[keyword], strings.Join(l.args, " "))
	case keyword == "subsystem":
		if len(l.args) > 0 && !slices.ContainsFunc(v[keyword], func(s string) bool { return strings.HasPrefix(s, l.args[0]+" ") }) {
			v[keyword] = append(v[keyword], strings.Join(l.args, " "))
		}
	case v.throttle(r, keyword, l.args):
	case len(v[keyword]) == 0:
		v[keyword] = []string{strings.Join(l.args, " ")}
	}
	return nil
}

// adds are the keywords whose arguments add up over all lines of a reading.
var adds = map[string]bool{"port": true, "hostkey": true, "hostcertificate": true, "acceptenv": true,
	"allowusers": true, "denyusers": true, "allowgroups": true, "denygroups": true}

// globalOnly are the keywords that sshd does not take from Match blocks; "Match all" is where they can stand all the same.
// Others than these can be had from any block.
var globalOnly = map[string]bool{
	"port": true, "listenaddress": true, "addressfamily": true, "hostkey": true, "hostcertificate": true, "hostkeyagent": true,
	"pidfile": true, "modulifile": true, "logingracetime": true, "ignoreuserknownhosts": true, "printmotd": true,
	"printlastlog": true, "xauthlocation": true, "strictmodes": true, "tcpkeepalive": true, "ciphers": true, "macs": true,
	"kexalgorithms": true, "hostkeyalgorithms": true, "compression": true, "maxstartups": true, "persourcemaxstartups": true,
	"persourcenetblocksize": true, "persourcepenalties": true, "persourcepenaltyexemptlist": true, "usedns": true,
	"versionaddendum": true, "fingerprinthash": true, "securitykeyprovider": true, "syslogfacility": true,
	"permituserenvironment": true, "usepam": true, "protocol": true, "pamservicename": true, "sshdsessionpath": true, "sshdauthpath": true,
	"kerberosorlocalpasswd": true, "kerberosticketcleanup": true, "kerberosgetafstoken": true, "gssapicleanupcredentials": true,
	"gssapistrictacceptorcheck": true, "gssapikeyexchange": true, "gssapistorecredentialsonrekey": true, "gssapikexalgorithms": true,
}

func (t *tree) place(l line) string { return t.files[l.file].path + ":" + strconv.Itoa(l.number) }
