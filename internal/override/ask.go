package override

import (
	"context"
	"errors"
	"fmt"

	"github.com/godbus/dbus/v5"

	"keyswitchd/internal/keyswitch"
	"keyswitchd/internal/status"
)

// Ask asks the running daemon over conn for o, whose By isn't sent, and returns when it is in force. The caller's user may be asked
// for a password, by the agent that is registered with polkit for this process or its session. The error is a *Refusal,
// status.ErrNotRunning, or says why the bus did not bring an answer.
func Ask(ctx context.Context, conn *dbus.Conn, o keyswitch.Override) error {
	msg := &dbus.Message{
		Type: dbus.TypeMethodCall,
		// Call and its like drop this flag.
		Flags: dbus.FlagAllowInteractiveAuthorization | dbus.FlagNoAutoStart,
		Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldDestination: dbus.MakeVariant(status.BusName),
			dbus.FieldPath:        dbus.MakeVariant(status.Path),
			dbus.FieldInterface:   dbus.MakeVariant(status.Interface),
		},
	}
	switch o.Mode {
	case keyswitch.ForceOn:
		msg.Headers[dbus.FieldMember] = dbus.MakeVariant("On")
		msg.Body = []any{uint64(o.For.Microseconds())}
		msg.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(msg.Body...))
	case keyswitch.ForceOff:
		msg.Headers[dbus.FieldMember] = dbus.MakeVariant("Off")
	case keyswitch.Auto:
		msg.Headers[dbus.FieldMember] = dbus.MakeVariant("Auto")
	default:
		return fmt.Errorf("override: asking keyswitchd: there is no mode %q", string(o.Mode))
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(conn.Context(), func() { cancel(errors.New("the bus closed the connection")) })()
	call := <-conn.SendWithContext(ctx, msg, make(chan *dbus.Call, 1)).Done
	err := fromBus(call.Err)
	var refusal *Refusal
	if err == nil || errors.As(err, &refusal) || errors.Is(err, status.ErrNotRunning) {
		return err
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return fmt.Errorf("override: asking keyswitchd over D-Bus: %w", err)
}
