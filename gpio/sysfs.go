package gpio

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// kernelLED is a LED of the kernel's, as in Documentation/leds/leds-class.rst.
type kernelLED struct {
	name   string
	dir    *os.Root // the LED's own folder: no name leads out of it
	bright string   // what is written to light it: max_brightness
	former string   // the trigger that it had
}

// openKernelLED takes the LED from its trigger and makes it dark. The LED is called as in leds (/sys/class/leds).
func openKernelLED(leds, name string, activeLow bool) (Output, error) {
	what := "gpio: opening kernel LED " + name
	if activeLow {
		return nil, fmt.Errorf("%s: led-active = \"low\" is for a GPIO line; the kernel knows its LED's polarity: leave it out", what)
	}
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return nil, fmt.Errorf("%s: not a name; use one of %s", what, names(leds))
	}
	dir, err := os.OpenRoot(filepath.Join(leds, name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s: there is none of that name; use one of %s", what, names(leds))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	led := &kernelLED{name: name, dir: dir}
	if err := led.take(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w%s", what, err, advice(err)), dir.Close())
	}
	return led, nil
}

func advice(err error) string {
	if errors.Is(err, os.ErrPermission) || strings.Contains(err.Error(), "read-only file system") {
		return "; its trigger and brightness must be writable: install keyswitchd's udev rule, and name the LED in ReadWritePaths= of the service"
	}
	return ""
}

// take notes the trigger, and takes the LED from it.
func (led *kernelLED) take() error {
	most, err := led.dir.ReadFile("max_brightness")
	if err != nil {
		return err
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(most)), 10, 32)
	if err != nil || n == 0 {
		return fmt.Errorf("max_brightness is %q: not a number above 0", most)
	}
	led.bright = strconv.FormatUint(n, 10)
	triggers, err := led.dir.ReadFile("trigger")
	if err != nil {
		return err
	}
	led.former = chosen(string(triggers))
	if err := led.write("trigger", "none"); err != nil {
		return err
	}
	return led.write("brightness", "0")
}

// chosen returns the trigger in brackets: "mmc0" of "none timer [mmc0] heartbeat".
func chosen(triggers string) string {
	for _, t := range strings.Fields(triggers) {
		if inner, ok := strings.CutPrefix(t, "["); ok {
			return strings.TrimSuffix(inner, "]")
		}
	}
	return "none"
}

func (led *kernelLED) write(file, text string) error {
	f, err := led.dir.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text + "\n")
	return errors.Join(err, f.Close())
}

// Set implements Output.
func (led *kernelLED) Set(lit bool) error {
	brightness := "0"
	if lit {
		brightness = led.bright
	}
	if err := led.write("brightness", brightness); err != nil {
		return fmt.Errorf("gpio: driving kernel LED %s: %w; the LED is opened again by itself", led.name, err)
	}
	return nil
}

// Close implements Output. It gives the LED back to the trigger that had it.
func (led *kernelLED) Close() error {
	err := led.Set(false)
	if led.former != "none" {
		if e := led.write("trigger", led.former); e != nil {
			err = errors.Join(err, fmt.Errorf("gpio: giving kernel LED %s back to its trigger %s: %w", led.name, led.former, e))
		}
	}
	return errors.Join(err, led.dir.Close())
}

// names lists the LEDs that exist.
func names(leds string) string {
	entries, err := os.ReadDir(leds)
	if err != nil || len(entries) == 0 {
		return fmt.Sprintf("(%s has none)", leds)
	}
	var all []string
	for _, e := range entries {
		all = append(all, "sysfs:"+e.Name())
	}
	return strings.Join(all, ", ")
}
