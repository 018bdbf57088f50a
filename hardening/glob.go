package hardening

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// globLimit bounds the names of one pattern: beyond treeFiles sshd's files are refused anyway.
const globLimit = 1 << 14

// glob is glob(3) as sshd calls it, which has its own (openbsd-compat/glob.c): no braces, no ~, a leading dot only by a literal dot, sorted by
// byte. Unlike that one and filepath.Glob, it reports what it can't read.
func glob(pattern string) ([]string, error) {
	found := []string{""}
	listed := false // the last part has a pattern
	for part := range strings.SplitSeq(pattern, "/") {
		if part == "" {
			continue
		}
		p, err := parseGlob(part)
		if err != nil {
			return nil, err
		}
		var next []string
		listed = p.magic
		for _, dir := range found {
			if !p.magic {
				next = append(next, dir+"/"+p.literal())
				continue
			}
			names, err := p.list(dir)
			if err != nil {
				return nil, err
			}
			if next = append(next, names...); len(next) > globLimit {
				return nil, fmt.Errorf("it finds more than %d names; make it narrower", globLimit)
			}
		}
		found = next
	}
	kept := found[:0]
	for _, name := range found {
		if listed { // by its directory
			kept = append(kept, name)
			continue
		}
		switch _, err := os.Lstat(name); {
		case err == nil:
			kept = append(kept, name)
		case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR):
			return nil, err
		}
	}
	slices.Sort(kept)
	return kept, nil
}

// globMatches says whether glob would find a file of that name.
func globMatches(pattern, name string) (bool, error) {
	a, b := strings.Split(path.Clean(pattern), "/"), strings.Split(name, "/")
	if len(a) != len(b) {
		return false, nil
	}
	for i := range a {
		p, err := parseGlob(a[i])
		if err != nil {
			return false, err
		}
		if !p.matches(b[i]) {
			return false, nil
		}
	}
	return true, nil
}

// globPart is what stands between two slashes of a pattern.
type globPart struct {
	steps []globStep
	magic bool
}

// globStep is one character of a pattern.
type globStep struct {
	kind   byte // 'c' the character low, '?', '*', '[' one of set
	low    byte
	negate bool
	set    [4]uint64 // by byte
}

func (s *globStep) add(low, high byte) {
	for c := int(low); c <= int(high); c++ {
		s.set[c>>6] |= 1 << (c & 63)
	}
}

func parseGlob(part string) (globPart, error) {
	var p globPart
	for i := 0; i < len(part); i++ {
		switch c := part[i]; c {
		case '\\': // the last one stands for itself
			if i+1 < len(part) {
				i++
			}
			p.steps = append(p.steps, globStep{kind: 'c', low: part[i]})
		case '*', '?':
			p.steps = append(p.steps, globStep{kind: c})
			p.magic = true
		case '[':
			s, length, err := parseSet(part[i:])
			if err != nil {
				return p, err
			}
			p.steps = append(p.steps, s)
			p.magic = p.magic || s.kind == '['
			i += length - 1
		default:
			p.steps = append(p.steps, globStep{kind: 'c', low: c})
		}
	}
	return p, nil
}

// parseSet reads a bracket and what is in it; one that isn't closed stands for itself.
func parseSet(text string) (globStep, int, error) {
	s := globStep{kind: '['}
	i := 1
	if strings.HasPrefix(text[i:], "!") {
		s.negate = true
		i++
	}
	// The first character is in the set whatever it is.
	if i >= len(text) || strings.IndexByte(text[i+1:], ']') < 0 {
		return globStep{kind: 'c', low: '['}, 1, nil
	}
	if strings.ContainsRune(text[i:], '\\') || strings.Contains(text[i:], "[:") {
		return s, 0, errors.New("a bracket with a backslash or a [:class:] in it is not understood here; write the characters out")
	}
	for first := true; first || text[i] != ']'; first = false {
		low := text[i]
		i++
		if i+1 < len(text) && text[i] == '-' && text[i+1] != ']' {
			s.add(low, text[i+1])
			i += 2
		} else {
			s.add(low, low)
		}
		if i >= len(text) {
			return s, 0, errors.New("a bracket is not closed")
		}
	}
	return s, i + 1, nil
}

// literal is the name that a part without a pattern stands for.
func (p globPart) literal() string {
	name := make([]byte, len(p.steps))
	for i, s := range p.steps {
		name[i] = s.low
	}
	return string(name)
}

func (p globPart) matches(name string) bool {
	if strings.HasPrefix(name, ".") && (len(p.steps) == 0 || p.steps[0].kind != 'c' || p.steps[0].low != '.') {
		return false
	}
	i, j, star, from := 0, 0, -1, 0
	for i < len(name) {
		switch {
		case j < len(p.steps) && p.steps[j].kind == '*':
			star, from = j, i
			j++
		case j < len(p.steps) && p.steps[j].takes(name[i]):
			i++
			j++
		case star >= 0:
			from++
			i, j = from, star+1
		default:
			return false
		}
	}
	for j < len(p.steps) && p.steps[j].kind == '*' {
		j++
	}
	return j == len(p.steps)
}

func (s *globStep) takes(c byte) bool {
	switch s.kind {
	case '?':
		return true
	case '[':
		return s.set[c>>6]&(1<<(c&63)) != 0 != s.negate
	}
	return s.low == c
}

// list is the names in a directory that the part matches.
func (p globPart) list(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir + "/")
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if p.matches(e.Name()) {
			names = append(names, dir+"/"+e.Name())
		}
	}
	return names, nil
}
