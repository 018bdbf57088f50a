package simulate

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// host is where the simulated Pi listens: nobody else on the network may reach it.
const host = "127.0.0.1"

// freePort returns port if nobody holds it, and any free one for 0.
func freePort(port int) (int, error) {
	l, err := net.Listen("tcp4", fmt.Sprintf("%s:%d", host, port))
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return 0, fmt.Errorf("simulate: port %d is taken by %s; stop it, or choose another port with --port (0: any free one)", port, holder(port))
	case err != nil:
		return 0, fmt.Errorf("simulate: trying port %d: %w; choose another with --port", port, err)
	}
	port = l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}

// holder names the program that listens on a TCP port, as far as this user can see it (proc_pid_fd(5), /proc/net/tcp).
func holder(port int) string {
	inodes := map[string]bool{}
	for _, name := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, _ := os.ReadFile(name) // without IPv6 there is no tcp6
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			if len(f) > 9 && f[3] == "0A" && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) {
				inodes["socket:["+f[9]+"]"] = true
			}
		}
	}
	fds, _ := filepath.Glob("/proc/[0-9]*/fd/*") // the pattern is good
	for _, fd := range fds {
		if link, err := os.Readlink(fd); err == nil && inodes[link] {
			pid := strings.Split(fd, "/")[2]
			name, _ := os.ReadFile("/proc/" + pid + "/comm") // it may have ended just now
			return fmt.Sprintf("%s (process %s)", strings.TrimSpace(string(name)), pid)
		}
	}
	return "a program of another user's"
}
