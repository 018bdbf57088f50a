package sshctl

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	sd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"

	"keyswitchd/internal/systembus"
)

// SystemBus is where the system bus listens.
const SystemBus = systembus.Address

const (
	systemdName  = "org.freedesktop.systemd1"
	systemdPath  = "/org/freedesktop/systemd1"
	managerIface = "org.freedesktop.systemd1.Manager"
	loginName    = "org.freedesktop.login1"
	loginPath    = "/org/freedesktop/login1"
	loginIface   = "org.freedesktop.login1.Manager"

	dialTimeout = 10 * time.Second // to reach the bus and say hello
	readTimeout = 20 * time.Second // for one reading; systemd answers nothing while it reloads, which is seconds on a Zero
)

// What a signal has put in doubt. Signals are only hints: the properties are read again, so none can be lost by coming too fast.
const (
	staleUnits    = 1 << iota // a guarded unit changed
	staleFiles                // systemd read its unit files again
	staleOwner                // systemd left the bus or came back
	staleSessions             // a session came or went
)

// link is one connection to the system bus. It is its own godbus signal handler, so each signal is taken in order on the
// connection's reading goroutine, with no queue that could overflow.
type link struct {
	conn *dbus.Conn
	sd   *sd.Conn
	jobs jobs

	cancel context.CancelCauseFunc // releases the context that the connection lives under

	owner  atomic.Pointer[string] // unique bus name of systemd; "" while it is off the bus
	stale  atomic.Uint32          // stale bits
	poke   chan struct{}          // something is stale; capacity 1
	reborn atomic.Pointer[chan struct{}]
	others atomic.Pointer[others] // whose signals concern us

	mu     sync.Mutex
	queues []chan<- *dbus.Signal // go-systemd's; kept only to be closed, see AddSignal
	ended  bool
}

// dial connects to the bus at address. The link lives until ctx ends, the peer closes it or close is called.
func dial(ctx context.Context, address string) (*link, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	l := &link{poke: make(chan struct{}, 1), cancel: cancel}
	l.jobs.init()
	never := make(chan struct{})
	l.reborn.Store(&never)
	none := ""
	l.owner.Store(&none)
	l.others.Store(new(others))

	timer := time.AfterFunc(dialTimeout, func() { cancel(errors.New("no answer")) })
	defer timer.Stop()
	conn, err := systembus.Dial(ctx, address, dbus.WithSignalHandler(l))
	if err != nil {
		cancel(nil)
		return nil, fmt.Errorf("sshctl: connecting to the system bus at %s: %w; is dbus running? type: systemctl status dbus", address, err)
	}
	l.conn = conn
	// go-systemd asks for two connections, one for calls and one for signals, because its dispatcher makes calls while it
	// holds up signals. Here its dispatcher gets none (AddSignal), so one connection does for both.
	l.sd, err = sd.NewConnection(func() (*dbus.Conn, error) { return conn, nil })
	if err != nil {
		l.close()
		return nil, fmt.Errorf("sshctl: connecting to systemd: %w", err)
	}
	return l, nil
}

func (l *link) close() {
	l.cancel(nil)
	_ = l.conn.Close() // its error could only say that it is closed already
}

// done is closed when the connection is.
func (l *link) done() <-chan struct{} { return l.conn.Context().Done() }

// bound ends with ctx or with the connection: a call in flight when the connection closes is not answered in every case.
func (l *link) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(l.conn.Context(), func() { cancel(errAway) })
	return ctx, func() { stop(); cancel(nil) }
}

// watch asks for the signals that concern ssh's units, and follow for those of the others; for no more than these, because an
// idle machine must not wake this process.
func (l *link) watch(ctx context.Context) error {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	rules := []string{
		"type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='" + systemdName + "'",
		"type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='" + loginName + "'",
		"type='signal',sender='" + systemdName + "',path='" + systemdPath + "',interface='" + managerIface + "',member='Reloading'",
		"type='signal',sender='" + loginName + "',path='" + loginPath + "',interface='" + loginIface + "',member='SessionNew'",
		"type='signal',sender='" + loginName + "',path='" + loginPath + "',interface='" + loginIface + "',member='SessionRemoved'",
	}
	for _, unit := range []string{Service, Socket} {
		rules = append(rules, unitRule(unit))
	}
	for _, rule := range rules {
		if err := l.match(ctx, rule); err != nil {
			return err
		}
	}
	return nil
}

func unitRule(unit string) string {
	return "type='signal',sender='" + systemdName + "',path='" + systemdPath + "/unit/" + sd.PathBusEscape(unit) +
		"',interface='org.freedesktop.DBus.Properties',member='PropertiesChanged'"
}

func (l *link) match(ctx context.Context, rule string) error {
	if err := l.conn.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.AddMatch", 0, rule).Err; err != nil {
		return fmt.Errorf("sshctl: asking the bus for signals: %w", err)
	}
	return nil
}

