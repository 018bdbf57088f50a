package status

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/godbus/dbus/v5/introspect"

	"keyswitchd/internal/systembus"
)

// The names on the system bus. The digit is the interface's version, as systemd1 and login1 have it.
const (
	BusName   = "org.keyswitchd1"
	Path      = dbus.ObjectPath("/org/keyswitchd1")
	Interface = "org.keyswitchd1.Keyswitch"

	properties = "org.freedesktop.DBus.Properties"
)

// Bounds of the wait between two tries to reach the bus.
const (
	minRetry = 100 * time.Millisecond
	maxRetry = 10 * time.Second
)

// Bus publishes the status as a D-Bus object with properties and change signals. It only tells: there is nothing to set, and
// what may be called is Calls' to answer. A bus that is away costs nothing but the telling.
type Bus struct {
	connect func(ctx context.Context) (*dbus.Conn, error)
	calls   Calls

	mu      sync.Mutex
	props   map[string]dbus.Variant // the present values, replaced as a whole
	changed chan struct{}
}

// Calls answers the method calls on Interface.
type Calls interface {
	// Serve is called for each connection to the bus before anybody knows it. It returns godbus's table of the methods and their
	// description. end is called after the connection was closed, and returns when no call is under way any more.
	Serve(conn *dbus.Conn) (table map[string]any, about []introspect.Method, end func())
}

// NewBus publishes on the bus that connect reaches; nil is the system bus.
func NewBus(connect func(context.Context) (*dbus.Conn, error)) *Bus {
	if connect == nil {
		connect = func(ctx context.Context) (*dbus.Conn, error) { return systembus.Dial(ctx, systembus.Address) }
	}
	return &Bus{connect: connect, props: toProps(Status{}), changed: make(chan struct{}, 1)}
}

// Answer has c answer method calls. It is called before Run, or not at all: then there are no methods.
func (b *Bus) Answer(c Calls) { b.calls = c }

// Publish makes s the present status. It never waits for the bus.
func (b *Bus) Publish(s Status) {
	b.mu.Lock()
	b.props = toProps(s)
	b.mu.Unlock()
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

// Run keeps the object on the bus until ctx ends, and comes back when the bus was restarted. report is
// called with each new reason for which the bus isn't reached, and with nil when it is.
func (b *Bus) Run(ctx context.Context, report func(error)) error {
	retry := minRetry
	for {
		start := time.Now()
		err := b.serve(ctx, report)
		if ctx.Err() != nil {
			return nil
		}
		report(err)
		if time.Since(start) > maxRetry {
			retry = minRetry
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(retry):
			retry = min(2*retry, maxRetry)
		}
	}
}

func (b *Bus) serve(ctx context.Context, report func(error)) error {
	conn, err := b.connect(ctx)
	if err != nil {
		return fmt.Errorf("status: connecting to the system bus: %w", err)
	}
	var table map[string]any
	var about []introspect.Method
	if b.calls != nil {
		var end func()
		table, about, end = b.calls.Serve(conn)
		defer end()
	}
	defer conn.Close() // before end: it ends the calls under way
	// Tables: Export looks methods up by reflection, and a program that does so keeps every exported method of all it links.
	o := object{b}
	if err := conn.ExportMethodTable(map[string]any{"GetAll": o.GetAll, "Get": o.Get, "Set": o.Set}, Path, properties); err != nil {
		return fmt.Errorf("status: exporting %s: %w", Path, err)
	}
	if table != nil {
		if err := conn.ExportMethodTable(table, Path, Interface); err != nil {
			return fmt.Errorf("status: exporting %s: %w", Path, err)
		}
	}
	node := introspect.NewIntrospectable(&introspect.Node{Interfaces: []introspect.Interface{
		introspect.IntrospectData, {Name: Interface, Methods: about, Properties: b.introspection()},
	}})
	if err := conn.ExportMethodTable(map[string]any{"Introspect": node.Introspect}, Path, "org.freedesktop.DBus.Introspectable"); err != nil {
		return fmt.Errorf("status: exporting %s: %w", Path, err)
	}
	reply, err := conn.RequestName(BusName, dbus.NameFlagDoNotQueue)
	if err != nil {
		return fmt.Errorf("status: asking the bus for the name %s: %w; is /usr/share/dbus-1/system.d/%s.conf installed?", BusName, err, BusName)
	}
	if reply != dbus.RequestNameReplyPrimaryOwner {
		return fmt.Errorf("status: the bus name %s is taken: another keyswitchd is running", BusName)
	}
	report(nil)
	sent := map[string]dbus.Variant{}
	for {
		b.mu.Lock()
		now := b.props
		b.mu.Unlock()
		changes := map[string]dbus.Variant{}
		for name, v := range now {
			if old, ok := sent[name]; !ok || !reflect.DeepEqual(old, v) {
				changes[name] = v
			}
		}
		if len(changes) > 0 {
			// One signal for the whole change, so that nobody sees half of it.
			if err := conn.Emit(Path, properties+".PropertiesChanged", Interface, changes, []string{}); err != nil {
				return fmt.Errorf("status: telling the bus of a change: %w", err)
			}
			sent = now
		}
		select {
		case <-ctx.Done():
			return nil
		case <-conn.Context().Done():
			return errors.New("status: the connection to the system bus was closed")
		case <-b.changed:
		}
	}
}

func (b *Bus) introspection() []introspect.Property {
	var out []introspect.Property
	for name, v := range toProps(Status{}) {
		out = append(out, introspect.Property{Name: name, Type: v.Signature().String(), Access: "read"})
	}
	return out
}

// object is org.freedesktop.DBus.Properties over one consistent snapshot. godbus has a ready one (prop),
// but it changes and announces one property at a time.
type object struct{ b *Bus }

func (o object) snapshot(iface string) (map[string]dbus.Variant, *dbus.Error) {
	if iface != Interface && iface != "" {
		return nil, dbus.NewError("org.freedesktop.DBus.Error.UnknownInterface", []any{"no interface " + iface})
	}
	o.b.mu.Lock()
	defer o.b.mu.Unlock()
	return o.b.props, nil
}

// GetAll implements org.freedesktop.DBus.Properties.GetAll.
func (o object) GetAll(iface string) (map[string]dbus.Variant, *dbus.Error) {
	return o.snapshot(iface)
}

// Get implements org.freedesktop.DBus.Properties.Get.
func (o object) Get(iface, name string) (dbus.Variant, *dbus.Error) {
	props, err := o.snapshot(iface)
	if err != nil {
		return dbus.Variant{}, err
	}
	v, ok := props[name]
	if !ok {
		return v, dbus.NewError("org.freedesktop.DBus.Error.UnknownProperty", []any{"no property " + name})
	}
	return v, nil
}

// Set implements org.freedesktop.DBus.Properties.Set: everything is read-only.
func (o object) Set(_, name string, _ dbus.Variant) *dbus.Error {
	return dbus.NewError("org.freedesktop.DBus.Error.PropertyReadOnly", []any{name + " is read-only"})
}
