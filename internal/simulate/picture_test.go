package simulate

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keyswitchd/gpio"
	"keyswitchd/internal/status"
)

var update = flag.Bool("update", false, "write the pictures in testdata anew; then look at them")

// picture is a view as text. A joined row ends with a backslash.
func picture(v view, s style) string {
	var b strings.Builder
	for _, r := range draw(v, s) {
		b.WriteString(strings.TrimRight(r.text, " "))
		if r.joined {
			b.WriteByte('\\')
		}
		b.WriteByte('\n')
	}
	return b.String()
}

var (
	seenClosed = status.Status{Running: true, Key: "off", SSH: "inactive", Code: "key-off", Reason: "the key is off", LED: "dark"}
	seenOpen   = status.Status{Running: true, Key: "on", SSH: "active", Open: true, Code: "key-on", Reason: "the key is on", LED: "wink", Sessions: 2,
		Hardening: status.Hardening{Verified: true}}
	seenOpening = status.Status{Running: true, Key: "on", SSH: "activating", Code: "key-on", Reason: "the key is on", LED: "slow-blink"}
	seenFault   = status.Status{Running: true, Key: "fault", SSH: "inactive", Fault: true, Code: "key-fault", Reason: "the key can't be read: GPIO17: it is cut (simulated)", LED: "fast-blink"}
	seenExpired = status.Status{Running: true, Key: "on", SSH: "inactive", Code: "expired", Reason: "the key has been on for longer than max-on (1m0s)",
		Advice: "turn the key off and on to open SSH again", LED: "dark"}
	seenContradiction = status.Status{Running: true, Key: "fault", SSH: "inactive", Fault: true, Code: "key-fault", LED: "fast-blink",
		Reason: "the key can't be read: gpio: GPIO17 and GPIO22: both contacts were open for longer than 500ms: the wire of GPIO17, that of GPIO22, or the one from" +
			" both contacts to ground is cut or loose, or the key stood between its positions; mend it and turn the key off: SSH stays closed until the" +
			" key has been seen off"}
	someLog = []string{"15:26:34 waiting for the first stable reading of the key", "15:26:35 the key is off", "15:26:36 the key is on"}
)

func some(st status.Status) view {
	return view{status: st, who: "ada", address: "127.0.0.1:2222", try: "ssh -F /run/user/1000/keyswitchd-sim/1/ssh pi", log: someLog}
}

