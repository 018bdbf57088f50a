package override

import (
	"context"
	"errors"
	"fmt"
	"os/user"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/godbus/dbus/v5"
)

const (
	busName    = "org.freedesktop.DBus"
	noSuchName = "org.freedesktop.DBus.Error.ServiceUnknown"
	noOwner    = "org.freedesktop.DBus.Error.NameHasNoOwner"
	noObject   = "org.freedesktop.DBus.Error.UnknownObject"

	loginName    = "org.freedesktop.login1"
	loginPath    = "/org/freedesktop/login1"
	loginManager = "org.freedesktop.login1.Manager"
	loginSession = "org.freedesktop.login1.Session"
	noSession    = "org.freedesktop.login1.NoSessionForPID"

	polkitName  = "org.freedesktop.PolicyKit1"
	polkitPath  = "/org/freedesktop/PolicyKit1/Authority"
	polkitIface = "org.freedesktop.PolicyKit1.Authority"

	// cancelWithin bounds telling polkit that nobody waits for its answer any more.
	cancelWithin = 5 * time.Second
)

// errGone says that the caller has left the bus.
var errGone = errors.New("override: the caller has left the bus")

// machine is whom the decision asks. Any error but errGone means that it can't be known.
type machine interface {
	// credentials says who owns the unique name.
	credentials(ctx context.Context, name string) (Caller, error)
	// session adds c's session, as it is now.
	session(ctx context.Context, c Caller) (Caller, error)
	// authorize asks polkit whether c may do the action; with interactive, c's user may be asked for a password. When ctx ends,
	// the question is withdrawn.
	authorize(ctx context.Context, c Caller, action string, details map[string]string, interactive bool) (answer, error)
	// watch returns a channel that is closed when the unique name is gone. stop ends the watching.
	watch(ctx context.Context, name string) (gone <-chan struct{}, stop func(), err error)
}

// answer is polkit's.
type answer struct {
	Yes       bool
	Challenge bool // yes, if somebody gave a password; nobody was asked
	Dismissed bool // somebody was asked, and did not want to
}

// busMachine asks over one connection to the system bus.
type busMachine struct {
	conn *dbus.Conn
	last atomic.Uint64 // number of the last question to polkit
}

func (m *busMachine) credentials(ctx context.Context, name string) (Caller, error) {
	var creds map[string]dbus.Variant
	err := m.conn.BusObject().CallWithContext(ctx, busName+".GetConnectionCredentials", 0, name).Store(&creds)
	if isError(err, noOwner) {
		return Caller{}, errGone
	}
	if err != nil {
		return Caller{}, fmt.Errorf("asking the bus who calls: %w", err)
	}
	uid, okUID := creds["UnixUserID"].Value().(uint32)
	pid, okPID := creds["ProcessID"].Value().(uint32)
	if !okUID || !okPID || pid == 0 { // to logind, 0 is the one who asks: the daemon
		return Caller{}, fmt.Errorf("asking the bus who calls: it does not say which user and process %s is", name)
	}
	c := Caller{Name: name, UID: uid, PID: pid, User: strconv.FormatUint(uint64(uid), 10)}
	if u, err := user.LookupId(c.User); err == nil {
		c.User = u.Username
	}
	return c, nil
}

func (m *busMachine) session(ctx context.Context, c Caller) (Caller, error) {
	c = Caller{Name: c.Name, UID: c.UID, PID: c.PID, User: c.User}
	var path dbus.ObjectPath
	err := m.conn.Object(loginName, loginPath).CallWithContext(ctx, loginManager+".GetSessionByPID", 0, c.PID).Store(&path)
	if err == nil {
		c, err = m.readSession(ctx, c, path)
	}
	if err != nil && !isError(err, noSession) && !isError(err, noObject) { // the session may end in between
		return c, fmt.Errorf("asking logind for the session of process %d: %w", c.PID, err)
	}
	// The process may have ended before, and its number may be another's by now. One that still has the name has not ended,
	// unless it gave the connection away; for that, see OnSite's last case: the other one is the same user's.
	var owned bool
	err = m.conn.BusObject().CallWithContext(ctx, busName+".NameHasOwner", 0, c.Name).Store(&owned)
	if err != nil {
		return c, fmt.Errorf("asking the bus whether the caller is still there: %w", err)
	}
	if !owned {
		return c, errGone
	}
	return c, nil
}

