package systembus

import (
	"bufio"
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// The handshake asks for no file descriptors, and a bus that says nothing holds up nobody longer than the context.
func TestNoDescriptors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bus")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	said := make(chan []string)
	go func() {
		var lines []string
		defer func() { said <- lines }()
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		in := bufio.NewScanner(c)
		for in.Scan() {
			line := strings.TrimLeft(in.Text(), "\x00")
			lines = append(lines, line)
			switch {
			case line == "AUTH", strings.HasPrefix(line, "NEGOTIATE"):
				_, err = c.Write([]byte("REJECTED EXTERNAL\r\n"))
			case strings.HasPrefix(line, "AUTH EXTERNAL"):
				_, err = c.Write([]byte("OK 1234deadbeef\r\n"))
			case line == "BEGIN":
				cancel() // and no answer to Hello
				return
			}
			if err != nil {
				return
			}
		}
	}()
	if conn, err := Dial(ctx, "unix:path="+path); err == nil {
		conn.Close()
		t.Error("a bus that never said hello was taken for one")
	}
	lines := <-said
	if len(lines) == 0 || lines[len(lines)-1] != "BEGIN" {
		t.Fatalf("the handshake was %q", lines)
	}
	for _, line := range lines {
		if strings.Contains(line, "NEGOTIATE_UNIX_FD") {
			t.Errorf("descriptors are asked for: %q", lines)
		}
	}
}

func TestBadAddress(t *testing.T) {
	for _, address := range []string{"", "unix:path=", "tcp:host=127.0.0.1", "unix:abstract=x", "unix:path=/nowhere/at/all"} {
		if conn, err := Dial(t.Context(), address); err == nil {
			conn.Close()
			t.Errorf("%q was dialled", address)
		}
	}
}
