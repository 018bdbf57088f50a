package wiring

import (
	"errors"
	"fmt"
	"strings"

	"keyswitchd/gpio"
)

// part is what a wire goes to.
type part uint8

const (
	keyPart part = iota
	ledPart
)

// wire goes from a pin to one terminal of a part.
type wire struct {
	pin      int
	part     part
	terminal string // "common", "NO", "NC" for the key; "resistor", "LED" for the LED
	to       string // for a person
}

// Plan is a configuration laid out on the header.
type Plan struct {
	model string
	parts Parts
	wires []wire
	key   gpio.KeyConfig
	led   gpio.LEDConfig
	notes []string
}

// New lays out the lines of a configuration. It fails if the parts are impossible or two lines are the same; a line that is
// not on the header is left out of the drawing and named in a note.
func New(model string, key gpio.KeyConfig, led gpio.LEDConfig, parts Parts) (Plan, error) {
	if err := parts.check(); err != nil {
		return Plan{}, err
	}
	p := Plan{model: model, parts: parts, key: key, led: led}
	lines := map[string]bool{}
	for _, line := range []string{key.Line, key.Second, led.Name} {
		if line != "" && lines[line] {
			return Plan{}, fmt.Errorf("wiring: %s is used twice; the key, its second contact and the LED need a line each", line)
		}
		lines[line] = true
	}
	if model != "" && !FortyPins(model) {
		p.note("%s: this drawing is that of the 40-pin header; compare it with the board's own description before you wire anything.", model)
	}
	p.wireKey()
	p.wireLED()
	if len(p.wires) == 0 {
		return p, errors.New("wiring: none of the configured lines is on the 40-pin header, so there is nothing to draw; gpioinfo lists the lines of this board")
	}
	return p, nil
}

func (p *Plan) note(format string, args ...any) {
	p.notes = append(p.notes, fmt.Sprintf(format, args...))
}

// add wires a line, if it is on the header.
func (p *Plan) add(line string, w wire) bool {
	pin, ok := pinOf(line)
	if !ok {
		p.note("%s is not on the 40-pin header: wire it where this board has it (gpioinfo).", line)
		return false
	}
	if why := busy(line); why != "" {
		p.note("%s %s: another line is the better choice.", line, why)
	}
	w.pin = pin
	p.wires = append(p.wires, w)
	return true
}

// wireKey wires the contacts and what they are closed against.
func (p *Plan) wireKey() {
	there := p.add(p.key.Line, wire{part: keyPart, terminal: "NO", to: "key, normally open"})
	if p.key.Second != "" {
		there = p.add(p.key.Second, wire{part: keyPart, terminal: "NC", to: "key, normally closed"}) || there
	}
	if there {
		p.rail(p.rail33(!p.key.ActiveLow), wire{part: keyPart, terminal: "common", to: "key, common"})
	}
}

func (p *Plan) wireLED() {
	switch {
	case p.led.Name == "none":
		p.note("No LED: keyswitchd --status is the only one to say how things are.")
	case strings.HasPrefix(p.led.Name, "sysfs:"):
		p.note("The LED is the kernel's %s on the board: nothing to wire.", strings.TrimPrefix(p.led.Name, "sysfs:"))
	case p.led.ActiveLow:
		if p.add(p.led.Name, wire{part: ledPart, terminal: "resistor", to: "resistor, then LED short leg"}) {
			p.rail("3.3V", wire{part: ledPart, terminal: "LED", to: "LED, long leg"})
		}
	default:
		if p.add(p.led.Name, wire{part: ledPart, terminal: "resistor", to: "resistor, then LED long leg"}) {
			p.rail("GND", wire{part: ledPart, terminal: "LED", to: "LED, short leg"})
		}
	}
}

func (p *Plan) rail33(high bool) string {
	if high {
		return "3.3V"
	}
	return "GND"
}

// rail takes the free pin of a supply rail that is nearest to the wires of the part; there are more of them than parts.
func (p *Plan) rail(name string, w wire) {
	best, least := 0, 1<<30
	for i, n := range names() {
		pin, distance := i+1, 0
		if n != name || p.at(pin) != nil {
			continue
		}
		for _, other := range p.wires {
			if other.part == w.part {
				// Along the header first; of two alike, the one in the same row.
				along := (pin+1)/2 - (other.pin+1)/2
				distance += 4*along*along + (pin+other.pin)%2
			}
		}
		if distance < least {
			best, least = pin, distance
		}
	}
	w.pin = best
	p.wires = append(p.wires, w)
}

// at returns the wire of a pin, or nil.
func (p *Plan) at(pin int) *wire {
	for i := range p.wires {
		if p.wires[i].pin == pin {
			return &p.wires[i]
		}
	}
	return nil
}

// has reports whether a part is on the header.
func (p *Plan) has(what part) bool {
	for _, w := range p.wires {
		if w.part == what {
			return true
		}
	}
	return false
}

// list says in words which parts are needed and where they go.
func (p *Plan) list() [][2]string {
	var out [][2]string
	pin := func(terminal string) string {
		for _, w := range p.wires {
			if w.terminal == terminal {
				return fmt.Sprintf("pin %d", w.pin)
			}
		}
		return "its line"
	}
	if p.has(keyPart) {
		text := fmt.Sprintf("maintained key switch, key removable in off only: normally open contact between %s and %s", pin("NO"), pin("common"))
		if p.key.Second != "" {
			text = fmt.Sprintf("maintained key switch with a changeover contact, key removable in off only: common to %s, normally open to %s, normally closed to %s",
				pin("common"), pin("NO"), pin("NC"))
		}
		out = append(out, [2]string{"key", text})
	}
	if p.key.Pull == gpio.PullNone && p.has(keyPart) {
		out = append(out, [2]string{"pull", fmt.Sprintf("4.7 kohm from each contact's line to %s: pull is \"none\", so the Pi's own are off", p.rail33(p.key.ActiveLow))})
	}
	if p.has(ledPart) {
		ohms := p.parts.resistor()
		rings := ""
		if b := bands(ohms); b != nil {
			rings = " (" + strings.Join(b, ", ") + ")"
		}
		legs := "long leg towards the resistor and the line, short leg to " + pin("LED")
		if p.led.ActiveLow {
			legs = "short leg towards the resistor and the line, long leg to " + pin("LED")
		}
		out = append(out, [2]string{"LED", p.parts.Colour + ", 3 mm or 5 mm: " + legs},
			[2]string{"resistor", fmt.Sprintf("%d ohm%s between %s and the LED: about %.1f mA", ohms, rings, pin("resistor"), p.parts.milliamperes())})
	}
	return out
}
