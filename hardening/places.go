package hardening

import (
	"slices"
	"strconv"
	"strings"
)

// place is one line of a configuration file that sets a governed keyword.
type place struct {
	file    string
	line    int
	args    []string
	inMatch bool
}

func (p place) String() string { return p.file + ":" + strconv.Itoa(p.line) }

// places are all lines that set a keyword, but for those of our own drop-in, in the order in which sshd
// comes to them. readTree has shown that the lines it looked at can be taken apart; sshd judges the others.
func (t *tree) places(keyword, ours string) []place {
	var found []place
	for _, f := range t.files {
		if samePath(f.path, ours) {
			continue
		}
		inMatch := f.inMatch
		for number, rest := 1, f.content; len(rest) > 0; number++ {
			var line []byte
			line, rest = cutLine(rest)
			word, args, err := splitLine(string(line))
			if err != nil && word == "" {
				continue
			}
			if word == "match" {
				inMatch = true
			}
			if governs(keyword, word) {
				found = append(found, place{f.path, number, args, inMatch})
			}
		}
	}
	return found
}

// culprit picks the line that is to blame for what sshd does: one with that very value, else the first.
func culprit(found []place, got []string) string {
	if len(found) == 0 {
		return ""
	}
	at := slices.IndexFunc(found, func(p place) bool {
		for _, arg := range p.args {
			if slices.ContainsFunc(got, func(g string) bool { return strings.EqualFold(plainValue(g), plainValue(arg)) }) {
				return true
			}
		}
		return false
	})
	return "; set by " + found[max(at, 0)].String()
}