func TestPicture(t *testing.T) {
	on := func(v view) view { v.on = true; return v }
	lit := func(v view) view { v.lit = true; return v }
	pair := func(v view, key, second gpio.Wire) view {
		h := hand{on: v.on, wires: [2]gpio.Wire{key, second}}
		v.contacts = []contactView{
			{line: "GPIO17", wire: key, closed: h.closed(gpio.KeyContact)}, {line: "GPIO22", wire: second, closed: h.closed(gpio.SecondContact)},
		}
		return v
	}
	for name, c := range map[string]struct {
		view  view
		style style
	}{
		"80-closed":        {some(seenClosed), style{width: 80, height: 24, unicode: true}},
		"80-open":          {lit(on(some(seenOpen))), style{width: 80, height: 24, unicode: true}},
		"80-opening-ascii": {lit(on(some(seenOpening))), style{width: 80, height: 24}},
		"80-fault":         {func() view { v := on(some(seenFault)); v.cut = true; return v }(), style{width: 80, height: 24, unicode: true}},
		"80-expired":       {on(some(seenExpired)), style{width: 80, height: 24, unicode: true}},
		"80-help":          {func() view { v := some(seenClosed); v.help, v.root = true, true; return v }(), style{width: 80, height: 24, unicode: true}},
		"80-low":           {lit(on(some(seenOpen))), style{width: 80, height: 10, unicode: true}},
		"40-open":          {lit(on(some(seenOpen))), style{width: 40, height: 24, unicode: true}},
		"40-closed-ascii":  {some(seenClosed), style{width: 40, height: 24}},
		"80-two-closed":    {pair(some(seenClosed), gpio.Whole, gpio.Whole), style{width: 80, height: 24, unicode: true}},
		"80-two-open":      {pair(lit(on(some(seenOpen))), gpio.Whole, gpio.Whole), style{width: 80, height: 24, unicode: true}},
		"80-two-fault":     {pair(some(seenContradiction), gpio.Whole, gpio.Cut), style{width: 80, height: 24, unicode: true}},
		"80-two-mended":    {pair(on(some(seenContradiction)), gpio.Whole, gpio.Whole), style{width: 80, height: 24, unicode: true}},
		"80-two-ascii":     {pair(on(some(seenContradiction)), gpio.Shorted, gpio.Cut), style{width: 80, height: 30}},
		"80-two-help":      {func() view { v := pair(some(seenClosed), gpio.Whole, gpio.Whole); v.help = true; return v }(), style{width: 80, height: 24, unicode: true}},
		"40-two-fault":     {pair(some(seenContradiction), gpio.Whole, gpio.Cut), style{width: 40, height: 36, unicode: true}},
		"20-two-open":      {pair(lit(on(some(seenOpen))), gpio.Whole, gpio.Whole), style{width: 20, height: 24, unicode: true}},
		"20-open":          {lit(on(some(seenOpen))), style{width: 20, height: 24, unicode: true}},
	} {
		t.Run(name, func(t *testing.T) {
			got := picture(c.view, c.style)
			for _, line := range strings.Split(strings.TrimSuffix(got, "\n"), "\n") {
				if n := len([]rune(strings.TrimSuffix(line, `\`))); n > c.style.width {
					t.Errorf("%d columns: %s", n, line)
				}
			}
			if n := strings.Count(got, "\n"); n > c.style.height {
				t.Errorf("%d rows", n)
			}
			file := filepath.Join("testdata", name+".txt")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// Any size of terminal gets a picture that fits, and nothing from outside can move the cursor.
func TestPictureFits(t *testing.T) {
	v := some(seenFault)
	v.root, v.help = true, false
	v.contacts = []contactView{{line: "gpiochip0:17", wire: gpio.Shorted}, {line: "\x1b[2J", wire: gpio.Cut}}
	v.status.Reason = "bad\x1b[2Jness \x07" + strings.Repeat("x", 200)
	v.log = []string{"one\r\ntwo\x1b]0;title\x07"}
	for width := 20; width < 120; width += 3 {
		for height := 4; height < 40; height++ {
			rows := draw(v, style{width: width, height: height})
			if len(rows) > height {
				t.Fatalf("%dx%d: %d rows", width, height, len(rows))
			}
			for _, r := range rows {
				if len(r.text) > width || strings.ContainsFunc(r.text, func(r rune) bool { return r < ' ' || r > '~' }) {
					t.Fatalf("%dx%d: %q", width, height, r.text)
				}
			}
		}
	}
	draw(view{}, style{}) // not even this panics
}

// Colour adds sequences and nothing else.
func TestColour(t *testing.T) {
	v := some(seenFault)
	with := draw(v, style{width: 80, height: 24, unicode: true, colour: true})
	without := draw(v, style{width: 80, height: 24, unicode: true})
	for i := range with {
		text := with[i].text
		for _, s := range sgr[1:] {
			text = strings.ReplaceAll(text, s, "")
		}
		if text = strings.ReplaceAll(text, "\x1b[0m", ""); text != without[i].text {
			t.Errorf("row %d: %q, without colours %q", i, with[i].text, without[i].text)
		}
	}
	if !strings.Contains(with[2].text, sgr[red]+"SSH CLOSED\x1b[0m") {
		t.Errorf("a fault is not red: %q", with[2].text)
	}
}

// A LED that blinks leaves everything else on the screen alone: somebody may be copying the line to try.
func TestChanges(t *testing.T) {
	v := some(seenOpening)
	s := style{width: 80, height: 24}
	dark := draw(v, s)
	v.lit = true
	lit := draw(v, s)
	if got := changes(dark, dark); got != "" {
		t.Errorf("nothing changed, yet %q is written", got)
	}
	got := changes(dark, lit)
	if n := strings.Count(got, "\x1b[K"); n != 3 {
		t.Errorf("%d rows are written, want the LED's 3: %q", n, got)
	}
	if strings.Contains(got, "ssh -F") || strings.Contains(got, "\x1b[2J") {
		t.Errorf("too much is written: %q", got)
	}
	if got := changes(nil, dark); !strings.HasPrefix(got, "\x1b[0m\x1b[2J") || !strings.Contains(got, "ssh -F") {
		t.Errorf("the first picture is not whole: %q", got)
	}
	if got := changes(dark, dark[:5]); got != "\x1b[6;1H\x1b[J" {
		t.Errorf("rows too many are left: %q", got)
	}
	// The line to try, over two rows, is written as one.
	s.width = 40
	text := changes(nil, draw(v, s))
	if !strings.Contains(text, v.try) {
		t.Errorf("the line to try is broken: %q", text)
	}
}

func TestEscape(t *testing.T) {
	for typed, want := range map[string]string{
		"abc": "abc", "\x1b[Aq": "q", "o\x1bOPf": "of", "\x1b[1;5Cb": "b", "\x1b[200~x": "x", "\x1bqf": "f", "\x1b\x03": "\x03", "\x1b[\x03": "\x03",
	} {
		var e escape
		got := ""
		for _, b := range []byte(typed) {
			if e.plain(b) {
				got += string(b)
			}
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", typed, got, want)
		}
	}
}

func TestSpeaksUnicode(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		want bool
	}{
		{nil, false},
		{map[string]string{"LANG": "C"}, false},
		{map[string]string{"LANG": "de_DE.UTF-8"}, true},
		{map[string]string{"LANG": "de_DE.UTF-8", "LC_ALL": "C"}, false},
		{map[string]string{"LANG": "C", "LC_CTYPE": "C.utf8"}, true},
		{map[string]string{"LANG": "de_DE@euro"}, false},
	} {
		if got := speaksUnicode(func(k string) string { return c.env[k] }); got != c.want {
			t.Errorf("%v: %v", c.env, got)
		}
	}
}
