package keyswitch

import (
	"cmp"
	"log/slog"
	"reflect"
	"slices"
	"time"

	"keyswitchd/internal/record"
	"keyswitchd/internal/status"
)

// cause is what brought about a decision, if it isn't plain from the decision itself.
type cause struct {
	kind record.Kind
	text string
	told bool // the journal has an entry of it already
}

// tell publishes and logs what is new.
func (l *loop) tell(d Decision) {
	s := l.status(d)
	was := l.decided
	l.decided = d
	if l.cause != (cause{}) || d.Kind != was.Kind || d.Permit != was.Permit || d.Reason != was.Reason {
		l.tellDecision(d, was)
	}
	l.cause = cause{}
	l.tellDoor(d)
	own := l.problems(d)
	for _, p := range own {
		if !slices.Contains(l.own, p) {
			l.entry(slog.LevelWarn, record.Problem, d.Kind, p)
		}
	}
	l.own = own
	if !reflect.DeepEqual(s, l.told) {
		// Only news: publishing wakes the bus, and an idle daemon wakes nobody.
		l.told = s
		l.Publish(s)
	}
}

// tellDecision is one entry of the journal.
func (l *loop) tellDecision(d, was Decision) {
	kind, level := kindOf(d, was), slog.LevelInfo
	switch {
	case d.Fault:
		level = slog.LevelError
	case d.Told:
		level = slog.LevelWarn
	}
	if l.cause.told && !d.Fault {
		return
	}
	if l.cause.text != "" {
		kind = l.cause.kind
	} else if d.Kind == Waiting || d.Kind == StartFailed || d.Kind == Refused {
		return // nothing is decided yet; or each try had its entry
	} else if kind == record.KeyTurned && d.Permit && was.Permit {
		return // nobody turned it: somebody else, or the next try, opened SSH again, which is an entry of its own
	}
	if l.leaving {
		kind = record.Stopped
	}
	text := d.Reason
	if l.cause.text != "" {
		text += " (" + l.cause.text + ")"
	}
	if d.Permit && l.sessions.since > 0 {
		text += "; who is still logged in stays"
	}
	l.entry(level, kind, d.Kind, text)
}

func kindOf(d, was Decision) record.Kind {
	switch {
	case d.Kind == SessionsLeft:
		return record.SessionsLeft
	case d.Fault:
		return record.Fault
	case d.Kind == Expired:
		return record.Expired
	case d.Kind == Locked:
		return record.Override
	case d.Kind == NeedsTurn, d.Kind == Foreign:
		return record.Refused
	case d.Kind == StoppedByHand:
		return record.ClosedByOthers
	case d.Kind == BusAway:
		return record.Problem
	case d.Told && !was.Told:
		return record.Expiring
	case was.Kind == KeyFault, d.Kind == was.Kind && was.Fault, d.Permit && (was.Fault || was.Kind == BusAway):
		return record.FaultOver
	default:
		return record.KeyTurned
	}
}

// tellDoor is one entry for each opening and each closing that was seen.
func (l *loop) tellDoor(d Decision) {
	f := l.facts
	switch {
	case !l.saidOpen && d.Permit && l.granted && f.Door.Open && f.Door.Active == "active":
		l.saidOpen = true
		l.entry(slog.LevelInfo, record.Opened, d.Kind, "SSH is open: "+d.Reason)
	case l.saidOpen && f.DoorKnown && f.Door.Closed && !f.Starting:
		l.saidOpen = false
		l.entry(slog.LevelInfo, record.Closed, d.Kind, "SSH is closed: "+d.Reason)
	case f.Door.Down:
		l.saidOpen = false
	}
}

// entry is one entry of the journal, with the fields that every decision has. docs/journal.md lists them.
func (l *loop) entry(level slog.Level, kind record.Kind, reason Kind, text string, more ...any) {
	f := l.facts
	fields := []any{kind.Attr(), "key", keyName(f), "reason", string(reason), "permit", l.granted, "open", f.Door.Open, "led", l.decided.LED.String(),
		"override", mode(f), "by", f.OverrideBy, "sessions", f.Door.Sessions, "unit", unit(f)}
	for i := 0; i+1 < len(more); i += 2 {
		name, value := more[i], more[i+1]
		if at := slices.Index(fields, name); at >= 0 {
			fields[at+1] = value
		} else {
			fields = append(fields, name, value)
		}
	}
	l.Log.Log(l.rooms, level, text, fields...)
}

func keyName(f Facts) string {
	if !f.KeyKnown {
		return "unknown"
	}
	return f.Key.Position.String()
}

func mode(f Facts) string { return string(cmp.Or(f.Override, Auto)) }

// status is what there is to say at this moment.
func (l *loop) status(d Decision) status.Status {
	f := l.facts
	s := status.Status{
		Running: true, Key: keyName(f), SSH: cmp.Or(f.Door.Active, "unknown"), Unit: unit(f), Open: f.Door.Open, Fault: d.Fault,
		Code: string(d.Kind), Reason: d.Reason, Advice: d.Advice, LED: d.LED.String(),
		Sessions: f.Door.Sessions, Override: mode(f), OverrideBy: f.OverrideBy, Units: l.units(),
		Problems:  slices.Concat(l.now.Problems, l.verified.Warnings, l.problems(d)),
		Hardening: status.Hardening{Verified: l.verified.Verified, Problems: l.verified.Problems},
	}
	if l.ledErr != nil {
		s.LEDError = l.ledErr.Error()
	}
	if !l.verified.At.IsZero() {
		at := l.verified.At
		s.Hardening.At = &at
	}
	if since := l.wall(&l.since, l.since.at); since != nil {
		s.Since = *since
	}
	s.Expires = l.wall(&l.expires, d.Closes)
	if l.sessions.since > 0 && !d.Permit {
		s.SessionsEnd = l.wall(&l.leaveBy, l.sessions.since+l.sessions.grace)
	}
	return s
}

// jitter is by how much two readings of one moment off two clocks may differ and still be the same. Slower clocks than this drift
// apart by it in hours.
const jitter = time.Second

// stamp is a moment and what the wall clock shows then, for people.
type stamp struct {
	at   time.Duration // on the clock of facts.Now; 0 is none
	wall time.Time
}

// wall says what the wall clock shows at the moment at; nil for none. What it said before stands until the wall clock is set, so that
// nothing is news that isn't.
func (l *loop) wall(s *stamp, at time.Duration) *time.Time {
	if at == 0 {
		return nil
	}
	wall := l.clock.Wall().Round(0).Add(at - l.clock.Now())
	if s.at != at || s.wall.Sub(wall).Abs() >= jitter {
		*s = stamp{at, wall}
	}
	said := s.wall
	return &said
}
