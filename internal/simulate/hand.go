package simulate

import (
	"errors"
	"time"

	"keyswitchd/gpio"
)

// hand is who turns the key and is at its wires. It knows where they are, whatever the daemon makes of it.
type hand struct {
	board      *gpio.Simulated
	second     string        // the line of the second contact; "" if there is none
	changeOver time.Duration // with a second contact

	on      bool         // the key
	cut     bool         // the line of an only contact can't be read
	wires   [2]gpio.Wire // of two contacts, by gpio.Contact
	latched bool         // two contacts were equal, and have not been off since
}

// bounces is a contact that takes its time: it moves six times within 30 ms.
var bounces = []time.Duration{time.Millisecond, 3 * time.Millisecond, 2 * time.Millisecond, 8 * time.Millisecond, 5 * time.Millisecond, 11 * time.Millisecond}

var errCut = errors.New("it is cut (simulated)")

// after is the hand once w is done; nothing is done.
func (h hand) after(w word) hand {
	switch w {
	case wordOn, wordOff:
		h.on = w == wordOn
	case wordBounce:
		h.on = !h.on
	case wordCut, wordMend:
		h.cut = w == wordCut && h.second == ""
		h.wires = [2]gpio.Wire{}
		if w == wordCut && h.second != "" {
			h.wires = [2]gpio.Wire{gpio.Cut, gpio.Cut}
		}
	case wordCutKey:
		h.wires[gpio.KeyContact] = gpio.Cut
	case wordCutSecond:
		h.wires[gpio.SecondContact] = gpio.Cut
	case wordShortKey:
		h.wires[gpio.KeyContact] = gpio.Shorted
	case wordShortSecond:
		h.wires[gpio.SecondContact] = gpio.Shorted
	}
	if h.second != "" {
		switch key, second := h.closed(gpio.KeyContact), h.closed(gpio.SecondContact); {
		case key == second:
			h.latched = true
		case second:
			h.latched = false
		}
	}
	return h
}

// closed says what the line of a contact reads.
func (h hand) closed(c gpio.Contact) bool {
	switch h.wires[c] {
	case gpio.Cut:
		return false
	case gpio.Shorted:
		return true
	default:
		return h.on == (c == gpio.KeyContact)
	}
}

func (h *hand) do(w word) {
	*h = h.after(w)
	// With two contacts there is a moment at which neither is closed.
	gap := min(h.changeOver/4, 200*time.Millisecond)
	switch w {
	case wordOn, wordOff:
		h.board.TurnOver(h.position(), gap)
	case wordBounce:
		h.board.TurnOver(h.position(), gap, bounces...)
	case wordCut, wordMend:
		if h.cut {
			h.board.Break(errCut)
		} else {
			h.board.Break(nil)
		}
	}
	for c, w := range h.wires {
		h.board.SetWire(gpio.Contact(c), w)
	}
}

func (h hand) position() gpio.Position {
	if h.on {
		return gpio.On
	}
	return gpio.Off
}

// reads is what the key must read as.
func (h hand) reads() gpio.Position {
	if h.cut || h.latched {
		return gpio.Fault
	}
	return h.position()
}
