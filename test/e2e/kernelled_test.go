//go:build e2e

package e2e

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keyswitchd/internal/status"
)

// kernelLED makes a LED of the kernel's (linux/uleds.h) that lives until the test ends.
func kernelLED(t *testing.T, name string) (dir string) {
	t.Helper()
	f, err := os.OpenFile("/dev/uleds", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	const nameSize = 64 // LED_MAX_NAME_SIZE
	device := make([]byte, nameSize+4)
	copy(device, name)
	binary.NativeEndian.PutUint32(device[nameSize:], 1) // max_brightness
	if _, err := f.Write(device); err != nil {
		t.Fatal(err)
	}
	return filepath.Join("/sys/class/leds", name)
}

// brightness is the condition that the kernel's LED is as bright as want.
func brightness(dir, want string) condition {
	return func() error {
		is, err := os.ReadFile(filepath.Join(dir, "brightness"))
		if err == nil && strings.TrimSpace(string(is)) != want {
			err = fmt.Errorf("%s has brightness %s, want %s", dir, is, want)
		}
		return err
	}
}

// A LED of the kernel's in place of a line: the sandboxed daemon may write it, it follows SSH, and it is dark when the
// daemon was killed. One that isn't there costs the LED, not the way in.
func TestKernelLED(t *testing.T) {
	begin(t)
	configure(t, "", "led = \"sysfs:test-led\"\n")
	turn(t, true)
	must(t, "systemctl", "restart", "keyswitchd")
	await(t, "open, and the missing LED named", all(listens(22), statusIs("a LED that can't be driven", func(s status.Status) bool {
		return s.Open && strings.Contains(s.LEDError, "test-led")
	})))
	dir := kernelLED(t, "test-led")
	await(t, "lit once it is there", all(brightness(dir, "1"), statusIs("no complaint", func(s status.Status) bool { return s.LEDError == "" })))
	turn(t, false)
	await(t, "dark with the key off", all(silent(22), brightness(dir, "0")))
	turn(t, true)
	await(t, "lit again", all(listens(22), brightness(dir, "1")))
	must(t, "systemctl", "kill", "-s", "KILL", "keyswitchd")
	await(t, "dark after kill -9", all(silent(22), brightness(dir, "0")))
}
