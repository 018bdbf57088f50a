package simulate

import (
	"strings"
	"testing"
	"time"
)

func TestParseScript(t *testing.T) {
	for _, c := range []struct {
		name, text string
		words      string // as in "on stay off"
		wrong      string // in the error
	}{
		{"bad: empty", "", "", "it is empty"},
		{"bad: blanks", " ,\n\t", "", "it is empty"},
		{"bad: word", "on fly off", "", `word 2, "fly": there is no such word; allowed are on, off,`},
		{"bad: upper case", "ON", "", `"ON": there is no such word`},
		{"bad: no unit", "on 3 off", "", `word 2, "3": a duration needs its unit, such as 3s or 3ms`},
		{"bad: negative", "on -3s", "", `"-3s": a duration lies above 0`},
		{"bad: zero", "on 0s", "", `"0s": a duration lies above 0`},
		{"bad: too long", "on 25h", "", "at most at 24h"},
		{"bad: internal word", "stay", "", "there is no such word"},
		{"one", "on", "on", ""},
		{"all", "on off bounce cut mend 1m30s", "on off bounce cut mend stay", ""},
		{"wires", "cut-key cut-second short-key short-second", "cut-key cut-second short-key short-second", ""},
		{"commas and lines", "on,3s,\noff", "on stay off", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			steps, err := ParseScript(c.text)
			if c.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), c.wrong) {
					t.Fatalf("error %v, want one with %q", err, c.wrong)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var words []string
			for _, s := range steps {
				words = append(words, string(s.word))
			}
			if got := strings.Join(words, " "); got != c.words {
				t.Errorf("got %q, want %q", got, c.words)
			}
		})
	}
	steps, err := ParseScript("1500ms")
	if err != nil || steps[0].stay != 1500*time.Millisecond || steps[0].text != "1500ms" {
		t.Errorf("got %+v, %v", steps, err)
	}
}

// What needs a second contact is refused without one, before anything starts.
func TestCheckScript(t *testing.T) {
	steps, err := ParseScript("on 1s cut-second")
	if err != nil {
		t.Fatal(err)
	}
	if err := CheckScript(steps, ""); err == nil || !strings.Contains(err.Error(), `word 3, "cut-second": the configuration has no second contact`) {
		t.Errorf("got %v", err)
	}
	if err := CheckScript(steps, "GPIO22"); err != nil {
		t.Error(err)
	}
	if err := CheckScript(steps[:2], ""); err != nil {
		t.Error(err)
	}
}
