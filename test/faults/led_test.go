//go:build virtualpi

package faults

import (
	"slices"
	"testing"
	"time"
)

// still is how long the LED must not have changed for "solid" and "dark": longer than a phase of the slow blink.
const still = 800 * time.Millisecond

// classify names the pattern, in the status's words, from the last whole phases before now. "unclear" is none of them.
func classify(lit []change, now time.Duration) string {
	if len(lit) == 0 {
		return "unclear"
	}
	last := lit[len(lit)-1]
	const window = 4 * time.Second
	var on, off []time.Duration
	for n := len(lit) - 2; n >= 0 && lit[n].At > now-window; n-- {
		d := lit[n+1].At - lit[n].At
		if lit[n].Is {
			on = append(on, d)
		} else {
			off = append(off, d)
		}
	}
	short := func(d []time.Duration) int {
		n := 0
		for _, x := range d {
			if x < 250*time.Millisecond {
				n++
			}
		}
		return n
	}
	quiet := now - last.At
	switch {
	case !last.Is && quiet >= still:
		return "dark"
	case quiet < still && len(off) >= 2 && len(on) >= 2 && median(off) < 250*time.Millisecond && median(on) < 250*time.Millisecond:
		return "fast-blink"
	case quiet < still && len(off) >= 2 && len(on) >= 2 && short(off) == 0 && median(on) < 1200*time.Millisecond:
		return "slow-blink"
	case last.Is && len(off) >= 2 && short(off) >= 2 && short(on) > 0 && quiet < 1200*time.Millisecond:
		return "double-wink"
	case last.Is && len(off) >= 1 && short(off[:1]) == 1 && len(on) > 0 && short(on[:1]) == 0 && quiet < 3*time.Second:
		return "wink"
	case last.Is && quiet >= still:
		return "solid"
	}
	return "unclear"
}

func median(d []time.Duration) time.Duration {
	s := slices.Sorted(slices.Values(d))
	if len(s) == 0 {
		return 0
	}
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

func TestClassify(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		want   string
		began  bool
		phases []time.Duration // the last is the one that goes on
	}{
		{"unclear", true, []time.Duration{100 * ms}},
		{"solid", true, []time.Duration{900 * ms}},
		{"dark", false, []time.Duration{900 * ms}},
		{"dark", true, []time.Duration{500 * ms, 900 * ms}},
		{"slow-blink", true, []time.Duration{500 * ms, 520 * ms, 480 * ms, 500 * ms, 100 * ms}},
		{"fast-blink", true, []time.Duration{100 * ms, 100 * ms, 120 * ms, 90 * ms, 110 * ms, 100 * ms, 50 * ms}},
		{"wink", true, []time.Duration{1900 * ms, 100 * ms, 1900 * ms, 100 * ms, 500 * ms}},
		{"double-wink", true, []time.Duration{700 * ms, 100 * ms, 100 * ms, 100 * ms, 700 * ms, 100 * ms, 100 * ms, 100 * ms, 300 * ms}},
		{"unclear", true, []time.Duration{500 * ms, 500 * ms, 100 * ms}},
	} {
		var list []change
		at, is := time.Second, c.began
		for _, p := range c.phases {
			list = append(list, change{at, is})
			at, is = at+p, !is
		}
		if got := classify(list, at); got != c.want {
			t.Errorf("%v: %s, want %s", c.phases, got, c.want)
		}
	}
}
