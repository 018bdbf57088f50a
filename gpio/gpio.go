// Package gpio reads the contacts of a key switch and drives a status LED.
//
// A [Key] turns the level of one input line, or of two with opposite contacts, into a debounced [Position]; an [LED] turns a
// [Pattern] into one output. Both run on a [Board]: [Linux] is the machine's own GPIO character device, through periph's gpioioctl
// line sets and nothing else of periph; [Simulated] is the same without hardware.
//
// The package refuses to guess. A line that can't be opened, read or believed is [Fault], never a level: with an
// active-low key, a failed read taken for a level would open SSH. It never maps memory (/dev/mem), never polls an
// idle line, and never decides what a position means; that is internal/keyswitch's.
package gpio

import (
	"context"
	"fmt"
	"time"
)

// Position is where the key is.
type Position uint8

// Positions of the key. The zero value is the closed one.
const (
	Off   Position = iota // contact open, stable for the whole debounce window
	On                    // contact closed, stable for the whole debounce window
	Fault                 // a line can't be opened, read or believed, or the contacts contradict: counts as off
)

// String returns "off", "on" or "fault".
func (p Position) String() string {
	switch p {
	case Off:
		return "off"
	case On:
		return "on"
	default:
		return "fault"
	}
}

// Reading is what a [Key] reports.
type Reading struct {
	Position Position
	Err      error // non-nil if, and only if, Position is Fault: which line, what is wrong, what to do
}

// Pull is the bias that the chip gives an input line.
type Pull uint8

// Biases of an input line.
const (
	PullUp   Pull = iota // for a contact between the line and ground
	PullDown             // for a contact between the line and 3.3 V
	PullNone             // leave the line as it is: for a resistor of your own
)

// String returns "up", "down" or "none", as the configuration file writes it.
func (p Pull) String() string {
	switch p {
	case PullUp:
		return "up"
	case PullDown:
		return "down"
	default:
		return "none"
	}
}

// Limits of the debounce windows. Below the shortest a window spans too little to prove anything; above the longest
// a key turned off would stay open for too long.
const (
	MinDebounce = time.Millisecond
	MaxDebounce = 5 * time.Second
)

// Limits of the change-over time. A short one takes a key that is turned slowly for a cut wire; a long one leaves a cut or
// shorted wire unseen for so long.
const (
	MinChangeOver = 10 * time.Millisecond
	MaxChangeOver = 10 * time.Second
)

// KeyConfig describes the contact and how it is wired.
type KeyConfig struct {
	Line        string        // the kernel's name of the line ("GPIO17"), or "gpiochip0:17" for an offset on a chip
	Pull        Pull          // bias of the line
	ActiveLow   bool          // true if a closed contact (on) pulls the line low
	DebounceOn  time.Duration // how long the contact must be closed and quiet to be on; MinDebounce..MaxDebounce
	DebounceOff time.Duration // how long the contact must be open and quiet to be off; MinDebounce..MaxDebounce

	// Second is the line of an opposite (normally closed) contact, wired with the same Pull and ActiveLow: closed while the
	// key is off, open while it is on. "" if there is none. Both lines must be on one chip.
	Second string
	// ChangeOver is how long both contacts may be equal, which they are only while the key is being turned, before that is a
	// Fault: MinChangeOver..MaxChangeOver, and no shorter than both debounce windows. Without Second it means nothing.
	ChangeOver time.Duration
}

// check returns what is wrong with c, or nil.
func (c KeyConfig) check() error {
	if c.Line == "" {
		return fmt.Errorf("gpio: key: no line named; set key = \"GPIO17\"")
	}
	for _, w := range []struct {
		name   string
		window time.Duration
	}{{"debounce-on", c.DebounceOn}, {"debounce-off", c.DebounceOff}} {
		if w.window < MinDebounce || w.window > MaxDebounce {
			return fmt.Errorf("gpio: key on %s: %s is %v; it must lie between %v and %v",
				c.Line, w.name, w.window, MinDebounce, MaxDebounce)
		}
	}
	switch least := max(c.DebounceOn, c.DebounceOff, MinChangeOver); {
	case c.Second == "":
	case c.Second == c.Line:
		return fmt.Errorf("gpio: key on %s: second is the same line; the opposite contact needs one of its own, such as second = \"GPIO22\"", c.Line)
	case c.ChangeOver < least || c.ChangeOver > MaxChangeOver:
		return fmt.Errorf("gpio: key on %s and %s: change-over is %v; it must lie between %v (no shorter than both debounce times) and %v",
			c.Line, c.Second, c.ChangeOver, least, MaxChangeOver)
	}
	return nil
}

// LEDConfig describes the LED and how it is wired.
type LEDConfig struct {
	Name      string // a GPIO line ("GPIO27"), a LED of the kernel's ("sysfs:ACT"), or "none"
	ActiveLow bool   // true if the LED is lit while the line is low; a LED of the kernel's knows its own polarity
}

// Board opens lines. Its methods may be called from several goroutines at once.
type Board interface {
	// OpenKey requests the line of the key, and the second one if there is one, in one request with their bias and with edge
	// detection. The error says what to do; it names the line, and the consumer if the line is taken.
	OpenKey(KeyConfig) (Input, error)
	// OpenLED requests the output and drives it dark.
	OpenLED(LEDConfig) (Output, error)
}

// Sample is one look at a contact.
type Sample struct {
	Active bool          // the contact is closed now
	Edges  bool          // there were edges since the look before, whatever the level is now
	Age    time.Duration // how long ago the last of the Edges was
}

// Input is an open input line, or two that are one request. One goroutine uses it.
type Input interface {
	// Sample forgets the edges queued until now, then reads all levels at once. An edge between the two is kept for later.
	// second is zero if there is no second line. An error means that the lines are lost: close them and open them again.
	Sample() (key, second Sample, err error)
	// Wait returns nil when an edge of either line came since the last Sample, when a line is lost (Sample says so), or after timeout
	// (0: never). It returns ctx.Err() when ctx ends, and any other error if it can't wait. It costs nothing while it
	// waits.
	Wait(ctx context.Context, timeout time.Duration) error
	// Close releases the lines.
	Close() error
}

// Output is an open output. One goroutine uses it.
type Output interface {
	// Set lights the LED or makes it dark.
	Set(lit bool) error
	// Close makes the LED dark and releases it.
	Close() error
}
