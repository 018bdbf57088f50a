// Package systembus connects to the D-Bus system bus in the one way that a daemon may which everybody can send messages to. It
// knows nothing of what is said over the connection.
package systembus

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/godbus/dbus/v5"
)

// Address is where the system bus listens (D-Bus specification, "Well-known Message Bus Instances"). The environment isn't
// asked: nobody who sets a variable gets to choose whom the daemon believes.
const Address = unixPath + "/run/dbus/system_bus_socket"

const unixPath = "unix:path="

// Dial connects to the bus at address, which is a socket in the file system, and says hello. The connection lives until ctx ends
// or it is closed.
//
// The passing of file descriptors is not negotiated. godbus never closes those that come with a message that has no use for them,
// and everybody may send us messages: a few thousand would leave the daemon without descriptors. The bus keeps such
// messages from those who haven't asked for descriptors.
func Dial(ctx context.Context, address string, options ...dbus.ConnOption) (*dbus.Conn, error) {
	path, ok := strings.CutPrefix(address, unixPath)
	if path, _, _ = strings.Cut(path, ","); !ok || path == "" {
		return nil, fmt.Errorf("systembus: %q is no socket in the file system; it begins with %s", address, unixPath)
	}
	var d net.Dialer
	socket, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	conn, err := dbus.NewConn(stream{bufio.NewReader(socket), socket}, append(options, dbus.WithContext(ctx))...)
	if err != nil {
		_ = socket.Close()
		return nil, err
	}
	// The handshake reads from the socket with no context of its own.
	stop := context.AfterFunc(ctx, func() { _ = socket.Close() })
	defer stop()
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
