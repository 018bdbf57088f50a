package hardening

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// readText is the own reader on a text that no file holds. Its Include lines draw in nothing.
func readText(text string, c Connection) (Values, error) { return readTextAs(Release{}, text, c) }

func readTextAs(r Release, text string, c Connection) (Values, error) {
	t := &tree{release: r, files: []configFile{{path: "/etc/ssh/sshd_config", content: []byte(text)}}}
	files, err := t.understand()
	if err != nil {
		return nil, err
	}
	return files.Effective(c)
}

// FuzzReader checks what must be true of any text, and that ways of writing that mean the same read the same. Its corpus is in
// testdata/fuzz/FuzzReader.
func FuzzReader(f *testing.F) {
	who := Connection{User: "root", Host: "client.invalid", Addr: "192.0.2.1", LAddr: "::1", LPort: 22}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.ContainsRune(text, 0) { // readTree refuses it
			return
		}
		for _, minor := range []int{2, 5, 8, 9} {
			checkRead(t, Release{version{9, minor}, ""}, text, who)
		}
		for _, minor := range []int{0, 1, 3, 6} {
			checkRead(t, Release{version{10, minor}, "OpenSSH_10"}, text, who)
		}
	})
}

func checkRead(t *testing.T, r Release, text string, who Connection) {
	readText := func(text string, c Connection) (Values, error) { return readTextAs(r, text, c) }
	values, err := readText(text, who)
	for keyword, list := range values {
		if keyword != strings.ToLower(keyword) || keyword == "" || len(list) == 0 && !adds[keyword] {
			t.Errorf("%q has %q", keyword, list)
		}
	}
	same := func(what, other string) {
		t.Helper()
		got, gotErr := readText(other, who)
		if (gotErr == nil) != (err == nil) || err == nil && !reflect.DeepEqual(got, values) {
			t.Errorf("%s: %q, %v; as it was: %q, %v", what, got, gotErr, values, err)
		}
	}
	same("with a comment at its end", text+"\n# PermitRootLogin yes")
	same("with an empty line first", "\n"+text)
	same("with CRLF", strings.ReplaceAll(text, "\n", "\r\n"))
	if all, err := readText("Match all\n"+text, who); err == nil && values != nil {
		if _, twice := readText(text, Connection{}); twice != nil {
			t.Errorf("read for %q, refused for nobody in particular: %v", all, twice)
		}
	}
}

// FuzzMark takes lines out and finds the text as it was.
func FuzzMark(f *testing.F) {
	f.Add("Port 22\nMatch all\nPermitRootLogin yes", 2)
	f.Add("Port 22\r\n\r\n", 1)
	f.Add("", 0)
	f.Fuzz(func(t *testing.T, text string, at int) {
		if strings.Contains(text, "#keyswitchd") || strings.ContainsRune(text, 0) {
			return
		}
		at = max(0, min(at, strings.Count(text, "\n")+1))
		edits := map[int]edit{
			0:  {line: 0, why: "first", add: []string{"Include /x"}},
			at: {line: at, out: at > 0, why: "why", add: []string{"DenyUsers bob"}},
		}
		marked := mark([]byte(text), edits)
		if back := string(unmark(marked)); back != text {
			t.Errorf("%q came back as %q, by %q", text, back, marked)
		}
		if at == 0 {
			return
		}
		values, err := readText(string(mark([]byte(text), everyLine(text))), Connection{User: "root"})
		if err != nil || len(values) > 0 {
			t.Errorf("every line is taken out, and still %q, %v", slices.Collect(maps.Keys(values)), err)
		}
	})
}

func everyLine(text string) map[int]edit {
	edits := map[int]edit{}
	for number := range strings.Count(text, "\n") + 1 {
		edits[number+1] = edit{line: number + 1, out: true, why: "why"}
	}
	return edits
}
