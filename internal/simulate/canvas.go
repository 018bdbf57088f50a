package simulate

import (
	"strings"
	"unicode"
)

// ink is how a cell looks, where the terminal has colours.
type ink uint8

// The inks, and their SGR sequences (ECMA-48).
const (
	plain ink = iota
	faint
	bold
	green
	red
	yellow
)

var sgr = [...]string{plain: "", faint: "\x1b[2m", bold: "\x1b[1m", green: "\x1b[1;32m", red: "\x1b[1;31m", yellow: "\x1b[1;33m"}

type cell struct {
	r   rune
	ink ink
}

// style is what the terminal can do.
type style struct {
	width, height int
	unicode       bool
	colour        bool
}

// row is one line on the terminal, ready to be written.
type row struct {
	text string
	// joined rows are one long line that goes on in the next row: whoever copies it from the terminal gets it whole.
	joined bool
}

// canvas is a grid that grows downwards. What doesn't fit its width is cut.
type canvas struct {
	style
	cells  [][]cell
	joined map[int]bool
}

func newCanvas(s style) *canvas { return &canvas{style: s, joined: map[int]bool{}} }

// put writes text from column x of row y on, and returns the column after it.
func (c *canvas) put(x, y int, text string, i ink) int {
	for len(c.cells) <= y {
		c.cells = append(c.cells, nil)
	}
	for _, r := range text {
		if !c.unicode && r > unicode.MaxASCII || !unicode.IsPrint(r) {
			r = '?'
		}
		if x >= c.width {
			break
		}
		for len(c.cells[y]) <= x {
			c.cells[y] = append(c.cells[y], cell{r: ' '})
		}
		c.cells[y][x] = cell{r, i}
		x++
	}
	return x
}

// art writes a picture, line by line. Blanks of it are no ink.
func (c *canvas) art(x, y int, lines []string, i ink) {
	for n, line := range lines {
		c.put(x, y+n, line, i)
	}
}

func (c *canvas) rows() []row {
	rows := make([]row, len(c.cells))
	for y, cells := range c.cells {
		var b strings.Builder
		now := plain
		for _, cell := range cells {
			if c.colour && cell.ink != now {
				if now != plain {
					b.WriteString("\x1b[0m")
				}
				b.WriteString(sgr[cell.ink])
				now = cell.ink
			}
			b.WriteRune(cell.r)
		}
		if now != plain {
			b.WriteString("\x1b[0m")
		}
		rows[y] = row{b.String(), c.joined[y]}
	}
	return rows
}

// wrap breaks text into lines of at most width, at blanks where it can.
func wrap(text string, width int) []string {
	width = max(width, 1)
	var lines []string
	line := []rune{}
	for _, w := range strings.Fields(text) {
		word := []rune(w)
		if len(line) > 0 && len(line)+1+len(word) > width {
			lines = append(lines, string(line))
			line = nil
		}
		if len(line) > 0 {
			line = append(line, ' ')
		}
		line = append(line, word...)
		for len(line) > width {
			lines = append(lines, string(line[:width]))
			line = line[width:]
		}
	}
	if len(line) > 0 {
		lines = append(lines, string(line))
	}
	return lines
}
