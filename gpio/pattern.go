package gpio

import "time"

// Pattern is what the LED shows.
type Pattern uint8

// Patterns. The zero value is dark.
const (
	Dark       Pattern = iota // closed
	Solid                     // open and verified
	SlowBlink                 // changing: 1 Hz
	FastBlink                 // fault: 5 Hz
	Wink                      // someone is logged in: solid, dark for 100 ms every 2 s
	DoubleWink                // open, and SSH closes soon by itself: solid, dark for twice 100 ms each second
)

// String returns "dark", "solid", "slow-blink", "fast-blink", "wink" or "double-wink".
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
	case DoubleWink:
		return "double-wink"
	default:
		return "unknown"
	}
}

// phases is how long the LED is lit, dark, lit, dark, ..., over and over; nothing for a pattern without an end.
func (p Pattern) phases() []time.Duration {
	const ms = time.Millisecond
	switch p {
	case SlowBlink:
		return []time.Duration{500 * ms, 500 * ms}
	case FastBlink:
		return []time.Duration{100 * ms, 100 * ms}
	case Wink:
		return []time.Duration{1900 * ms, 100 * ms}
	case DoubleWink:
		return []time.Duration{700 * ms, 100 * ms, 100 * ms, 100 * ms}
	default:
		return nil
	}
}

// lit says whether the pattern begins lit.
func (p Pattern) lit() bool { return p == Solid || p.phases() != nil }
