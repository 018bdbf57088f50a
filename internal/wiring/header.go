// Package wiring knows where the lines of a configuration come out on the 40-pin header of a Raspberry Pi, which parts go
// there, and draws it: as text for a terminal, as SVG for a document. It refuses to guess: a line that is not on the header
// is said to be elsewhere, and it never touches a line.
package wiring

import (
	"bytes"
	"os"
	"strings"
)

// pinNames are the names of pins 1 to 40, the same on each Pi with the 40-pin header (raspberrypi.com, "GPIO and the 40-pin header").
const pinNames = "3.3V 5V GPIO2 5V GPIO3 GND GPIO4 GPIO14 GND GPIO15 GPIO17 GPIO18 GPIO27 GND GPIO22 GPIO23 3.3V GPIO24 GPIO10 GND " +
	"GPIO9 GPIO25 GPIO11 GPIO8 GND GPIO7 GPIO0 GPIO1 GPIO5 GND GPIO6 GPIO12 GPIO13 GND GPIO19 GPIO16 GPIO26 GPIO20 GND GPIO21"

// Pins is the number of pins of the header.
const Pins = 40

// names returns the names of all pins; that of pin N is at N-1.
func names() []string { return strings.Fields(pinNames) }

// pinOf finds the pin of a line by its name ("GPIO17" is 11). ok is false for one that is not on the header.
func pinOf(line string) (pin int, ok bool) {
	for i, name := range names() {
		if name == line && strings.HasPrefix(line, "GPIO") {
			return i + 1, true
		}
	}
	return 0, false
}

// busy says what else a line is used for on a Pi, so that it is better avoided; "" for the free ones.
func busy(line string) string {
	switch line {
	case "GPIO0", "GPIO1":
		return "is read while booting to identify a HAT"
	case "GPIO2", "GPIO3":
		return "is I2C, with 1.8 kohm to 3.3 V on the board"
	case "GPIO7", "GPIO8", "GPIO9", "GPIO10", "GPIO11":
		return "is SPI, if that is switched on"
	case "GPIO14", "GPIO15":
		return "is the serial console, which talks there while booting"
	}
	return ""
}

// modelFile is where the kernel tells the model of the board (Devicetree Specification, root node).
const modelFile = "/proc/device-tree/model"

// Model reads the name of the board, such as "Raspberry Pi 4 Model B Rev 1.4". It is empty on a machine that is none.
func Model() string {
	raw, err := os.ReadFile(modelFile)
	if err != nil {
		return ""
	}
	return printable(raw)
}

func printable(raw []byte) string {
	raw = bytes.TrimRight(raw, "\x00")
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, string(raw))
}

// FortyPins reports whether a model has the 40-pin header. The two first models have 26 pins, with the same first 26; the
// Compute Modules bring theirs out as their carrier board likes.
func FortyPins(model string) bool {
	if !strings.HasPrefix(model, "Raspberry Pi") || strings.Contains(model, "Compute Module") {
		return false
	}
	old := strings.HasPrefix(model, "Raspberry Pi Model ") && !strings.Contains(model, "Plus")
	return !old
}
