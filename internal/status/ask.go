package status

import (
	"context"
	"errors"
	"fmt"

	"github.com/godbus/dbus/v5"
)

// ErrNotRunning says that no daemon owns the name on the bus.
var ErrNotRunning = errors.New("status: keyswitchd is not running")

// Ask reads the status of the running daemon. ErrNotRunning when there is none; any other error when the
// bus or the daemon doesn't answer.
func Ask(ctx context.Context, conn *dbus.Conn) (Status, error) {
	var props map[string]dbus.Variant
	err := conn.Object(BusName, Path).CallWithContext(ctx, properties+".GetAll", 0, Interface).Store(&props)
	var dbusErr dbus.Error
	if errors.As(err, &dbusErr) && (dbusErr.Name == "org.freedesktop.DBus.Error.ServiceUnknown" ||
		dbusErr.Name == "org.freedesktop.DBus.Error.NameHasNoOwner") {
		return Status{}, ErrNotRunning
	}
	if err != nil {
		return Status{}, fmt.Errorf("status: asking keyswitchd over D-Bus: %w", err)
	}
	return fromProps(props)
}
