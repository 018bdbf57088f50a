package wiring

import (
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"keyswitchd/gpio"
)

var update = flag.Bool("update", false, "write the golden files anew; look at them before you commit")

var (
	simple = gpio.KeyConfig{Line: "GPIO17", ActiveLow: true}
	both   = gpio.KeyConfig{Line: "GPIO17", ActiveLow: true, Second: "GPIO22"}
	led    = gpio.LEDConfig{Name: "GPIO27"}
)

func TestHeader(t *testing.T) {
	all := names()
	if len(all) != Pins {
		t.Fatalf("%d pins, want %d", len(all), Pins)
	}
	seen := map[string]int{}
	for _, name := range all {
		seen[name]++
	}
	if seen["3.3V"] != 2 || seen["5V"] != 2 || seen["GND"] != 8 || len(seen) != 3+28 {
		t.Errorf("the header has %v", seen)
	}
	for line, want := range map[string]int{"GPIO17": 11, "GPIO27": 13, "GPIO22": 15, "GPIO2": 3, "GPIO21": 40} {
		if pin, ok := pinOf(line); !ok || pin != want {
			t.Errorf("%s is at pin %d, %v; want %d", line, pin, ok, want)
		}
	}
	for _, line := range []string{"GND", "5V", "GPIO28", "gpiochip0:17", ""} {
		if pin, ok := pinOf(line); ok {
			t.Errorf("%q is at pin %d, want nowhere", line, pin)
		}
	}
}

func TestFortyPins(t *testing.T) {
	for model, want := range map[string]bool{
		"Raspberry Pi 4 Model B Rev 1.4": true, "Raspberry Pi Zero 2 W Rev 1.0": true, "Raspberry Pi Model B Plus Rev 1.2": true,
		"Raspberry Pi 5 Model B Rev 1.0": true, "Raspberry Pi Model B Rev 2": false, "Raspberry Pi Compute Module 4 Rev 1.0": false,
		"Banana Pi": false, "": false,
	} {
		if got := FortyPins(model); got != want {
			t.Errorf("%q: %v, want %v", model, got, want)
		}
	}
}

// What the device tree says goes to a terminal, so nothing but plain text may come of it.
func TestModelText(t *testing.T) {
	if got := printable([]byte("Raspberry Pi 5\x1b[31m\n\x00\x00")); got != "Raspberry Pi 5[31m" {
		t.Errorf("got %q", got)
	}
}

func TestResistor(t *testing.T) {
	for colour, want := range map[string]int{"red": 330, "orange": 270, "yellow": 270, "green": 270, "blue": 100, "white": 100} {
		p := Parts{Colour: colour}
		if got := p.resistor(); got != want {
			t.Errorf("%s: %d ohm, want %d", colour, got, want)
		}
		if mA := p.milliamperes(); mA > 5.01 || mA < 2 {
			t.Errorf("%s: %.1f mA", colour, mA)
		}
	}
	if got := (Parts{Colour: "red", Ohms: 1000}).resistor(); got != 1000 {
		t.Errorf("given 1000 ohm, got %d", got)
	}
	for ohms, want := range map[int]string{
		330: "orange orange brown gold", 100: "brown black brown gold", 4700: "yellow violet red gold", 27: "red violet black gold", 333: "", 5: "",
	} {
		if got := strings.Join(bands(ohms), " "); got != want {
			t.Errorf("%d ohm has the rings %q, want %q", ohms, got, want)
		}
	}
}

func TestBad(t *testing.T) {
	for name, c := range map[string]struct {
		key   gpio.KeyConfig
		led   gpio.LEDConfig
		parts Parts
		says  string
	}{
		"bad colour":          {simple, led, Parts{Colour: "pink"}, "red, orange"},
		"bad resistor, small": {simple, led, Parts{Colour: "red", Ohms: 10}, "overloads"},
		"bad resistor, large": {simple, led, Parts{Colour: "red", Ohms: 1e6}, "dark"},
		"bad: same line":      {simple, gpio.LEDConfig{Name: "GPIO17"}, Parts{Colour: "red"}, "twice"},
		"bad: second is key":  {gpio.KeyConfig{Line: "GPIO17", Second: "GPIO17"}, led, Parts{Colour: "red"}, "twice"},
		"bad: nothing there":  {gpio.KeyConfig{Line: "gpiochip3:1"}, gpio.LEDConfig{Name: "none"}, Parts{Colour: "red"}, "nothing to draw"},
	} {
		if _, err := New("", c.key, c.led, c.parts); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want something about %q", name, err, c.says)
		}
	}
}

