package gpio

import (
	"strings"
	"testing"
)

func TestFindLine(t *testing.T) {
	soc := chip{name: "gpiochip0", label: "pinctrl-bcm2711", lines: []string{"ID_SDA", "GPIO1", "GPIO7", "GPIO17", "GPIO27", "-", "-", ""}}
	expander := chip{name: "gpiochip1", label: "raspberrypi-exp-gpio", lines: []string{"BT_ON", "gpiochip1-GPIO17", "WL_ON"}}
	usb := chip{name: "gpiochip2", label: "ftdi", lines: []string{"A0", "gpiochip2-WL_ON"}}
	rp1 := chip{name: "gpiochip3", label: "pinctrl-rp1", lines: []string{"gpiochip3-GPIO27"}}

	for _, tc := range []struct {
		chips []chip
		want  string
		found string // "chip line", or part of the error
	}{
		{[]chip{soc, expander}, "GPIO71", "no chip has it (did you mean GPIO1 or GPIO7 or GPIO17?); the chips are gpiochip0 (pinctrl-bcm2711, 8 lines), gpiochip1 (raspberrypi-exp-gpio, 3 lines)"},
		{[]chip{soc}, "17", "(did you mean GPIO17?)"},
		{[]chip{soc}, "gpio17", "(did you mean GPIO17"},
		{[]chip{soc}, "zebra", "no chip has it; the chips are"},
		{[]chip{soc}, "", "no chip has it"},
		{[]chip{soc, rp1}, "GPIO27", "several chips have it: gpiochip0 (pinctrl-bcm2711, 8 lines), gpiochip3 (pinctrl-rp1, 1 lines); name the chip and the offset instead, as in gpiochip0:4"},
		{[]chip{expander, usb}, "WL_ON", "several chips have it"},
		{[]chip{soc}, "gpiochip9:17", "there is no chip gpiochip9"},
		{[]chip{soc}, "gpiochip0:8", "go from 0 to 7"},
		{[]chip{soc}, "gpiochip0:-1", "go from 0 to 7"},
		{[]chip{soc}, "gpiochip0:x", "go from 0 to 7"},
		{[]chip{soc}, "gpiochip0:7", "has no name of its own"},
		{[]chip{soc}, "gpiochip0:6", "has no name of its own"},
		{[]chip{soc, expander}, "GPIO7", "gpiochip0 GPIO7"},
		{[]chip{soc, expander}, "BT_ON", "gpiochip1 BT_ON"},
		{[]chip{soc, expander}, "GPIO17", "gpiochip0 GPIO17"},
		{[]chip{expander, soc}, "GPIO17", "gpiochip0 GPIO17"},
		{[]chip{soc, expander}, "gpiochip1:1", "gpiochip1 gpiochip1-GPIO17"},
		{[]chip{soc}, "gpiochip0:3", "gpiochip0 GPIO17"},
	} {
		c, line, err := findLine(tc.chips, tc.want)
		got := c.name + " " + line
		if err != nil {
			got = err.Error()
			if !strings.HasPrefix(got, "gpio: looking for line "+tc.want) {
				t.Errorf("%q: %s", tc.want, got)
			}
		}
		if !strings.Contains(got, tc.found) {
			t.Errorf("%q: got %s\nwant %s", tc.want, got, tc.found)
		}
	}
}
