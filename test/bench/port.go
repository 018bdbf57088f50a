package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// watch returns the moment at which somebody was first seen to listen on port, or nobody any more. It looks at the
// kernel's table of sockets: a connection would make sshd fork, and slow down what is measured.
func watch(ctx context.Context, port int, listening bool) (time.Time, error) {
	var tables []*os.File
	for _, name := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(name)
		if err != nil {
			return time.Time{}, fmt.Errorf("bench: looking for listeners: %w", err)
		}
		defer f.Close()
		tables = append(tables, f)
	}
	local := fmt.Appendf(nil, ":%04X", port)
	buf := make([]byte, 1<<16)
	for {
		found := false
		at := time.Now()
		for _, f := range tables {
			// Not ReadAt: os.File's read to the end of it would be a second system call for nothing.
			n, err := unix.Pread(int(f.Fd()), buf, 0)
			if err != nil {
				return at, fmt.Errorf("bench: reading %s: %w", f.Name(), err)
			}
			found = found || listens(buf[:n], local)
		}
		if found == listening {
			return at, nil
		}
		if err := sleep(ctx, pace); err != nil {
			return at, err
		}
	}
}

// listens looks for a socket in state 0A (TCP_LISTEN) in a table as proc_net_tcp(5) describes it:
// "sl: local_address rem_address st ...", all in hexadecimal.
func listens(table, local []byte) bool {
	for line := range bytes.Lines(table) {
		f := bytes.Fields(line)
		if len(f) > 3 && bytes.HasSuffix(f[1], local) && string(f[3]) == "0A" {
			return true
		}
	}
	return false
}
