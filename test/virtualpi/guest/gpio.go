package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"keyswitchd/test/virtualpi/wire"
)

// The simulated chip: the lines of a Raspberry Pi's header under the kernel's gpio-sim.
const (
	chipLabel = "pinctrl-bcm2711"
	chipLines = 28
	keyLine   = 17
	ledLine   = 27
	chipDir   = "/sys/kernel/config/gpio-sim/pi"
	linesDir  = "/sys/devices/platform/gpio-sim.0/gpiochip0"
)

// createChip makes the chip appear before systemd runs, as it does on a Pi, and puts the key where it is at boot.
func createChip(key wire.Key) error {
	bank := filepath.Join(chipDir, "bank0")
	if err := os.MkdirAll(bank, 0o755); err != nil {
		return fmt.Errorf("guest: creating the GPIO chip: %w", err)
	}
	attributes := []struct{ path, value string }{
		{filepath.Join(bank, "num_lines"), fmt.Sprint(chipLines)},
		{filepath.Join(bank, "label"), chipLabel},
	}
	for n := range chipLines {
		dir := filepath.Join(bank, fmt.Sprint("line", n))
		if err := os.Mkdir(dir, 0o755); err != nil {
			return fmt.Errorf("guest: creating GPIO%d: %w", n, err)
		}
		attributes = append(attributes, struct{ path, value string }{filepath.Join(dir, "name"), fmt.Sprint("GPIO", n)})
	}
	attributes = append(attributes, struct{ path, value string }{filepath.Join(chipDir, "live"), "1"})
	for _, a := range attributes {
		if err := os.WriteFile(a.path, []byte(a.value), 0o644); err != nil {
			return fmt.Errorf("guest: creating the GPIO chip: %w", err)
		}
	}
	// GPIO0 to GPIO8 have a pull-up by default, all others a pull-down (BCM2835 ARM Peripherals, table 6-31).
	for n := range 9 {
		if err := setPull(n, "pull-up"); err != nil {
			return err
		}
	}
	switch key {
	case wire.KeyOn:
		return setPull(keyLine, "pull-down")
	case wire.KeyOpen:
		return nil
	default:
		return setPull(keyLine, "pull-up")
	}
}

func setPull(line int, pull string) error {
	if err := os.WriteFile(filepath.Join(linesDir, fmt.Sprint("sim_gpio", line), "pull"), []byte(pull), 0o644); err != nil {
		return fmt.Errorf("guest: pulling GPIO%d: %w", line, err)
	}
	return nil
}

// keyCommand is what a person at the virtual Pi types to turn the key.
func keyCommand(args []string, out io.Writer) error {
	switch {
	case len(args) == 1 && args[0] == "on":
		return setPull(keyLine, "pull-down")
	case len(args) == 1 && args[0] == "off":
		return setPull(keyLine, "pull-up")
	case len(args) == 0:
		return showLine(out, keyLine, "0", "on", "off")
	}
	return fmt.Errorf("key: unknown arguments %q; type `key on`, `key off`, or `key` to see where it is", args)
}

// ledCommand prints the LED's line.
func ledCommand(out io.Writer) error { return showLine(out, ledLine, "1", "lit", "dark") }

func showLine(out io.Writer, line int, level, is, isNot string) error {
	b, err := os.ReadFile(filepath.Join(linesDir, fmt.Sprint("sim_gpio", line), "value"))
	if err != nil {
		return fmt.Errorf("guest: reading GPIO%d: %w", line, err)
	}
	word := isNot
	if strings.TrimSpace(string(b)) == level {
		word = is
	}
	_, err = fmt.Fprintln(out, word)
	return err
}
