package status

import (
	"bufio"
	"context"
	"net"
	"os"
	"strconv"

	"github.com/godbus/dbus/v5"
)

// systemBus is where the system bus listens (D-Bus specification, "Well-known Message Bus Instances"). The environment isn't
// asked: nobody who sets a variable gets to choose whom the daemon believes.
const systemBus = "/run/dbus/system_bus_socket"

// dial connects to the system bus without the passing of file descriptors. godbus never closes those that come with a message
// that has no use for them, and everybody may send us messages: a few thousand would leave the daemon without descriptors. The
// bus keeps such messages from those who haven't asked for descriptors.
func dial(ctx context.Context) (*dbus.Conn, error) {
	var d net.Dialer
	socket, err := d.DialContext(ctx, "unix", systemBus)
	if err != nil {
		return nil, err
	}
	conn, err := dbus.NewConn(stream{bufio.NewReader(socket), socket}, dbus.WithContext(ctx))
	if err != nil {
		_ = socket.Close()
		return nil, err
	}
	err = conn.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Getuid()))})
	if err == nil {
		err = conn.Hello()
	}
	if err != nil {
		_ = conn.Close() // the error that counts is the one before
		return nil, err
	}
	return conn, nil
}

// stream is a socket that is read in large pieces: godbus reads a message field by field.
type stream struct {
	in *bufio.Reader
	net.Conn
}

func (s stream) Read(p []byte) (int, error) { return s.in.Read(p) }
