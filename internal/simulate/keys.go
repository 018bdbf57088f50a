package simulate

import "strings"

// wrapKeys is what can be typed, without a break inside of one.
func (v view) wrapKeys(width int) []string {
	keys := []string{"space turn", "b bounce", "c cut", "? help", "q quit"}
	if v.contacts != nil {
		keys = []string{"space turn", "b bounce", "1 2 cut", "3 4 short", "m mend", "? help", "q quit"}
	}
	var out []string
	line := ""
	for _, k := range keys {
		switch {
		case line == "":
			line = k
		case len(line)+3+len(k) <= width:
			line += "   " + k
		default:
			out = append(out, line)
			line = k
		}
	}
	return append(out, line)
}

// helpLines is the help, for any width.
func (v view) helpLines(width int) []string {
	lines := []string{
		"space   turn the key (o: on, f: off)",
		"b       turn it with a contact that bounces",
		"c       cut the line, or mend it",
	}
	if v.contacts != nil {
		lines = []string{
			lines[0],
			"b       turn it with contacts that bounce",
			"1, 2    cut the wire of " + v.contacts[0].line + ", of " + v.contacts[1].line + " (c: both)",
			"3, 4    short " + v.contacts[0].line + ", " + v.contacts[1].line + " to the common wire",
			"m       mend all",
		}
	}
	lines = append(lines,
		"q       quit (or Ctrl-C)",
		"LED     dark closed, solid open, wink someone in, double wink closes soon, slow changing, fast fault",
	)
	var out []string
	for _, l := range lines {
		for n, part := range wrap(strings.TrimSpace(l[8:]), width-8) {
			out = append(out, map[bool]string{true: l[:8], false: "        "}[n == 0]+part)
		}
	}
	return out
}
