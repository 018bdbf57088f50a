package gpio

import (
	"errors"
	"strings"
)

// CheckLine returns an error if the board will never have the line: its header's chip is there, its lines are all known, and
// none is called that. It returns nil for a LED of the kernel's, for "none", and as long as a chip may still appear (a driver
// that loads late), because that passes by itself.
func CheckLine(board Board, name string) error {
	b, ok := board.(*linuxBoard)
	if !ok || name == "none" || strings.HasPrefix(name, "sysfs:") {
		return nil
	}
	_, _, err := b.find(name, false)
	var missing *noLineError
	if !errors.As(err, &missing) {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.chips {
		if strings.HasPrefix(c.label, "pinctrl-") {
			return err
		}
	}
	return nil
}
