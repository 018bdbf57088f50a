package wiring

import (
	"fmt"
	"io"
	"strings"
)

// Style is what the terminal can do.
type Style struct {
	Width  int  // in columns; below 72 the header is drawn without the words at its sides
	Colour bool // SGR sequences (ECMA-48)
}

// sides is the least width with words at both sides of the header.
const sides = 72

const (
	faint  = "\x1b[2m"
	bold   = "\x1b[1m"
	green  = "\x1b[1;32m"
	blue   = "\x1b[1;36m"
	red    = "\x1b[31m"
	normal = "\x1b[0m"
)

// Text draws the header with the wires, and lists the parts. It uses ASCII only, so that it reads the same everywhere.
func (p Plan) Text(w io.Writer, s Style) error {
	var b strings.Builder
	paint := func(sgr, text string) string {
		if !s.Colour || text == "" {
			return text
		}
		return sgr + text + normal
	}
	title := p.model
	if title == "" {
		title = "Raspberry Pi with 40 pins"
	}
	fmt.Fprintf(&b, "%s\n", paint(bold, title))
	wrap(&b, "The header seen from above; pin 1 is the square one, at the end away from the USB sockets. Unplug the Pi before you wire. Never 5 V to a GPIO line.", "", s.Width)
	b.WriteString("\n")
	all := names()
	for row := range Pins / 2 {
		left, right := 2*row+1, 2*row+2
		label := func(pin int) (mark, name string) {
			name = all[pin-1]
			if wire := p.at(pin); wire != nil {
				return wire.to, name
			}
			return "", name
		}
		lmark, lname := label(left)
		rmark, rname := label(right)
		if s.Width < sides {
			lmark, rmark = short(p.at(left)), short(p.at(right))
		}
		room := 28
		if s.Width < sides {
			room = 8
		}
		pad := strings.Repeat(" ", max(0, room-len(lmark)))
		if lmark != "" {
			lmark = paint(p.ink(left), lmark) + " -> "
		} else {
			lmark = "    "
		}
		if rmark != "" {
			rmark = " <- " + paint(p.ink(right), rmark)
		}
		lpad, rpad := strings.Repeat(" ", 6-len(lname)), strings.Repeat(" ", 6-len(rname))
		if rmark == "" {
			rpad = ""
		}
		fmt.Fprintf(&b, "%s%s%s%s %s %s %s%s%s\n", pad, lmark, lpad, paint(p.ink(left), lname), p.hole(left, paint), p.hole(right, paint),
			paint(p.ink(right), rname), rpad, rmark)
	}
	b.WriteString("\n")
	for _, item := range p.list() {
		wrap(&b, item[1], fmt.Sprintf("%-9s ", item[0]), s.Width)
	}
	for _, note := range p.notes {
		wrap(&b, note, "note      ", s.Width)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// hole is a pin: [11] with a wire, (12) without.
func (p Plan) hole(pin int, paint func(sgr, text string) string) string {
	if p.at(pin) != nil {
		return paint(p.ink(pin), fmt.Sprintf("[%2d]", pin))
	}
	return paint(p.ink(pin), fmt.Sprintf("(%2d)", pin))
}

// ink tells the parts apart, and warns of 5 V.
func (p Plan) ink(pin int) string {
	wire := p.at(pin)
	switch {
	case wire != nil && wire.part == keyPart:
		return green
	case wire != nil:
		return blue
	case names()[pin-1] == "5V":
		return red
	default:
		return faint
	}
}

// short is a wire's word where there is little room.
func short(w *wire) string {
	switch {
	case w == nil:
		return ""
	case w.part == keyPart:
		return "key " + strings.Replace(w.terminal, "common", "C", 1)
	case w.terminal == "LED":
		return "LED"
	default:
		return "resistor"
	}
}

// wrap writes text in lines of at most width columns, the first behind label, the others below it.
func wrap(b *strings.Builder, text, label string, width int) {
	if width < 40 {
		width = 40
	}
	line := label
	indent := strings.Repeat(" ", len(label))
	for _, word := range strings.Fields(text) {
		if len(line)+len(word) > width && line != label && line != indent {
			b.WriteString(strings.TrimRight(line, " ") + "\n")
			line = indent
		}
		line += word + " "
	}
	b.WriteString(strings.TrimRight(line, " ") + "\n")
}
