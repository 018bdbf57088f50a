package simulate

import (
	"fmt"
	"slices"

	"keyswitchd/gpio"
	"keyswitchd/internal/keyswitch"
	"keyswitchd/internal/status"
)

// view is everything that the picture shows.
type view struct {
	on, cut  bool          // where the key is, whatever the daemon makes of it
	contacts []contactView // two or none
	status   status.Status
	lit      bool
	who      string
	root     bool
	address  string
	try      string
	log      []string
	help     bool
}

// From the width narrow on there are drawings, from wide on the text stands beside them.
const (
	narrow = 28
	wide   = 64
)

// drawings have one height, so that nothing jumps.
const (
	artHeight = 6
	keyX      = 2
	keyWidth  = 13
	ledX      = 19
	textX     = 32
)

// parts are what can be left out for want of room.
type parts struct{ air, note, art, keys bool }

// draw makes the picture. It is at most as high as the terminal: what matters least goes first.
func draw(v view, s style) []row {
	s.width, s.height = max(s.width, 20), max(s.height, 4)
	var rows []row
	for _, p := range []parts{
		{air: true, note: true, art: true, keys: true}, {note: true, art: true, keys: true}, {art: true, keys: true}, {keys: true}, {},
	} {
		c := newCanvas(s)
		v.paint(c, p)
		rows = c.rows()
		if len(rows) <= s.height {
			break
		}
	}
	return rows[:min(len(rows), s.height)]
}

func (v view) paint(c *canvas, p parts) {
	y := 0
	gap := func() {
		if p.air {
			y++
		}
	}
	c.put(1, y, "keyswitchd simulate", bold)
	if at := c.width - len(v.address) - 1; at > 22 {
		c.put(at, y, v.address, faint)
	}
	y++
	gap()
	text := v.panel(c.width - 2)
	if p.art && c.width >= narrow {
		v.drawKey(c, y)
		v.drawLED(c, y)
		height := artHeight + v.drawContacts(c, y+artHeight)
		if c.width >= wide {
			text = v.panel(c.width - textX - 1)
			c.lines(textX, y, text)
			y += max(height, len(text))
		} else {
			y += height
			y = c.lines(1, y, text)
		}
	} else {
		y = c.lines(1, y, append(inkAll(wrap(v.keyWord()+", the LED is "+v.ledWord(), c.width-2), bold), text...))
		for _, contact := range v.contacts {
			y = c.lines(1, y, inkAll(wrap(contact.line+" "+contact.word(), c.width-2), contact.ink()))
		}
	}
	gap()
	call := "Once SSH is open, log in from another terminal:"
	if v.status.Open {
		call = "SSH is open. Log in from another terminal:"
	}
	y = c.lines(1, y, inkAll(wrap(call, c.width-2), plain))
	y = c.joinedLine(y, v.try)
	if v.root && p.note {
		y = c.lines(1, y, inkAll(wrap("("+rootNote+")", c.width-2), faint))
	}
	gap()
	if p.keys {
		for _, line := range v.wrapKeys(c.width - 2) {
			c.put(1, y, line, faint)
			y++
		}
	}
	v.below(c, y, p.air)
}

// below is the help or the log, in what room is left.
func (v view) below(c *canvas, y int, air bool) {
	room := c.height - y
	if air {
		room--
		y++
	}
	if v.help {
		help := v.helpLines(c.width - 2)
		c.lines(1, y, inkAll(help[:max(0, min(len(help), room))], plain))
		return
	}
	// As many of the last lines as there is room for, each whole.
	var lines []string
	for _, l := range slices.Backward(v.log) {
		parts := wrap(l, c.width-4)
		for n := 1; n < len(parts); n++ {
			parts[n] = "  " + parts[n]
		}
		if len(lines)+len(parts) > min(room, 8) {
			break
		}
		lines = slices.Concat(parts, lines)
	}
	c.lines(1, y, inkAll(lines, faint))
}

type inked struct {
	text string
	ink  ink
}

func inkAll(lines []string, i ink) []inked {
	out := make([]inked, len(lines))
	for n, l := range lines {
		out[n] = inked{l, i}
	}
	return out
}

func (c *canvas) lines(x, y int, lines []inked) int {
	for _, l := range lines {
		c.put(x, y, l.text, l.ink)
		y++
	}
	return y
}

// joinedLine writes a line that must stay whole when it is copied. Where it needs several rows, it fills them.
func (c *canvas) joinedLine(y int, text string) int {
	if len([]rune(text))+4 <= c.width {
		c.put(3, y, text, bold)
		return y + 1
	}
	for r := []rune(text); ; y++ {
		n := min(len(r), c.width)
		c.put(0, y, string(r[:n]), bold)
		if r = r[n:]; len(r) == 0 {
			return y + 1
		}
		c.joined[y] = true
	}
}

