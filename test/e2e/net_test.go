//go:build e2e

package e2e

import (
	"fmt"

	"keyswitchd/test/inside"
)

// listeners are the kernel's own lists. Connecting instead would start a process of sshd each time.
var listeners inside.Listeners

func listens(port int) condition { return listener(port, true) }
func silent(port int) condition  { return listener(port, false) }

func listener(port int, want bool) condition {
	return func() error {
		is, err := listeners.On(port)
		if err == nil && is != want {
			err = fmt.Errorf("port %d listens: %t, want %t", port, is, want)
		}
		return err
	}
}
