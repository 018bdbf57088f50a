package sshctl

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/godbus/dbus/v5"
)

// How patient the end of sessions is: a session that SIGTERM didn't end within grace is killed, and what is still there
// after patience is an error.
const (
	sessionGrace    = 3 * time.Second
	sessionPatience = 20 * time.Second
	reviveWithin    = 5 * time.Second        // for logind to come back
	bareLook        = 200 * time.Millisecond // how often the scopes are looked at where there is no logind
)

// loginUnit is logind. It doesn't come back to the bus by itself when dbus was restarted.
const loginUnit = "systemd-logind.service"

var errNoLogind = errors.New("sshctl: asking logind for its sessions: it is not on the bus; type: systemctl restart " + loginUnit)

// session is one login session that came in through sshd.
type session struct {
	id    string
	user  string
	uid   int64  // of the user; -1 if only systemd was asked
	scope string // the unit that its processes are in
}

// sshSessions lists the sessions that came in through sshd, whatever their class: those for which PAM knew the service "sshd",
// and those whose leader is an sshd (with PAMServiceName, OpenSSH 9.8 and newer, the service has any name). Remote isn't asked: it
// is "no" for who comes through a tunnel that ends here. A session with a seat is one at the screen and keyboard, and never among
// them. All of this is said by root's own programs, not by the user. With no logind on the bus the error is errNoLogind; logind
// isn't started just to be asked.
func (l *link) sshSessions(ctx context.Context) ([]session, error) {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	var all []struct {
		ID   string
		UID  uint32
		User string
		Seat string
		Path dbus.ObjectPath
	}
	err := l.conn.Object(loginName, loginPath).
		CallWithContext(ctx, loginIface+".ListSessions", dbus.FlagNoAutoStart).Store(&all)
	switch errName(err) {
	case "org.freedesktop.DBus.Error.ServiceUnknown", "org.freedesktop.DBus.Error.NameHasNoOwner":
		return nil, errNoLogind
	}
	if err != nil {
		return nil, fmt.Errorf("sshctl: asking logind for its sessions: %w", err)
	}
	var found []session
	for _, s := range all {
		if s.Seat != "" {
			continue
		}
		var props map[string]dbus.Variant
		err := l.conn.Object(loginName, s.Path).CallWithContext(ctx, "org.freedesktop.DBus.Properties.GetAll",
			dbus.FlagNoAutoStart, "org.freedesktop.login1.Session").Store(&props)
		switch errName(err) {
		case "org.freedesktop.DBus.Error.UnknownObject", "org.freedesktop.login1.NoSuchSession":
			continue // it has just ended
		}
		if err != nil {
			return nil, fmt.Errorf("sshctl: asking logind about session %s: %w", s.ID, err)
		}
		scope, _ := props["Scope"].Value().(string)
		leader, _ := props["Leader"].Value().(uint32)
		ssh := props["Service"].Value() == "sshd"
		if !ssh && leader != 0 && sessionScope(scope) {
			if ssh, err = l.ledBySSHD(ctx, scope, leader); err != nil {
				return nil, err
			}
		}
		if ssh {
			found = append(found, session{id: s.ID, user: s.User, uid: int64(s.UID), scope: scope})
		}
	}
	return found, nil
}

// countSessions is for display, and tells whether there is anybody to send away. What can't be counted is 0, and the next signal
// tries again. Without logind systemd's scopes are counted; nobody tells when these change, so again says to count anew with
// each reading.
func (l *link) countSessions(ctx context.Context) (n int, again bool) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	found, err := l.sshSessions(ctx)
	if errors.Is(err, errNoLogind) {
		found, err = l.sshScopes(ctx, anyOwner)
		return len(found), true
	}
	if err != nil {
		return 0, false
	}
	return len(found), false
}

// Ended is a session that has been ended.
type Ended struct {
	ID   string // logind's name of it, as in loginctl
	User string
	// Killed: it did not go when it was told to.
	Killed bool
}

// TerminateRemoteSessions ends every SSH session of this machine and waits until the last one is gone; at most 20 s. It needs
// root. Also after an error it says whom it told to go. Sessions at the screen and keyboard are never touched. It gets by
// without logind, with a bus that is restarted meanwhile, and doesn't care whether the sessions have terminals.
func TerminateRemoteSessions(ctx context.Context) ([]Ended, error) {
	return terminateSessions(ctx, SystemBus, sessionGrace, sessionPatience)
}

