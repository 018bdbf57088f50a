package keyswitch

import "time"

// SeldomFactor is how much longer the watchdog waits while SSH is closed: a ping is all that wakes the daemon then.
const SeldomFactor = 10

// shut reports whether SSH is known to be closed, with nothing left that could open it.
func (l *loop) shut(d Decision) bool {
	f := l.facts
	return l.ready && !l.leaving && !d.Permit && !l.granted && f.DoorKnown && f.Door.Err == nil && f.Door.Closed &&
		l.cancelStart == nil && l.others.cancel == nil && l.reportBy == 0 && !l.stopBusy
}

func (l *loop) pingEvery() time.Duration {
	if l.seldom {
		return SeldomFactor * l.WatchdogEvery
	}
	return l.WatchdogEvery
}

// pingSeldom changes the pace of the pings. Telling systemd counts as a ping.
func (l *loop) pingSeldom(seldom bool) {
	if seldom == l.seldom || l.WatchdogEvery <= 0 || l.WatchdogSeldom == nil {
		return
	}
	l.seldom = seldom
	l.WatchdogSeldom(seldom)
	l.watchdogAt = l.facts.Now + l.pingEvery()
}

// ping tells systemd in time that the loop lives.
func (l *loop) ping() {
	if l.WatchdogEvery > 0 && l.facts.Now >= l.watchdogAt {
		l.Watchdog()
		l.watchdogAt = l.facts.Now + l.pingEvery()
	}
}
