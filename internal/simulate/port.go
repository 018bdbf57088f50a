package simulate

import (
	"errors"
	"fmt"
	"net"
	"syscall"

	"keyswitchd/sshctl"
)

// host is where the simulated Pi listens: nobody else on the network may reach it.
const host = "127.0.0.1"

// freePort returns port if nobody holds it, and any free one for 0.
func freePort(port int) (int, error) {
	l, err := net.Listen("tcp4", fmt.Sprintf("%s:%d", host, port))
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return 0, fmt.Errorf("simulate: port %d is taken by %s; stop it, or choose another port with --port (0: any free one)", port, sshctl.Holder(port))
	case err != nil:
		return 0, fmt.Errorf("simulate: trying port %d: %w; choose another with --port", port, err)
	}
	port = l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}
