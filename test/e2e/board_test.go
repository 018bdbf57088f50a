//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// chipLive is the switch of the whole simulated chip: "1" there, "0" gone.
const chipLive = "/sys/kernel/config/gpio-sim/pi/live"

// line is an attribute of a line of the simulated chip, whose number may change when the chip goes and comes.
func line(name string) (string, error) {
	found, err := filepath.Glob("/sys/devices/platform/gpio-sim.0/gpiochip*/" + name)
	if err == nil && len(found) != 1 {
		err = fmt.Errorf("board: looking for %s: found %q", name, found)
	}
	if err != nil {
		return "", err
	}
	return found[0], nil
}

// setKey is the hand on the key: on connects the line to ground.
func setKey(on bool) error {
	h, err := takeKey()
	if err != nil {
		return err
	}
	defer h.Close()
	return h.set(on)
}

// hand is a hand that stays on the key, to turn it many times.
type hand struct{ *os.File }

func takeKey() (hand, error) {
	path, err := line("sim_gpio17/pull")
	if err != nil {
		return hand{}, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	return hand{f}, err
}

func (h hand) set(on bool) error {
	_, err := h.WriteAt([]byte(pulls[on]), 0)
	return err
}

var pulls = map[bool]string{false: "pull-up", true: "pull-down"}

func turn(t *testing.T, on bool) {
	t.Helper()
	if err := setKey(on); err != nil {
		t.Fatal(err)
	}
}

// lit reads the level of the LED's line.
func lit() (bool, error) {
	path, err := line("sim_gpio27/value")
	if err != nil {
		return false, err
	}
	value, err := os.ReadFile(path)
	return strings.TrimSpace(string(value)) == "1", err
}

// ledIs is the condition that the LED is lit, or dark, at this moment.
func ledIs(want bool) condition {
	return func() error {
		is, err := lit()
		if err == nil && is != want {
			err = fmt.Errorf("board: the LED is lit: %t, want %t", is, want)
		}
		return err
	}
}

// countDark counts how often the LED becomes dark, until it did so want times, and returns how long that took.
func countDark(t *testing.T, want int) time.Duration {
	t.Helper()
	begun := time.Now()
	was := false
	for n := 0; n < want; {
		is, err := lit()
		if err != nil {
			t.Fatal(err)
		}
		if was && !is {
			n++
		}
		was = is
		if time.Since(begun) > patience {
			t.Fatalf("the LED became dark %d times in %s, want %d", n, patience, want)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(begun)
}