// follow asks for the signals of the units of a reading, those that matched doesn't have yet. What was missed before the match
// was there shows up in one more reading.
func (l *link) follow(ctx context.Context, known facts, matched map[string]bool) error {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	l.others.Store(&known.others)
	for _, unit := range known.others.all {
		if matched[unit] {
			continue
		}
		if err := l.match(ctx, unitRule(unit)); err != nil {
			return err
		}
		matched[unit] = true
		l.doubt(staleUnits)
	}
	const instances = "*"
	if known.instances() && !matched[instances] {
		if err := l.matchInstances(ctx); err != nil {
			return err
		}
		matched[instances] = true
		l.doubt(staleUnits)
	}
	return nil
}

// matchInstances also asks for units that come and go. Only needed where sockets make one unit per connection (Accept=yes),
// which no Debian does by itself; elsewhere each unit that any user's session makes would wake us.
func (l *link) matchInstances(ctx context.Context) error {
	for _, member := range []string{"UnitNew", "UnitRemoved"} {
		err := l.match(ctx, "type='signal',sender='"+systemdName+"',path='"+systemdPath+"',interface='"+managerIface+"',member='"+member+"'")
		if err != nil {
			return err
		}
	}
	return nil
}

// subscribe tells systemd that somebody listens, and notes who systemd is. After each re-execution it's done again.
func (l *link) subscribe(ctx context.Context) error {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	var owner string
	err := l.conn.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.GetNameOwner", 0, systemdName).Store(&owner)
	if err != nil {
		return fmt.Errorf("sshctl: looking for systemd on the bus: %w", err)
	}
	l.owner.Store(&owner)
	err = l.conn.Object(systemdName, systemdPath).CallWithContext(ctx, managerIface+".Subscribe", 0).Err
	if err != nil && errName(err) != "org.freedesktop.systemd1.AlreadySubscribed" {
		return fmt.Errorf("sshctl: subscribing to systemd's signals: %w", err)
	}
	return nil
}

// doubt marks bits as stale and wakes the watcher. It never blocks.
func (l *link) doubt(bits uint32) {
	l.stale.Or(bits)
	select {
	case l.poke <- struct{}{}:
	default:
	}
}

// DeliverSignal implements dbus.SignalHandler.
func (l *link) DeliverSignal(iface, member string, s *dbus.Signal) {
	switch iface {
	case "org.freedesktop.DBus":
		if member == "NameOwnerChanged" && s.Sender == "org.freedesktop.DBus" && len(s.Body) == 3 {
			name, _ := s.Body[0].(string)
			owner, _ := s.Body[2].(string)
			l.ownerChanged(name, owner)
		}
	case managerIface:
		// A peer can send any signal straight to us, past the match rules; a job's end is believed from systemd only.
		if s.Sender == *l.owner.Load() {
			l.managerSignal(member, s.Body)
		}
	case "org.freedesktop.DBus.Properties":
		l.doubt(staleUnits)
	case loginIface:
		l.doubt(staleSessions)
	}
}

func (l *link) ownerChanged(name, owner string) {
	switch name {
	case systemdName:
		l.owner.Store(&owner)
		if owner != "" {
			next := make(chan struct{})
			close(*l.reborn.Swap(&next))
		}
		l.doubt(staleOwner | staleFiles | staleUnits)
	case loginName:
		l.doubt(staleSessions)
	}
}

func (l *link) managerSignal(member string, body []any) {
	switch member {
	case "JobRemoved":
		var id uint32
		var path dbus.ObjectPath
		var unit, result string
		if dbus.Store(body, &id, &path, &unit, &result) != nil {
			return
		}
		l.jobs.removed(int(id), result)
		if guarded(unit) || l.others.Load().concerns(unit) {
			l.doubt(staleUnits)
		}
		if unit == EndSessionsUnit {
			l.doubt(staleSessions)
		}
	case "Reloading":
		if len(body) == 1 && body[0] == false { // true announces it, false says it's done
			l.doubt(staleFiles | staleUnits)
		}
	case "UnitNew", "UnitRemoved":
		if len(body) > 0 {
			if unit, _ := body[0].(string); instance(unit) || l.others.Load().socketOf(unit) != "" {
				l.doubt(staleUnits)
			}
		}
	}
}

// AddSignal implements dbus.SignalRegistrar for go-systemd's dispatcher, which would read each signal a second time. It gets
// none, and is only let go when the connection closes.
func (l *link) AddSignal(ch chan<- *dbus.Signal) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		close(ch)
		return
	}
	l.queues = append(l.queues, ch)
}

// RemoveSignal implements dbus.SignalRegistrar; go-systemd never calls it.
func (l *link) RemoveSignal(chan<- *dbus.Signal) {}

// Terminate implements dbus.Terminator: the connection is closed.
func (l *link) Terminate() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	for _, ch := range l.queues {
		close(ch)
	}
	l.queues = nil
}

// instance reports whether unit is one of the per-connection services of a socket with Accept=yes: ssh@.service up to
// Debian 10 and in many a local unit, sshd@.service since Debian 13.
func instance(unit string) bool {
	return (strings.HasPrefix(unit, "ssh@") || strings.HasPrefix(unit, "sshd@")) && strings.HasSuffix(unit, ".service")
}

func guarded(unit string) bool { return unit == Service || unit == Socket || instance(unit) }
