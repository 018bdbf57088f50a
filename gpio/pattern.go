package gpio

import "time"

// Pattern is what the LED shows.
type Pattern uint8

// Patterns. The zero value is dark.
const (
	Dark      Pattern = iota // closed
	Solid                    // open and verified
	SlowBlink                // changing: 1 Hz
	FastBlink                // fault: 5 Hz
	Wink                     // someone is logged in: solid, dark for 100 ms every 2 s
)

// String returns "dark", "solid", "slow-blink", "fast-blink" or "wink".
func (p Pattern) String() string {
	switch p {
	case Dark:
		return "dark"
	case Solid:
		return "solid"
	case SlowBlink:
		return "slow-blink"
	case FastBlink:
		return "fast-blink"
	case Wink:
		return "wink"
	default:
		return "unknown"
	}
}

// lit says whether the pattern begins lit.
func (p Pattern) lit() bool { return p >= Solid && p <= Wink }

// phase is how long the LED stays lit, or dark, before it changes; 0: until another pattern is shown.
func (p Pattern) phase(lit bool) time.Duration {
	switch {
	case p == SlowBlink:
		return 500 * time.Millisecond
	case p == FastBlink, p == Wink && !lit:
		return 100 * time.Millisecond
	case p == Wink:
		return 1900 * time.Millisecond
	default:
		return 0
	}
}
