package keyswitch

import (
	"context"
	"log/slog"
	"time"

	"keyswitchd/internal/record"
	"keyswitchd/sshctl"
)

// sessions are the people who were logged in when SSH was closed.
type sessions struct {
	grace time.Duration // from the configuration
	since time.Duration // when SSH was confirmed to be closed with somebody inside who is to leave; 0: nobody is
	endAt time.Duration // not before: after a try
	busy  bool          // they are being sent away

	warned bool // they know
}

func (s *sessions) next(f Facts) (time.Duration, bool) {
	at := max(s.since+s.grace, s.endAt)
	return at, s.since > 0 && at > f.Now
}

// countSessions looks whether somebody is to leave. A bus that is away changes nothing: the time runs on. That somebody may stay
// after all is for endSessions to find, once that was told.
func (l *loop) countSessions(d Decision) {
	f, s := &l.facts, &l.sessions
	switch {
	case d.Permit || !f.DoorKnown || f.Door.Err != nil:
	case !f.EndSessions || f.Door.Sessions == 0:
		s.forget()
	case s.since == 0 && f.Door.Closed && !f.Starting && d.Kind != Waiting && !l.leaving:
		s.since = f.Now
	}
}

func (s *sessions) forget() { s.since, s.endAt, s.warned = 0, 0, false }

// endSessions sends people away once SSH is closed: a warning at once, the end after the grace time. If SSH is permitted again
// meanwhile, they stay.
func (l *loop) endSessions(d Decision) {
	f, s := &l.facts, &l.sessions
	if d.Permit {
		f.SessionsErr = nil
		s.forget()
		return
	}
	if s.since == 0 || f.Door.Err != nil || l.leaving {
		return
	}
	if !s.warned && s.grace > 0 {
		l.entry(slog.LevelInfo, record.SessionsWarned, d.Kind, "the SSH sessions end soon", "grace", s.grace)
		l.warn(sshctl.Closing)
	}
	s.warned = true
	if s.busy || !f.Door.Closed || f.Starting || f.Now < s.since+s.grace || f.Now < s.endAt {
		return
	}
	s.busy = true
	l.entry(slog.LevelInfo, record.SessionsEnded, d.Kind, "ending the SSH sessions")
	l.beside(l.rooms, ending, l.Door.EndSessions)
}

func (l *loop) sessionsEnded(err error, now time.Duration) {
	l.sessions.busy = false
	l.sessions.endAt = now + firstRetry // the count may come a moment later
	if err == nil {
		l.facts.SessionsErr = nil
	} else if l.sessions.since > 0 {
		l.facts.SessionsErr = err
		l.sessions.endAt = now + lastRetry
	}
}

// warnOfEnd tells the people who are logged in, once, that SSH closes soon by itself. The journal and the status have it from the
// decision.
func (l *loop) warnOfEnd(d Decision) {
	if !d.Told || !l.facts.Door.Open {
		l.warned = l.warned && d.Told
		return
	}
	if !l.warned && l.facts.Door.Sessions > 0 {
		l.warn(sshctl.Expiring)
	}
	l.warned = true
}

func (l *loop) warn(w sshctl.Warning) {
	l.beside(l.rooms, warning, func(ctx context.Context) error { return l.Door.WarnSessions(ctx, w) })
}
