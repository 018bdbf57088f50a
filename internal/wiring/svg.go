package wiring

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// The drawing, in SVG user units: the header lies along the upper edge of the board, pin 1 at the lower left, as on a Pi
// whose USB sockets are at the right. The parts are above the board.
const (
	pitch    = 26
	left     = 130 // of pin 1
	evenRow  = 330 // pins 2, 4, ...
	oddRow   = evenRow + pitch
	partsY   = 70  // upper edge of the parts
	lanesTop = 190 // the first horizontal run of a wire
	lane     = 16
	width    = 2*left + 19*pitch
	height   = 520
)

type point struct{ x, y int }

// SVG draws the same as Text, in the manner of a breadboard picture (SVG 1.1, no scripts, no fonts of its own).
func (p Plan) SVG(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"13\">\n", width, height)
	title := p.model
	if title == "" {
		title = "Raspberry Pi with 40 pins"
	}
	fmt.Fprintf(&b, "<title>%s: wiring of the key and the LED</title>\n", escape(title))
	fmt.Fprintf(&b, "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n", width, height)
	p.board(&b, title)
	ends := p.drawParts(&b)
	p.drawWires(&b, ends)
	p.legend(&b)
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func at(pin int) point {
	pt := point{left + (pin-1)/2*pitch, oddRow}
	if pin%2 == 0 {
		pt.y = evenRow
	}
	return pt
}

// board draws the circuit board and the header on it.
func (p Plan) board(b *strings.Builder, title string) {
	fmt.Fprintf(b, "<rect x=\"60\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"12\" fill=\"#1d7a46\"/>\n", evenRow-26, width-120, height-evenRow+6)
	fmt.Fprintf(b, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"3\" fill=\"#222\"/>\n", left-14, evenRow-14, 19*pitch+28, pitch+28)
	for i, name := range names() {
		pin := i + 1
		c := at(pin)
		fill := "#c9a227"
		switch name {
		case "5V":
			fill = "#a33"
		case "GND":
			fill = "#555"
		}
		if pin == 1 {
			fmt.Fprintf(b, "<rect x=\"%d\" y=\"%d\" width=\"14\" height=\"14\" fill=\"%s\"/>\n", c.x-7, c.y-7, fill)
		} else {
			fmt.Fprintf(b, "<circle cx=\"%d\" cy=\"%d\" r=\"7\" fill=\"%s\"/>\n", c.x, c.y, fill)
		}
	}
	for _, pin := range []int{1, 39} {
		fmt.Fprintf(b, "<text x=\"%d\" y=\"%d\" fill=\"#fff\" text-anchor=\"middle\">%d</text>\n", at(pin).x, oddRow+30, pin)
	}
	for _, pin := range []int{2, 40} {
		// Beside the header, where no wire passes.
		x, anchor := left-20, "end"
		if pin == 40 {
			x, anchor = left+19*pitch+20, "start"
		}
		fmt.Fprintf(b, "<text x=\"%d\" y=\"%d\" fill=\"#fff\" text-anchor=\"%s\">%d</text>\n", x, evenRow+4, anchor, pin)
	}
	fmt.Fprintf(b, "<text x=\"%d\" y=\"%d\" fill=\"#cfe\" text-anchor=\"end\">%s</text>\n", width-76, height-32, escape(title))
}

// drawParts draws the key and the LED with its resistor, and returns where each wire ends.
func (p Plan) drawParts(b *strings.Builder) map[string]point {
	ends := map[string]point{}
	if p.has(keyPart) {
		// A key switch seen from the front, with its terminals below.
		const x, y = left + 40, partsY
		fmt.Fprintf(b, "<circle cx=\"%d\" cy=\"%d\" r=\"38\" fill=\"#ccc\" stroke=\"#666\" stroke-width=\"3\"/>\n", x, y)
		fmt.Fprintf(b, "<circle cx=\"%d\" cy=\"%d\" r=\"24\" fill=\"#eee\" stroke=\"#666\"/>\n", x, y)
		fmt.Fprintf(b, "<rect x=\"%d\" y=\"%d\" width=\"6\" height=\"34\" rx=\"2\" fill=\"#333\"/>\n", x-3, y-17)
		fmt.Fprintf(b, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">off</text><text x=\"%d\" y=\"%d\">on</text>\n", x, y-46, x+42, y-18)
		terminals := []string{"NO", "common"}
		if p.key.Second != "" {
			terminals = []string{"NC", "common", "NO"}
		}
		for i, t := range terminals {
			tx := x + (2*i-len(terminals)+1)*28
			fmt.Fprintf(b, "<rect x=\"%d\" y=\"%d\" width=\"8\" height=\"16\" fill=\"#c9a227\" stroke=\"#666\"/>\n", tx-4, y+40)
			fmt.Fprintf(b, "<text x=\"%d\" y=\"%d\" font-size=\"11\" text-anchor=\"middle\">%s</text>\n", tx, y+34+38, shortTerminal(t))
			ends[t] = point{tx, y + 76}
		}
	}
	if p.has(ledPart) {
		const x, y = left + 15*pitch, partsY
		_, css := p.parts.forward()
		fmt.Fprintf(b, "<path d=\"M%d %d v-22 a18 18 0 0 1 36 0 v22 z\" fill=\"%s\" stroke=\"#555\"/>\n", x-18, y+6, css)
		fmt.Fprintf(b, "<rect x=\"%d\" y=\"%d\" width=\"44\" height=\"6\" fill=\"%s\" stroke=\"#555\"/>\n", x-22, y+6, css)
		fmt.Fprintf(b, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">LED, %s</text>\n", x, y-44, escape(p.parts.Colour))
		// The leg with the resistor is the left one: the long one for a LED to ground, the short one for a LED to 3.3 V.
		long := point{x - 28, y + 40}
		anchor := "end"
		if p.led.ActiveLow {
			long.x, anchor = x+20, "start"
		}
		fmt.Fprintf(b, "<path d=\"M%d %d v20 h-14 v10 M%d %d v60\" stroke=\"#888\" stroke-width=\"3\" fill=\"none\"/>\n", x-8, y+12, x+8, y+12)
		fmt.Fprintf(b, "<text x=\"%d\" y=\"%d\" font-size=\"11\" text-anchor=\"%s\">long leg</text>\n", long.x, long.y, anchor)
		ends["resistor"] = p.drawResistor(b, point{x - 22, y + 42})
		ends["LED"] = point{x + 8, y + 72}
	}
	return ends
}

