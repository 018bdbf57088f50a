package gpio

import "fmt"

// lines names the line of the key, or both.
func (c KeyConfig) lines() string {
	if c.Second == "" {
		return c.Line
	}
	return c.Line + " and " + c.Second
}

// explain says what the trouble is, which wire to look at, and how it ends.
func (c KeyConfig) explain(t Trouble) error {
	const until = "SSH stays closed until the key has been seen off"
	closedBy := "3.3 V"
	if c.ActiveLow {
		closedBy = "ground"
	}
	switch t {
	case Restless:
		return fmt.Errorf("gpio: %s: the contact has not been stable for %v: loose wire, worn contact, interference, or a machine too busy to look;"+
			" check the wiring, or try a longer debounce", c.Line, ChatterLimit)
	case SecondRestless:
		return fmt.Errorf("gpio: %s: the contacts have not been stable together for %v: loose wire, worn contact or interference;"+
			" look at the wire of %s first, or try a longer debounce", c.lines(), ChatterLimit, c.Second)
	case BothOpen:
		return fmt.Errorf("gpio: %s: both contacts were open for longer than %v: the wire of %s, that of %s, or the one from both contacts to %s is cut"+
			" or loose, or the key stood between its positions; mend it and turn the key off: %s",
			c.lines(), c.ChangeOver, c.Line, c.Second, closedBy, until)
	case BothClosed:
		return fmt.Errorf("gpio: %s: both contacts were closed for longer than %v: the wire of %s or that of %s is shorted to %s, or the two are shorted"+
			" to each other; mend it and turn the key off: %s",
			c.lines(), c.ChangeOver, c.Line, c.Second, closedBy, until)
	default:
		return fmt.Errorf("gpio: %s: the position is not known", c.lines())
	}
}
