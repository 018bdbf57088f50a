package sshctl

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/godbus/dbus/v5"
)

// How patient the end of sessions is: a session that SIGTERM didn't end within grace is killed, and what is still there
// after patience is an error.
const (
	sessionGrace    = 3 * time.Second
	sessionPatience = 20 * time.Second
)

// loginUnit is logind. It doesn't come back to the bus by itself when dbus was restarted.
const loginUnit = "systemd-logind.service"

var errNoLogind = errors.New("sshctl: asking logind for its sessions: it is not on the bus; type: systemctl restart " + loginUnit)

// session is one login1 session (org.freedesktop.login1(5)).
type session struct {
	id   string
	user string
}

// sshSessions lists the sessions that came in through sshd, whatever their class. A local session is never among them:
// both Remote and Service are set by pam_systemd from what PAM says of the login, not by the user. With no logind on the bus
// the error is errNoLogind; logind isn't started just to be asked.
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
		if props["Remote"].Value() == true && props["Service"].Value() == "sshd" {
			found = append(found, session{id: s.ID, user: s.User})
		}
	}
	return found, nil
}

// countSessions is for display: what can't be counted is 0, and the next signal tries again.
func (l *link) countSessions(ctx context.Context) int {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	found, err := l.sshSessions(ctx)
	if err != nil {
		return 0
	}
	return len(found)
}

// TerminateRemoteSessions ends every SSH session of this machine and waits until logind has let go of the last one. It
// needs root. n is how many it ended. Sessions at the screen and keyboard are never touched.
func TerminateRemoteSessions(ctx context.Context) (n int, err error) {
	return terminateSessions(ctx, SystemBus, sessionGrace, sessionPatience)
}

func terminateSessions(ctx context.Context, address string, grace, patience time.Duration) (int, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("sessions are still there"))
	defer cancel()
	l, err := dial(ctx, address)
	if err != nil {
		return 0, err
	}
	defer l.close()
	if err := l.watch(ctx); err != nil {
		return 0, err
	}
	told := make(map[string]bool) // told to end; true when it has been killed
	kill := time.NewTimer(grace)
	defer kill.Stop()
	hard := false
	for {
		left, err := l.sshSessions(ctx)
		if errors.Is(err, errNoLogind) {
			var there bool
			if there, err = l.reviveLogind(ctx); err == nil && !there {
				return 0, nil
			}
			if err == nil {
				left, err = l.sshSessions(ctx)
			}
		}
		if err != nil {
			return 0, err
		}
		if len(left) == 0 {
			return len(told), nil
		}
		for _, s := range left {
			if killed, ok := told[s.id]; ok && (killed || !hard) {
				continue
			}
			told[s.id] = hard
			if err := l.endSession(ctx, s, hard); err != nil {
				return 0, err
			}
		}
		select {
		case <-l.poke: // a session came or went
		case <-kill.C:
			hard = true
		case <-l.done():
			return 0, fmt.Errorf("sshctl: ending session %s of %s: %w", left[0].id, left[0].user, context.Cause(l.conn.Context()))
		case <-ctx.Done():
			return 0, fmt.Errorf("sshctl: ending session %s of %s: %w; type: loginctl session-status %s",
				left[0].id, left[0].user, context.Cause(ctx), left[0].id)
		}
	}
}

// reviveLogind brings logind back to the bus, with the sessions it had. there is false on a machine without logind, where
// nobody's sessions are known.
func (l *link) reviveLogind(ctx context.Context) (there bool, err error) {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	if err := l.subscribe(ctx); err != nil {
		return false, err
	}
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
