package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Write prints r for a person, the worst first.
func (r Report) Write(w io.Writer) error {
	var b strings.Builder
	counts := map[Severity]int{}
	last := Severity(-1)
	for _, f := range r.Findings {
		counts[f.Severity]++
		if f.Severity != last {
			fmt.Fprintf(&b, "%s\n", strings.ToUpper(f.Severity.String()))
			last = f.Severity
		}
		fmt.Fprintf(&b, "  %-10s %s\n", f.Check, f.Found)
		if f.Mend != "" {
			fmt.Fprintf(&b, "  %-10s do: %s\n", "", f.Mend)
		}
	}
	if len(r.LeftOut) > 0 {
		b.WriteString("LEFT OUT (not a pass)\n")
		for _, l := range r.LeftOut {
			fmt.Fprintf(&b, "  %-10s %s\n", l.Check, l.Why)
		}
	}
	if b.Len() > 0 {
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "%d checks: %d critical, %d warnings, %d worth knowing, %d left out\n",
		len(r.Checks), counts[Critical], counts[Warning], counts[Info], len(r.LeftOut))
	_, err := io.WriteString(w, b.String())
	return err
}

// JSON is r for scripts, and for people: && in a command stays what it is.
func (r Report) JSON() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(r)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// printable keeps a name that somebody else has chosen from doing anything to a terminal, or from looking like another.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}
