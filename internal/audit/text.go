package audit

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
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

// JSON is r for scripts.
func (r Report) JSON() ([]byte, error) { return json.MarshalIndent(r, "", "  ") }
