package inside

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// ChipLive is the switch of the whole simulated chip: "1" there, "0" gone (the kernel's gpio-sim).
const ChipLive = "/sys/kernel/config/gpio-sim/pi/live"

// Lines by their numbers in the simulated chip.
const (
	KeyLine    = 17
	SecondLine = 22
	LEDLine    = 27
)

// Line is an attribute of a line of the simulated chip, "pull" or "value". The chip's number may change when it goes and comes.
func Line(number int, attribute string) (path string, err error) {
	name := fmt.Sprintf("sim_gpio%d/%s", number, attribute)
	found, err := filepath.Glob("/sys/devices/platform/gpio-sim.0/gpiochip*/" + name)
	if err == nil && len(found) != 1 {
		err = fmt.Errorf("inside: looking for %s of the simulated chip: found %q; is it live? %s", name, found, ChipLive)
	}
	if err != nil {
		return "", err
	}
	return found[0], nil
}

// SetKey is the hand on the key: on connects its line to ground.
func SetKey(on bool) error { return SetContact(KeyLine, on) }

// SetContact closes a contact between a line and ground, or opens it: then the line is pulled up.
func SetContact(line int, closed bool) error {
	h, err := Take(line)
	if err != nil {
		return err
	}
	defer h.Close()
	return h.Set(closed)
}

// Hand is a hand that stays on a contact, to turn it many times.
type Hand struct{ *os.File }

// Take lays a hand on the contact of a line. Close it.
func Take(line int) (Hand, error) {
	path, err := Line(line, "pull")
	if err != nil {
		return Hand{}, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	return Hand{f}, err
}

// Set closes the contact or opens it.
func (h Hand) Set(closed bool) error {
	pull := "pull-up"
	if closed {
		pull = "pull-down"
	}
	_, err := h.WriteAt([]byte(pull), 0)
	return err
}

// Lit reads the level of the LED's line.
func Lit() (bool, error) {
	path, err := Line(LEDLine, "value")
	if err != nil {
		return false, err
	}
	value, err := os.ReadFile(path)
	return strings.TrimSpace(string(value)) == "1", err
}