// Whatever the lines, each wire has a pin of its own, the rails are what the circuit needs, and a key never meets 5 V.
func TestEveryChoice(t *testing.T) {
	var lines []string
	for _, n := range names() {
		if strings.HasPrefix(n, "GPIO") {
			lines = append(lines, n)
		}
	}
	for _, key := range lines {
		for _, second := range append(slices.Clone(lines), "") {
			for _, low := range []bool{true, false} {
				lamp := "GPIO27"
				if key == lamp || second == lamp || key == second {
					continue
				}
				p, err := New("", gpio.KeyConfig{Line: key, Second: second, ActiveLow: low}, gpio.LEDConfig{Name: lamp, ActiveLow: !low}, Parts{Colour: "red"})
				if err != nil {
					t.Fatal(err)
				}
				pins := map[int]bool{}
				for _, w := range p.wires {
					name := names()[w.pin-1]
					if pins[w.pin] || name == "5V" {
						t.Fatalf("%s, %s: a second wire on pin %d (%s)", key, second, w.pin, name)
					}
					pins[w.pin] = true
					want := map[string]string{"NO": key, "NC": second, "resistor": lamp, "common": "GND", "LED": "GND"}[w.terminal]
					if !low && (w.terminal == "common" || w.terminal == "LED") {
						want = "3.3V" // the LED is active-low where the key is active-high
					}
					if name != want {
						t.Fatalf("%s, %s, low %v: %s is on %s, want %s", key, second, low, w.terminal, name, want)
					}
				}
			}
		}
	}
}

// drawings are the golden ones; docs/wiring.md shows some of them.
func drawings(t *testing.T) map[string]func(io.Writer) error {
	t.Helper()
	plan := func(key gpio.KeyConfig, l gpio.LEDConfig, colour string) Plan {
		p, err := New("", key, l, Parts{Colour: colour})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	high := gpio.KeyConfig{Line: "GPIO14", Pull: gpio.PullNone}
	one, two, odd := plan(simple, led, "red"), plan(both, led, "red"), plan(high, gpio.LEDConfig{Name: "GPIO16", ActiveLow: true}, "blue")
	text := func(p Plan, s Style) func(io.Writer) error { return func(w io.Writer) error { return p.Text(w, s) } }
	return map[string]func(io.Writer) error{
		"simple.txt": text(one, Style{Width: 80}), "second.txt": text(two, Style{Width: 80}), "narrow.txt": text(two, Style{Width: 44}),
		"colour.txt": text(two, Style{Width: 100, Colour: true}), "odd.txt": text(odd, Style{Width: 80}),
		"board-led.txt": text(plan(simple, gpio.LEDConfig{Name: "sysfs:ACT"}, "red"), Style{Width: 80}),
		"odd.svg":       odd.SVG,
	}
}

func TestGolden(t *testing.T) {
	for name, draw := range drawings(t) {
		golden(t, filepath.Join("testdata", name), draw)
	}
}

func golden(t *testing.T, path string, draw func(io.Writer) error) {
	t.Helper()
	var b strings.Builder
	if err := draw(&b); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("%s is not what is drawn now:\n%s", path, b.String())
	}
}

// The pictures of the manual are made by the program.
func TestManual(t *testing.T) {
	for name, key := range map[string]gpio.KeyConfig{"wiring.svg": simple, "wiring-second.svg": both} {
		p, err := New("", key, led, Parts{Colour: "red"})
		if err != nil {
			t.Fatal(err)
		}
		golden(t, filepath.Join("..", "..", "docs", name), p.SVG)
	}
}

func TestSVGIsXML(t *testing.T) {
	p, err := New(`<Pi> & "co"`, both, led, Parts{Colour: "red"})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := p.SVG(&b); err != nil {
		t.Fatal(err)
	}
	d := xml.NewDecoder(strings.NewReader(b.String()))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if strings.Contains(b.String(), "<Pi>") {
		t.Error("the model's name is not escaped")
	}
}

// Narrow terminals get narrow text.
func TestWidth(t *testing.T) {
	p, err := New("", both, led, Parts{Colour: "red"})
	if err != nil {
		t.Fatal(err)
	}
	for _, width := range []int{44, 60, 71, 72, 80, 120} {
		var b strings.Builder
		if err := p.Text(&b, Style{Width: width}); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			if n := len(strings.TrimRight(line, "\n")); n > width {
				t.Errorf("width %d: %d columns: %s", width, n, line)
			}
		}
	}
}
