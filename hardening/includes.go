package hardening

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// includeLine is an Include by its place; the file that it stands in may itself be drawn in more than once.
type includeLine struct {
	file string
	line int
}

// classifyIncludes sees to it that sshd comes to our drop-in once, and for every connection. An Include that draws it in a second time,
// or in a Match block, gives way to one that draws in everything else.
func (o *Options) classifyIncludes(t *tree) ([]finding, error) {
	if o.Standalone {
		return nil, nil
	}
	drawn := map[includeLine][]int{} // our drop-in in t.files
	var order []includeLine
	first := -1 // the first that is for every connection
	for i, f := range t.files {
		if !samePath(f.path, o.DropIn) {
			continue
		}
		at := includeLine{t.files[f.by].path, f.byLine}
		if drawn[at] == nil {
			order = append(order, at)
		}
		drawn[at] = append(drawn[at], i)
		if first < 0 && !f.inMatch {
			first = i
		}
	}
	if first < 0 && len(order) == 0 {
		return []finding{{line{file: 0}, include, "without it sshd does not read keyswitchd's file", []string{"Include " + o.DropIn}}}, nil
	}
	var found []finding
	for _, at := range order {
		indexes := drawn[at]
		if len(indexes) == 1 && indexes[0] == first {
			continue
		}
		f, err := o.withoutOurs(t, at, indexes, first)
		if err != nil {
			return nil, err
		}
		found = append(found, f)
	}
	return found, nil
}

// withoutOurs takes our drop-in out of what an Include line draws in.
func (o *Options) withoutOurs(t *tree, at includeLine, indexes []int, first int) (finding, error) {
	by := t.files[indexes[0]].by
	blocked := slices.ContainsFunc(indexes, func(i int) bool { return t.files[i].inMatch })
	place := at.file + ":" + strconv.Itoa(at.line)
	f := finding{line: line{file: by, number: at.line, keyword: "include"}, class: include}
	if !blocked && !slices.Contains(indexes, first) && t.redundant(by, at.line) {
		f.why = "all of these files were read before, and lists would count twice"
		return f, nil
	}
	f.why = "it draws in keyswitchd's file a second time; this draws in the others"
	if blocked {
		f.why = "it draws in keyswitchd's file for some connections only; this draws in the others"
	}
	// Where the line is the one that counts, and stands in a file that is read once, its first pattern keeps our drop-in.
	keep := !blocked && slices.Contains(indexes, first) && !slices.ContainsFunc(indexes, func(i int) bool { return t.files[i].by != by })
	args, err := o.otherNames(t, by, at.line, keep)
	if err != nil {
		what := "was read before; take one of the two out"
		if blocked {
			what = "stands in a Match block, so the policy would be for some connections only; move the line above the first Match"
		}
		return f, fmt.Errorf("hardening: %s: this Include draws in %s, which %s: %w", place, o.DropIn, what, err)
	}
	if len(args) > 0 {
		f.add = []string{"Include " + strings.Join(args, " ")}
	}
	return f, nil
}

// otherNames are the arguments of an Include line with the names of files in place of each pattern that would draw in our drop-in.
func (o *Options) otherNames(t *tree, file, number int, keep bool) ([]string, error) {
	lines, err := t.lines(file)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(lines, func(l line) bool { return l.number == number && l.keyword == "include" })
	if at < 0 {
		return nil, errors.New("the line is gone; try again")
	}
	var out []string
	add := func(name string) error {
		if strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r > '~' || strings.ContainsRune("\"'\\", r) }) || name[0] == '=' {
			return fmt.Errorf("its %q can't be written anew here", name)
		}
		if strings.ContainsAny(name, " #") {
			name = "\"" + name + "\""
		}
		out = append(out, name)
		return nil
	}
	ours := func(name string) bool { return samePath(name, o.DropIn) }
	for _, arg := range lines[at].args {
		pattern := arg
		if !path.IsAbs(pattern) {
			pattern = sshdDir + "/" + pattern
		}
		names, err := glob(pattern)
		if err != nil {
			return nil, err
		}
		hit, err := globMatches(pattern, o.DropIn)
		if err != nil {
			return nil, err
		}
		hit = hit || slices.ContainsFunc(names, ours)
		if !hit || keep {
			keep = keep && !hit
			if err := add(arg); err != nil {
				return nil, err
			}
			continue
		}
		if slices.ContainsFunc(names, func(name string) bool { return strings.ContainsAny(name, "*?[") }) {
			return nil, errors.New("one of its files has a name with *, ? or [ in it")
		}
		for _, name := range slices.DeleteFunc(names, ours) {
			if err := add(name); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// redundant says whether an Include line draws in only files that sshd came to before.
func (t *tree) redundant(file, number int) bool {
	for _, d := range t.files[file].draws {
		if d.line == number && !slices.ContainsFunc(t.files[:d.file], func(f configFile) bool { return !f.inMatch && samePath(f.path, t.files[d.file].path) }) {
			return false
		}
	}
	return true
}