// panel says how SSH is, and why.
func (v view) panel(width int) []inked {
	headline, i := "SSH CLOSED", bold
	switch {
	case v.status.SSH == "deactivating":
		headline, i = "SSH IS CLOSING", yellow
	case v.status.Open:
		headline, i = "SSH OPEN", green
	case v.status.SSH == "activating":
		headline, i = "SSH IS OPENING", yellow
	case v.status.SSH == "" || v.status.SSH == "unknown":
		headline, i = "STARTING", yellow
	}
	if v.status.Fault {
		i = red
	}
	out := []inked{{headline, i}}
	out = append(out, inkAll(wrap(v.status.Reason, width), plain)...)
	switch keyswitch.Kind(v.status.Code) {
	case keyswitch.NeedsTurn, keyswitch.Expired: // the others' advice is for a Pi with systemd
		out = append(out, inkAll(wrap("-> "+v.status.Advice, width), yellow)...)
	case keyswitch.KeyFault:
		out = append(out, inkAll(wrap("-> "+v.mending(), width), yellow)...)
	}
	if v.status.Open {
		people := "nobody is logged in"
		if n := v.status.Sessions; n > 0 {
			people = fmt.Sprintf("%s is logged in", v.who)
			if n > 1 {
				people += fmt.Sprintf(", %d times", n)
			}
		}
		out = append(out, inkAll(wrap(people, width), plain)...)
		if v.status.Hardening.Verified {
			out = append(out, inkAll(wrap("hardened, as sshd itself confirms", width), plain)...)
		}
	}
	if v.status.LEDError != "" {
		out = append(out, inkAll(wrap("LED: "+v.status.LEDError, width), red)...)
	}
	return out
}

var (
	keyOffArt = []string{
		"  ╭───────╮  ",
		" ╭╯       ╰╮ ",
		" │  ━━━━━  │ ",
		" ╰╮       ╭╯ ",
		"  ╰───────╯  "}
	keyOnArt = []string{
		"  ╭───────╮  ",
		" ╭╯   ┃   ╰╮ ",
		" │    ┃    │ ",
		" ╰╮   ┃   ╭╯ ",
		"  ╰───────╯  "}
	keyOffASCII = []string{
		"   .-----.   ",
		"  /       \\  ",
		" |  =====  | ",
		"  \\       /  ",
		"   '-----'   "}
	keyOnASCII = []string{
		"   .-----.   ",
		"  /   #   \\  ",
		" |    #    | ",
		"  \\   #   /  ",
		"   '-----'   "}
	darkArt   = []string{"╭─────╮", "│     │", "╰─────╯"}
	litArt    = []string{"▗▄▄▄▄▄▖", "▐█████▌", "▝▀▀▀▀▀▘"}
	darkASCII = []string{" .---. ", "(     )", " '---' "}
	litASCII  = []string{".#####.", "#######", "'#####'"}
)

func (v view) drawKey(c *canvas, y int) {
	art := map[[2]bool][]string{
		{false, false}: keyOffASCII, {false, true}: keyOnASCII, {true, false}: keyOffArt, {true, true}: keyOnArt,
	}[[2]bool{c.unicode, v.on}]
	c.art(keyX, y, art, plain)
	word := v.keyWord()
	c.put(keyX+(keyWidth-len(word))/2, y+5, word, map[bool]ink{true: bold, false: plain}[v.on && !v.cut])
	if v.cut {
		c.put(keyX+(keyWidth-len(word))/2, y+5, word, red)
	}
}

func (v view) keyWord() string {
	switch {
	case v.cut:
		return "line cut"
	case v.on:
		return "key on"
	default:
		return "key off"
	}
}

func (v view) drawLED(c *canvas, y int) {
	art, i := darkASCII, plain
	switch {
	case v.lit && c.unicode:
		art, i = litArt, green
	case v.lit:
		art, i = litASCII, green
	case c.unicode:
		art = darkArt
	}
	c.art(ledX, y+1, art, i)
	word := v.ledWord()
	c.put(ledX+(len("       ")-len(word))/2, y+5, word, plain)
}

func (v view) ledWord() string {
	switch v.status.LED {
	case gpio.SlowBlink.String():
		return "slow blink"
	case gpio.FastBlink.String():
		return "fast blink"
	case gpio.Wink.String():
		return "winking"
	case gpio.DoubleWink.String():
		return "double wink"
	case "":
		return gpio.Dark.String()
	default:
		return v.status.LED
	}
}
