package wiring

import (
	"fmt"
	"slices"
	"strings"
)

// supply is the voltage of the lines, in volts.
const supply = 3.3

// wantedCurrent is what the resistor of a LED is computed for, in amperes: well visible indoors with any LED made in this
// century, and a third of what a line may give (16 mA).
const wantedCurrent = 0.005

// leastOhms keeps the current of a LED with a high forward voltage harmless whatever its specimen.
const leastOhms = 100

// colour is a kind of LED that a resistor can be computed for.
type colour struct {
	name    string
	forward float64 // typical forward voltage at some mA, in volts (data sheets of common 3 mm and 5 mm types)
	css     string
}

func colours() []colour {
	return []colour{{"red", 1.8, "#d22"}, {"orange", 2.0, "#e70"}, {"yellow", 2.1, "#dc0"}, {"green", 2.1, "#2a2"}, {"blue", 3.0, "#24d"}, {"white", 3.0, "#eee"}}
}

// Colours lists the names that Parts.Colour may have.
func Colours() []string {
	var out []string
	for _, c := range colours() {
		out = append(out, c.name)
	}
	return out
}

// Parts is what is not in keyswitchd.toml.
type Parts struct {
	Colour string // of the LED, one of Colours
	Ohms   int    // of its resistor; 0: computed from the colour. From 100 to 10000.
}

// LeastOhms and MostOhms bound a given resistor: below the line is overloaded, above the LED is dark.
const (
	LeastOhms = leastOhms
	MostOhms  = 10000
)

func (p Parts) check() error {
	if !slices.Contains(Colours(), p.Colour) {
		return fmt.Errorf("wiring: %q is no colour of a LED known here; it can be %s", p.Colour, strings.Join(Colours(), ", "))
	}
	if p.Ohms != 0 && (p.Ohms < LeastOhms || p.Ohms > MostOhms) {
		return fmt.Errorf("wiring: a resistor of %d ohm is out of range; from %d (less overloads the line) to %d (more leaves the LED dark)", p.Ohms, LeastOhms, MostOhms)
	}
	return nil
}

func (p Parts) forward() (volts float64, css string) {
	for _, c := range colours() {
		if c.name == p.Colour {
			return c.forward, c.css
		}
	}
	return colours()[0].forward, colours()[0].css
}

// resistor is the value to buy, in ohms: the next one up in the E12 series (IEC 60063).
func (p Parts) resistor() int {
	if p.Ohms != 0 {
		return p.Ohms
	}
	volts, _ := p.forward()
	least := (supply - volts) / wantedCurrent
	for decade := 1.0; ; decade *= 10 {
		for _, step := range []float64{10, 12, 15, 18, 22, 27, 33, 39, 47, 56, 68, 82} {
			if v := step * decade; v >= least && v >= leastOhms {
				return int(v)
			}
		}
	}
}

// milliamperes is the current that flows through the LED.
func (p Parts) milliamperes() float64 {
	volts, _ := p.forward()
	return 1000 * (supply - volts) / float64(p.resistor())
}

// bands are the colours of the rings of a resistor of two digits with 5 % (IEC 60062). Other values have no name here.
func bands(ohms int) []string {
	digits := []string{"black", "brown", "red", "orange", "yellow", "green", "blue", "violet", "grey", "white"}
	power := 0
	for ohms >= 100 {
		if ohms%10 != 0 {
			return nil
		}
		ohms /= 10
		power++
	}
	if ohms < 10 || power >= len(digits) {
		return nil
	}
	return []string{digits[ohms/10], digits[ohms%10], digits[power], "gold"}
}
