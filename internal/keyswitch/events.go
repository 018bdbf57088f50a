package keyswitch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"keyswitchd/gpio"
	"keyswitchd/hardening"
	"keyswitchd/internal/record"
	"keyswitchd/sshctl"
)

func (l *loop) set(s Settings) {
	f := &l.facts
	l.now = s
	f.RequireTurn, f.MaxOn, f.EndSessions = s.RequireTurn, s.MaxOn, s.EndSessions
	l.sessions.grace = s.Grace
}

func (l *loop) keyRead(r gpio.Reading) {
	f := &l.facts
	now := l.clock.Now()
	switch r.Position {
	case gpio.On:
		// A fault between on and on is no turn: what holds until the key is turned holds on.
		if l.turned != gpio.On {
			f.OnSince = now
		}
		if l.turned == gpio.Fault && f.Override == ForceOn {
			f.Spent = true // nobody saw it turned, so it may have been on since before
		}
		l.turned = gpio.On
	case gpio.Off:
		f.SeenOff, f.Spent = true, false
		if l.turned == gpio.On && f.Override == ForceOn {
			l.endOverride(cause{kind: record.Override, text: "turning the key off has ended the override" + by(*f)})
		}
		l.turned = gpio.Off
	}
	if r.Position != gpio.On && f.Override != ForceOn {
		f.forget()
		l.startAt = 0
	}
	f.Key, f.KeyKnown = r, true
}

// forget starts afresh: what went wrong is over once somebody turned the key, or said at the console what is to be.
func (f *Facts) forget() {
	f.Starts, f.StartErr, f.Start = 0, nil, ""
	f.StoppedByHand, f.PermitErr = false, nil
	if f.NotVerified {
		// What still runs is no better than before.
		f.NotVerified, f.Foreign = false, f.Foreign || !f.DoorKnown || !f.Door.Closed
	}
}

func (l *loop) doorSeen(s sshctl.State) {
	f := &l.facts
	if s.Err != nil {
		f.Door = s // what was known before still tells whether it was opened or stopped by others meanwhile
		return
	}
	now := l.clock.Now()
	if !f.DoorKnown || l.active != s.Open {
		l.since.at = now
	}
	opened := s.Open && !l.active
	f.Door, f.DoorKnown, l.active = s, true, s.Open
	if !s.Closed {
		l.reportBy = 0
	}
	if s.Sessions == 0 {
		f.SessionsErr = nil
	}
	switch {
	case s.Open && !l.granted:
		f.Foreign = true
	case s.Closed:
		f.Foreign, l.stopUnseen = false, false
	}
	if opened {
		// Read once per opening: this is what the sshd that now runs was started with. A later
		// `keyswitchd harden` by hand says nothing about it.
		_ = l.readHardening() // what can't be read is not verified
		f.NotVerified = !l.verified.Verified
		for _, warning := range l.verified.Warnings {
			l.Log.Warn("SSH is open as the policy wants it, and something may surprise", record.Problem.Attr(), "warning", warning)
		}
		// What a stop of ours is still to close is not ours to miss.
		f.StoppedByHand, l.settleAt, l.openedAt, l.wasOpen = false, 0, now, l.granted && !l.stopUnseen
	}
	if s.Down && l.wasOpen && l.granted {
		l.wasOpen = false
		if s.Active == "failed" {
			l.startFailed(record.ClosedByOthers, fmt.Errorf("%s ended by itself (%s)", s.Unit, s.Result), now)
		} else {
			f.StoppedByHand = true
		}
	}
}

func down(active string) bool { return active == "inactive" || active == "failed" }

func (l *loop) readHardening() error {
	r, err := l.Hardening()
	if err != nil {
		r = hardening.Result{Problems: []string{err.Error()}}
	}
	l.verified = r
	return err
}

func (l *loop) ledSeen(err error) {
	if err != nil {
		l.Log.Warn("the LED can't be driven", record.Problem.Attr(), "err", err)
	}
	l.ledErr = err
}

// ended takes in the end of a job.
func (l *loop) ended(o outcome) {
	now := l.clock.Now()
	switch o.what {
	case starting:
		l.cancelStart = nil
		if o.err == nil {
			if !l.active && l.granted {
				l.settleAt = now + settleTime
			}
			l.awaitReport(now)
			return
		}
		var failed *sshctl.JobError
		if errors.Is(o.err, context.Canceled) || errors.As(o.err, &failed) && failed.Result == "canceled" {
			return
		}
		l.startFailed(record.StartFailed, o.err, now)
	case stopping:
		l.stopBusy = false
		if o.err != nil {
			l.Log.Warn("stopping SSH", record.Problem.Attr(), "err", o.err)
			l.stopAt, l.stopErr = now+firstRetry, o.err
			return
		}
		l.reportBy = 0 // everything was seen down after whatever was started
	case startingMore:
		l.othersStarted(o.err, now)
		l.awaitReport(now)
	case ending:
		l.sessionsEnded(o.err, now)
	case warning:
		if o.err != nil {
			l.Log.Warn("warning the SSH sessions", record.Problem.Attr(), "err", o.err)
		}
	}
}

// awaitReport counts what was started as running until systemd has told what became of it: the end of a job and the state of a
// unit come by different signals.
func (l *loop) awaitReport(now time.Duration) {
	if l.facts.Door.Closed {
		l.reportBy, l.stopSent = now+settleTime, false
	}
}

func (l *loop) startFailed(kind record.Kind, err error, now time.Duration) {
	f := &l.facts
	if l.openedAt > 0 && now-l.openedAt > lastRetry {
		f.Starts = 0 // it ran for a while: a new trouble, not the old one
	}
	l.openedAt = 0
	f.Starts++
	f.Start, f.StartErr = StartFailed, err
	// No result says nothing: the start may not have come as far as the hardening.
	if err := l.readHardening(); err == nil && !l.verified.Verified && len(l.verified.Problems) > 0 {
		f.Start, f.StartErr, kind = Refused, errors.New(l.verified.Problems[0]), record.HardeningRefused
	}
	wait := lastRetry
	if f.Starts < 7 {
		wait = min(lastRetry, firstRetry<<(f.Starts-1))
	}
	l.startAt = now + wait
	l.entry(slog.LevelError, kind, f.Start, "SSH does not start", "err", f.StartErr, "tries", f.Starts, "retry_in", wait)
}
