package simulate

import "keyswitchd/gpio"

// contactView is what the picture shows of one of two contacts.
type contactView struct {
	line   string
	wire   gpio.Wire
	closed bool // as the line reads
}

// word is what the line reads, and why if the contact is not the reason.
func (c contactView) word() string {
	switch {
	case c.wire == gpio.Cut:
		return "open (cut)"
	case c.wire == gpio.Shorted:
		return "closed (short)"
	case c.closed:
		return "closed"
	default:
		return "open"
	}
}

func (c contactView) ink() ink {
	if c.wire != gpio.Whole {
		return red
	}
	return plain
}

// drawing is the contact between its two wires.
func (c contactView) drawing(unicode bool) string {
	art := map[bool][4]string{
		false: {"-o o-", "-o=o-", "--X--", "-\\_/-"},
		true:  {"─● ●─", "─●━●─", "──╳──", "─╰─╯─"},
	}[unicode]
	switch {
	case c.wire == gpio.Cut:
		return art[2]
	case c.wire == gpio.Shorted:
		return art[3]
	case c.closed:
		return art[1]
	default:
		return art[0]
	}
}

// drawContacts draws two contacts below the key, and returns how many rows that takes.
func (v view) drawContacts(c *canvas, y int) int {
	for n, contact := range v.contacts {
		x := c.put(1, y+n, contact.line+" ", plain)
		x = c.put(x, y+n, contact.drawing(c.unicode)+" ", contact.ink())
		c.put(x, y+n, contact.word(), contact.ink())
	}
	return len(v.contacts)
}

// mending is how a fault of the key ends.
func (v view) mending() string {
	if v.contacts == nil {
		return "c mends it"
	}
	for _, c := range v.contacts {
		if c.wire != gpio.Whole {
			return "m mends the wires; then turn the key off"
		}
	}
	return "turn the key off"
}
