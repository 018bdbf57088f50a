package inside

import (
	"net"
	"testing"
)

func TestListeners(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	var look Listeners
	if on, err := look.On(port); err != nil || !on {
		t.Errorf("a listener on %d: seen %t, %v", port, on, err)
	}
	// A client's end of a connection from that number is no listener.
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if on, err := look.On(conn.LocalAddr().(*net.TCPAddr).Port); err != nil || on {
		t.Errorf("a client's port: listening %t, %v", on, err)
	}
	l.Close()
	if on, err := look.On(port); err != nil || on {
		t.Errorf("after it was closed: listening %t, %v", on, err)
	}
}