func terminateSessions(ctx context.Context, address string, grace, patience time.Duration) ([]Ended, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("sessions are still there"))
	defer cancel()
	e := &ending{told: make(map[string]*Ended), hardAt: time.Now().Add(grace)}
	retry := firstRetry
	for {
		err := e.over(ctx, address)
		// As long as ctx lives, what was canceled was so by the end of the connection.
		if err == nil || ctx.Err() != nil || !transient(err) && !errors.Is(err, context.Canceled) {
			return e.all, err
		}
		sleep(ctx, retry, nil)
		if ctx.Err() != nil {
			return e.all, err
		}
		retry = min(2*retry, lastRetry)
	}
}

// ending is the end of all SSH sessions. It outlives a connection to the bus.
type ending struct {
	told   map[string]*Ended
	all    []Ended
	hardAt time.Time // who is still there is killed then
}

// over works over one connection to the bus.
func (e *ending) over(ctx context.Context, address string) error {
	l, err := dial(ctx, address)
	if err != nil {
		return err
	}
	defer l.close()
	if err := errors.Join(l.watch(ctx), l.subscribe(ctx)); err != nil {
		return err
	}
	defer func() {
		e.all = nil
		for _, id := range slices.Sorted(maps.Keys(e.told)) {
			e.all = append(e.all, *e.told[id])
		}
	}()
	kill := time.NewTimer(time.Until(e.hardAt))
	defer kill.Stop()
	revived, bare := false, false // bare: without logind
	for {
		var left []session
		err := errNoLogind
		if !bare {
			left, err = l.sshSessions(ctx)
		}
		if errors.Is(err, errNoLogind) && !revived {
			revived = true
			if there, err := l.reviveLogind(ctx); err == nil && there {
				continue
			}
		}
		if errors.Is(err, errNoLogind) {
			bare = true
			left, err = l.sshScopes(ctx, ownedByRoot)
		}
		if err != nil {
			return err
		}
		if len(left) == 0 {
			return nil
		}
		hard := !time.Now().Before(e.hardAt)
		for _, s := range left {
			who := e.told[s.id]
			if who != nil && (who.Killed || !hard) {
				continue
			}
			end := l.endSession
			if bare {
				end = l.endScope
			}
			if err := end(ctx, s, hard); err != nil {
				return err // not told, as far as is known
			}
			e.told[s.id] = &Ended{ID: s.id, User: s.user, Killed: hard}
		}
		var look <-chan time.Time
		if bare {
			look = time.After(bareLook) // nobody tells
		}
		select {
		case <-l.poke: // a session came or went
		case <-look:
		case <-kill.C:
		case <-l.done():
			return fmt.Errorf("sshctl: ending session %s of %s: %w", left[0].id, left[0].user, context.Cause(l.conn.Context()))
		case <-ctx.Done():
			return fmt.Errorf("sshctl: ending session %s of %s: %w; type: loginctl session-status %s",
				left[0].id, left[0].user, context.Cause(ctx), left[0].id)
		}
	}
}

// reviveLogind brings logind back to the bus, with the sessions it had. there is false on a machine without logind, where
// nobody's sessions are known.
func (l *link) reviveLogind(ctx context.Context) (there bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, reviveWithin)
	defer cancel()
	ctx, unbind := l.bound(ctx)
	defer unbind()
	props, err := l.sd.GetUnitPropertiesContext(ctx, loginUnit)
	if err != nil {
		return false, fmt.Errorf("sshctl: asking systemd about %s: %w", loginUnit, err)
	}
	if props["LoadState"] != "loaded" {
		return false, nil
	}
	j, err := l.enqueue(ctx, "restart", loginUnit)
	if err != nil {
		return true, explain("restarting", loginUnit, err)
	}
	result, err := j.wait(ctx)
	if err != nil {
		return true, explain("restarting", loginUnit, err)
	}
	if result != "done" {
		return true, &JobError{Unit: loginUnit, Job: "restart", Result: result}
	}
	return true, nil
}

// endSession asks for the orderly end, and when hard also kills what stayed.
func (l *link) endSession(ctx context.Context, s session, hard bool) error {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	login := l.conn.Object(loginName, loginPath)
	err := login.CallWithContext(ctx, loginIface+".TerminateSession", 0, s.id).Err
	if err == nil && hard {
		err = login.CallWithContext(ctx, loginIface+".KillSession", 0, s.id, "all", int32(9)).Err
	}
	if err != nil && errName(err) != "org.freedesktop.login1.NoSuchSession" {
		return fmt.Errorf("sshctl: ending session %s of %s: %w", s.id, s.user, err)
	}
	return nil
}