func (m *busMachine) readSession(ctx context.Context, c Caller, path dbus.ObjectPath) (Caller, error) {
	var props map[string]dbus.Variant
	err := m.conn.Object(loginName, path).CallWithContext(ctx, "org.freedesktop.DBus.Properties.GetAll", 0, loginSession).Store(&props)
	if err != nil {
		return c, err
	}
	s := c
	var of, seat struct {
		ID   string
		Path dbus.ObjectPath
	}
	var owner struct {
		UID  uint32
		Path dbus.ObjectPath
	}
	for name, to := range map[string]any{
		"Id": &of.ID, "User": &owner, "Name": &s.SessionUser, "Remote": &s.Remote, "RemoteHost": &s.RemoteHost, "State": &s.State,
		"Class": &s.Class, "Service": &s.Service, "Seat": &seat, "TTY": &s.TTY,
	} {
		v, ok := props[name]
		if !ok {
			return c, fmt.Errorf("logind does not say the session's %s", name)
		}
		if err := v.Store(to); err != nil {
			return c, fmt.Errorf("reading the session's %s: %w", name, err)
		}
	}
	s.Session, s.SessionUID, s.Seat = of.ID, owner.UID, seat.ID
	return s, nil
}

func (m *busMachine) authorize(ctx context.Context, c Caller, action string, details map[string]string, interactive bool) (answer, error) {
	// PolkitSubject: polkit itself finds out whose name that is.
	subject := struct {
		Kind    string
		Details map[string]dbus.Variant
	}{"system-bus-name", map[string]dbus.Variant{"name": dbus.MakeVariant(c.Name)}}
	var flags uint32
	if interactive {
		flags = 1 // AllowUserInteraction
	}
	question := strconv.FormatUint(m.last.Add(1), 10)
	var result struct {
		Yes, Challenge bool
		Details        map[string]string
	}
	authority := m.conn.Object(polkitName, polkitPath)
	err := authority.CallWithContext(ctx, polkitIface+".CheckAuthorization", 0, subject, action, details, flags, question).Store(&result)
	if ctx.Err() != nil {
		// Nobody waits for the answer: the password prompt has to go.
		ctx, cancel := context.WithTimeout(m.conn.Context(), cancelWithin)
		defer cancel()
		_ = authority.CallWithContext(ctx, polkitIface+".CancelCheckAuthorization", 0, question).Err // it may have been answered
	}
	if err != nil {
		return answer{}, fmt.Errorf("asking polkit about %s: %w", action, err)
	}
	return answer{Yes: result.Yes, Challenge: result.Challenge, Dismissed: result.Details["polkit.dismissed"] != ""}, nil
}

func (m *busMachine) watch(ctx context.Context, name string) (<-chan struct{}, func(), error) {
	match := []dbus.MatchOption{dbus.WithMatchSender(busName), dbus.WithMatchInterface(busName), dbus.WithMatchMember("NameOwnerChanged"),
		dbus.WithMatchArg(0, name)}
	signals := make(chan *dbus.Signal, 4)
	m.conn.Signal(signals)
	if err := m.conn.AddMatchSignalContext(ctx, match...); err != nil {
		m.conn.RemoveSignal(signals)
		return nil, nil, fmt.Errorf("asking the bus to say when the caller leaves: %w", err)
	}
	gone, stop, stopped := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for in, left := signals, false; ; {
			select {
			case <-stop:
				return
			case s, ok := <-in: // to the end: what nobody takes is kept for the one who does
				if !ok {
					in = nil // the connection was closed
				}
				if !left && (!ok || isLeaving(s, name)) {
					left = true
					close(gone)
				}
			}
		}
	}()
	return gone, func() {
		m.conn.RemoveSignal(signals)
		close(stop)
		<-stopped
		ctx, cancel := context.WithTimeout(m.conn.Context(), cancelWithin)
		defer cancel()
		_ = m.conn.RemoveMatchSignalContext(ctx, match...) // a unique name is never used again, so a rule left behind matches nothing
	}, nil
}

// isLeaving tells whether s is the bus saying that name is gone. Anybody may send signals to us.
func isLeaving(s *dbus.Signal, name string) bool {
	if s.Sender != busName || s.Name != busName+".NameOwnerChanged" || len(s.Body) != 3 {
		return false
	}
	who, _ := s.Body[0].(string)
	now, ok := s.Body[2].(string)
	return ok && who == name && now == ""
}

func isError(err error, name string) bool {
	var e dbus.Error
	return errors.As(err, &e) && e.Name == name
}
