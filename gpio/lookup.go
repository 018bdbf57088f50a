package gpio

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"periph.io/x/host/v3/gpioioctl"

	"keyswitchd/internal/spelling"
)

// chip is a GPIO chip and the names of its lines as periph knows them.
type chip struct {
	name, label, path string
	lines             []string // by offset; "" for a line without a name
	periph            *gpioioctl.GPIOChip
}

// String returns "gpiochip0 (pinctrl-bcm2711, 58 lines)".
func (c chip) String() string {
	return fmt.Sprintf("%s (%s, %d lines)", c.name, c.label, len(c.lines))
}

// findLine returns the chip that has the line called want, and what periph calls it there. want is a name ("GPIO17"), or
// chip and offset ("gpiochip0:17"). If several chips have the name, the one that is a SoC's pin controller has it: those
// are the pins of the header. If that doesn't decide, it is an error: a key on the wrong line is worse than none.
func findLine(chips []chip, want string) (chip, string, error) {
	if name, offset, ok := strings.Cut(want, ":"); ok {
		return findOffset(chips, name, offset)
	}
	var all, pinctrl []chip
	var names []string
	for _, c := range chips {
		for _, n := range c.lines {
			// periph puts the chip before a name that it met before.
			if n == "" || n != want && n != c.name+"-"+want {
				continue
			}
			all = append(all, c)
			names = append(names, n)
			if strings.HasPrefix(c.label, "pinctrl-") {
				pinctrl = append(pinctrl, c)
			}
			break
		}
	}
	switch {
	case len(all) == 0:
		return chip{}, "", &noLineError{fmt.Sprintf("gpio: looking for line %s: no chip has it%s; the chips are %s",
			want, suggest(chips, want), list(chips))}
	case len(all) == 1:
		return all[0], names[0], nil
	case len(pinctrl) == 1:
		i := slices.IndexFunc(all, func(c chip) bool { return c.name == pinctrl[0].name })
		return all[i], names[i], nil
	default:
		return chip{}, "", fmt.Errorf("gpio: looking for line %s: several chips have it: %s; name the chip and the offset instead, as in %s:%d",
			want, list(all), all[0].name, slices.Index(all[0].lines, names[0]))
	}
}

// noLineError is findLine's answer when every chip was looked at and none has the line.
type noLineError struct{ text string }

func (e *noLineError) Error() string { return e.text }

// findOffset is findLine for "gpiochip0:17".
func findOffset(chips []chip, name, offset string) (chip, string, error) {
	i := slices.IndexFunc(chips, func(c chip) bool { return c.name == name })
	if i < 0 {
		return chip{}, "", fmt.Errorf("gpio: looking for line %s:%s: there is no chip %s; the chips are %s", name, offset, name, list(chips))
	}
	c := chips[i]
	n, err := strconv.ParseUint(offset, 10, 16)
	if err != nil || n >= uint64(len(c.lines)) {
		return chip{}, "", fmt.Errorf("gpio: looking for line %s:%s: offsets of %s go from 0 to %d", name, offset, name, len(c.lines)-1)
	}
	line := c.lines[n]
	// periph requests a line by name only.
	if line == "" || slices.Index(c.lines, line) != int(n) {
		return chip{}, "", fmt.Errorf("gpio: looking for line %s:%s: the line has no name of its own; use one that has", name, offset)
	}
	return c, line, nil
}

func list(chips []chip) string {
	var s []string
	for _, c := range chips {
		s = append(s, c.String())
	}
	return strings.Join(s, ", ")
}

// suggest returns ", did you mean GPIO17?" with up to three names that are near to want, or nothing.
func suggest(chips []chip, want string) string {
	type near struct {
		name string
		far  int
	}
	var found []near
	for _, c := range chips {
		for _, n := range c.lines {
			far := distance(strings.ToUpper(n), strings.ToUpper(want))
			if n == "" || far > max(1, len(want)/3) || slices.ContainsFunc(found, func(f near) bool { return f.name == n }) {
				continue
			}
			found = append(found, near{n, far})
		}
	}
	slices.SortStableFunc(found, func(a, b near) int { return cmp.Compare(a.far, b.far) })
	var names []string
	for _, f := range found[:min(3, len(found))] {
		names = append(names, f.name)
	}
	if len(names) == 0 {
		return ""
	}
	return " (did you mean " + strings.Join(names, " or ") + "?)"
}

// distance is the spelling's, but "17" is as near to "GPIO17" as a missing prefix should be: one.
func distance(a, b string) int {
	if strings.TrimPrefix(a, "GPIO") == b {
		return min(1, len(a)-len(b))
	}
	return spelling.Distance(a, b)
}