// drawResistor draws it upright below its upper wire's end, with its rings, and returns its lower end.
func (p Plan) drawResistor(b *strings.Builder, top point) point {
	ohms := p.parts.resistor()
	fmt.Fprintf(b, "<path d=\"M%d %d v54\" stroke=\"#888\" stroke-width=\"3\"/>\n", top.x, top.y)
	fmt.Fprintf(b, "<rect x=\"%d\" y=\"%d\" width=\"12\" height=\"38\" rx=\"4\" fill=\"#e8d3a8\" stroke=\"#997\"/>\n", top.x-6, top.y+8)
	for i, ring := range bands(ohms) {
		if ring == "gold" {
			ring = "#c9a227"
		}
		fmt.Fprintf(b, "<rect x=\"%d\" y=\"%d\" width=\"12\" height=\"4\" fill=\"%s\"/>\n", top.x-6, top.y+13+8*i, ring)
	}
	fmt.Fprintf(b, "<text x=\"%d\" y=\"%d\" font-size=\"11\" text-anchor=\"end\">%d Ω</text>\n", top.x-12, top.y+32, ohms)
	return point{top.x, top.y + 54}
}

func shortTerminal(t string) string {
	if t == "common" {
		return "C"
	}
	return t
}

// drawWires draws each wire in a lane of its own, so that no two run over one another.
func (p Plan) drawWires(b *strings.Builder, ends map[string]point) {
	// Those that end left of where they start take the upper lanes from the left, the others the lower ones from the right.
	var lanes, rightward []wire
	for _, w := range p.wires {
		if ends[w.terminal].x < at(w.pin).x {
			lanes = append(lanes, w)
		} else {
			rightward = append(rightward, w)
		}
	}
	byPin := func(x, y wire) int { return cmp.Compare(at(x.pin).x, at(y.pin).x) }
	slices.SortFunc(lanes, byPin)
	slices.SortFunc(rightward, byPin)
	slices.Reverse(rightward)
	for i, w := range append(lanes, rightward...) {
		from, to, y := at(w.pin), ends[w.terminal], lanesTop+lane*i
		path := fmt.Sprintf("M%d %d V%d H%d V%d", from.x, from.y, y, to.x, to.y)
		if w.pin%2 == 1 {
			// Up between two pins of the other row.
			path = fmt.Sprintf("M%d %d l%d %d V%d H%d V%d", from.x, from.y, pitch/2, -pitch/2, y, to.x, to.y)
		}
		fmt.Fprintf(b, "<path d=\"%s\" stroke=\"#fff\" stroke-width=\"7\" fill=\"none\" stroke-linejoin=\"round\"/>\n", path)
		fmt.Fprintf(b, "<path d=\"%s\" stroke=\"%s\" stroke-width=\"4\" fill=\"none\" stroke-linejoin=\"round\" stroke-linecap=\"round\"/>\n", path, p.insulation(w))
	}
}

// insulation is the colour of a wire: black is ground and red 3.3 V, as everywhere.
func (p Plan) insulation(w wire) string {
	switch {
	case names()[w.pin-1] == "GND":
		return "#111"
	case names()[w.pin-1] == "3.3V":
		return "#d00"
	case w.terminal == "NO":
		return "#e6a700"
	case w.terminal == "NC":
		return "#8a4fd0"
	default:
		return "#1f6fd0"
	}
}

// legend says each wire in words, on the board's face.
func (p Plan) legend(b *strings.Builder) {
	for i, w := range p.wires {
		y := oddRow + 58 + 20*i
		fmt.Fprintf(b, "<rect x=\"84\" y=\"%d\" width=\"26\" height=\"5\" fill=\"%s\" stroke=\"#fff\" stroke-width=\"0.5\"/>\n", y-6, p.insulation(w))
		fmt.Fprintf(b, "<text x=\"120\" y=\"%d\" fill=\"#fff\">pin %d, %s: %s</text>\n", y, w.pin, names()[w.pin-1], escape(w.to))
	}
}

func escape(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "\"", "&quot;").Replace(text)
}
