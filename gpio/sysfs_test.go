package gpio

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakeLEDs makes a folder like /sys/class/leds, where each LED is a link to its device.
func fakeLEDs(t *testing.T) (leds string) {
	t.Helper()
	root := t.TempDir()
	leds = filepath.Join(root, "class")
	if err := os.Mkdir(leds, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, trigger := range map[string]string{
		"ACT": "none usb-gadget [mmc0] timer heartbeat\n",
		"PWR": "none mmc0 [default-on]\n",
		"d:x": "[none] mmc0\n",
	} {
		dir := filepath.Join(root, "devices", name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for file, text := range map[string]string{"trigger": trigger, "brightness": "1\n", "max_brightness": "255\n"} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink(dir, filepath.Join(leds, name)); err != nil {
			t.Fatal(err)
		}
	}
	return leds
}

// attribute returns what was last written. A real attribute takes each write as a whole; a file keeps the tail of a
// longer text before.
func attribute(t *testing.T, leds, name, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(leds, name, file))
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return line
}

func TestKernelLED(t *testing.T) {
	for name, after := range map[string]string{"ACT": "mmc0", "PWR": "default-on", "d:x": "none"} {
		leds := fakeLEDs(t)
		board := &linuxBoard{leds: leds}
		out, err := board.OpenLED(LEDConfig{Name: "sysfs:" + name})
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			do                  func() error
			brightness, trigger string
		}{
			{func() error { return nil }, "0", "none"},
			{func() error { return out.Set(true) }, "255", "none"},
			{func() error { return out.Set(false) }, "0", "none"},
			{func() error { return out.Set(true) }, "255", "none"},
			{out.Close, "0", after},
		} {
			if err := step.do(); err != nil {
				t.Fatal(err)
			}
			if b, tr := attribute(t, leds, name, "brightness"), attribute(t, leds, name, "trigger"); b != step.brightness || tr != step.trigger {
				t.Fatalf("%s: brightness %s, trigger %s; want %s, %s", name, b, tr, step.brightness, step.trigger)
			}
		}
	}
}

func TestKernelLEDBad(t *testing.T) {
	leds := fakeLEDs(t)
	if err := os.WriteFile(filepath.Join(leds, "PWR", "max_brightness"), []byte("0\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	board := &linuxBoard{leds: leds}
	for _, tc := range []struct {
		cfg  LEDConfig
		want string
	}{
		{LEDConfig{Name: "sysfs:act"}, "there is none of that name; use one of sysfs:ACT, sysfs:PWR, sysfs:d:x"},
		{LEDConfig{Name: "sysfs:../devices/ACT"}, "not a name"},
		{LEDConfig{Name: "sysfs:/etc"}, "not a name"},
		{LEDConfig{Name: "sysfs:.."}, "not a name"},
		{LEDConfig{Name: "sysfs:"}, "not a name"},
		{LEDConfig{Name: "sysfs:ACT", ActiveLow: true}, "knows its LED's polarity"},
		{LEDConfig{Name: "sysfs:PWR"}, "not a number above 0"},
	} {
		out, err := board.OpenLED(tc.cfg)
		if err == nil {
			t.Fatalf("%+v opened as %v", tc.cfg, out)
		}
		if !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: %v; want %q", tc.cfg, err, tc.want)
		}
	}
	if tr := attribute(t, leds, "PWR", "trigger"); tr != "none mmc0 [default-on]" {
		t.Errorf("a LED that could not be opened lost its trigger: %q", tr)
	}
	empty := &linuxBoard{leds: filepath.Join(leds, "nowhere")}
	if _, err := empty.OpenLED(LEDConfig{Name: "sysfs:ACT"}); err == nil || !strings.Contains(err.Error(), "has none") {
		t.Errorf("no LEDs at all: %v", err)
	}
}
