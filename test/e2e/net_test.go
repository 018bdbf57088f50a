//go:build e2e

package e2e

import (
	"bufio"
	"fmt"
	"os"
	"strings"
)

// listening reports whether something listens on a TCP port, by the kernel's own lists. Connecting instead would start
// a process of sshd each time.
func listening(port int) (bool, error) {
	const stateListen = "0A"
	local := fmt.Sprintf(":%04X", port)
	for _, list := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(list)
		if err != nil {
			return false, err
		}
		defer f.Close()
		for in := bufio.NewScanner(f); in.Scan(); {
			words := strings.Fields(in.Text())
			if len(words) > 3 && strings.HasSuffix(words[1], local) && words[3] == stateListen {
				return true, nil
			}
		}
	}
	return false, nil
}

func listens(port int) condition { return listener(port, true) }
func silent(port int) condition  { return listener(port, false) }

func listener(port int, want bool) condition {
	return func() error {
		is, err := listening(port)
		if err == nil && is != want {
			err = fmt.Errorf("port %d listens: %t, want %t", port, is, want)
		}
		return err
	}
}
