package gpio

import "time"

// Contact names a contact of the simulated key.
type Contact uint8

// Contacts of the simulated key.
const (
	KeyContact    Contact = iota // closed while the key is on
	SecondContact                // closed while the key is off
)

// Wire is the state of the wire from a contact to its line.
type Wire uint8

// States of a wire.
const (
	Whole   Wire = iota
	Cut          // the line reads open, whatever the contact does
	Shorted      // the line reads closed, whatever the contact does
)

// simContact is a contact of a simulated key and the line at its wire. The board's lock is held whenever it is used.
type simContact struct {
	shut    bool // the contact itself, but for chatter
	wire    Wire
	chatter time.Duration // time between two edges; 0: none
	since   time.Time     // when the chatter began
	turns   int           // edges of the line that were not chatter
	turned  time.Time     // when the last of them was
}

// edges counts the edges of the line so far.
func (c *simContact) edges() int { return c.turns + c.chattered() }

// closed says whether the line reads closed.
func (c *simContact) closed() bool {
	switch c.wire {
	case Cut:
		return false
	case Shorted:
		return true
	default:
		return c.shut != (c.chattered()%2 == 1)
	}
}

// age is how long ago the last edge was.
func (c *simContact) age() time.Duration {
	if c.chattered() > 0 {
		return time.Since(c.since) % c.chatter
	}
	return time.Since(c.turned)
}

// chattered counts the edges of the present chatter.
func (c *simContact) chattered() int {
	if c.chatter == 0 || c.wire != Whole {
		return 0
	}
	return int(time.Since(c.since) / c.chatter)
}

// next is the time until the next edge of a chatter; 0: there is none.
func (c *simContact) next() time.Duration {
	if c.chatter == 0 || c.wire != Whole {
		return 0
	}
	return c.chatter - time.Since(c.since)%c.chatter
}

// alter makes a change of contact or wire, and ends a chatter.
func (c *simContact) alter(f func()) {
	was, n := c.closed(), c.chattered()
	c.turns += n
	if n%2 == 1 {
		c.shut = !c.shut
	}
	chattering := c.chatter > 0
	c.chatter = 0
	f()
	if n > 0 || chattering || c.closed() != was {
		c.turned = time.Now()
	}
	if c.closed() != was || chattering {
		c.turns++
	}
}

// sample is a look at the line by somebody who saw so many edges before.
func (c *simContact) sample(seen int) Sample {
	s := Sample{Active: c.closed(), Edges: c.edges() != seen}
	if s.Edges {
		s.Age = c.age()
	}
	return s
}
