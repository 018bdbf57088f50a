//go:build sshds

package hardening

import "strings"

// shrink drops lines and files for as long as the same kind of problem stays.
func (b *bench) shrink(s uint64, tr *tree, problem string) *tree {
	kind := kindOf(problem)
	counts := b.counts
	b.counts = map[string]int{}
	defer func() { b.counts = counts }()
	for again := true; again; {
		again = false
		for _, path := range tr.paths {
			if _, special := tr.kind[path]; special {
				if candidate := tr.without(path); kindOf(b.try(s, candidate)) == kind {
					tr, again = candidate, true
				}
				continue
			}
			lines := strings.SplitAfter(tr.text[path], "\n")
			for i := len(lines) - 1; i >= 0; i-- {
				if lines[i] == "" {
					continue
				}
				fewer := strings.Join(lines[:i], "") + strings.Join(lines[i+1:], "")
				candidate := tr.with(path, fewer)
				if kindOf(b.try(s, candidate)) == kind {
					tr, again = candidate, true
					lines = append(lines[:i:i], lines[i+1:]...)
				}
			}
			if path != mainFile {
				if candidate := tr.without(path); kindOf(b.try(s, candidate)) == kind {
					tr, again = candidate, true
				}
			}
		}
	}
	return tr
}

// kindOf is a problem up to its particulars.
func kindOf(problem string) string {
	kind, rest, _ := strings.Cut(problem, ": ")
	if strings.HasPrefix(kind, "for ") || strings.HasPrefix(kind, "hardened, but for") {
		kind, _, _ = strings.Cut(kind, " \"")
		second, _, _ := strings.Cut(rest, ": ")
		kind += second
	}
	return kind
}
