package keyswitch

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"keyswitchd/gpio"
)

// broken says which promise doesn't hold in this state, or "".
func (w *world) broken() string {
	if w.over || w.fatal != nil {
		return "" // the daemon is gone and everything bound to it with it
	}
	d, f := w.l.decided, w.l.facts
	lit := w.led == gpio.Solid || w.led == gpio.Wink || w.led == gpio.DoubleWink
	up := w.unit == "active" || w.unit == "activating"
	wanted := (w.key == gpio.On || f.forced()) && !f.locked() && !w.leaving
	switch {
	case w.permit && !wanted:
		return "there is a permit, and nobody asks for one"
	case w.permit != d.Permit, w.permit != w.l.granted:
		return "the permit is not what was decided"
	case up && !w.byPermit:
		return "something came up without a permit"
	case up && !w.permit && w.told == w.unit && !w.stopCall && w.l.stopAt <= w.now && w.l.closeBy == 0:
		return "SSH is up, the loop knows it, nothing permits it, and nothing is done about it"
	case up && !w.permit && w.told != "away" && !w.stopCall && w.told == w.unit && w.wake == 0:
		return "SSH is up without a permit, and nothing will ever wake the loop"
	case lit && !w.permit:
		return "the LED says open without a permit"
	case lit && w.told != "active":
		return "the LED says open, and systemd never said so"
	case w.led == gpio.Dark && w.told == "active" && w.unit == "active":
		return "the LED is dark, and SSH is open"
	}
	return ""
}

// settled lets systemd, the bus and time do what they are due, with nothing new from outside, and says which promise about the
// end doesn't hold. What is said of time: it passes only when nothing else is left.
func (w *world) settled() string {
	for range 60 {
		if w.over || w.fatal != nil {
			return ""
		}
		next := ""
		for _, name := range w.inside() {
			if name != "time" && name != "start gives up" {
				next = name
				break
			}
		}
		if next == "" {
			if w.wake == 0 {
				break
			}
			next = "time"
		}
		w.step(next)
		if why := w.broken(); why != "" {
			return "while settling, after " + next + ": " + why
		}
	}
	f := w.l.facts
	asks := w.key == gpio.On && f.KeyKnown && !w.spent && (f.SeenOff || !f.RequireTurn) && (f.MaxOn == 0 || w.now-f.OnSince < f.MaxOn)
	wanted := (asks || f.forced()) && !f.locked() && !f.StoppedByHand
	switch {
	case w.wake != 0:
		return "it never comes to rest"
	case w.deeds == 0 && (f.StoppedByHand || f.Foreign || f.Starts > 0):
		return "it blames others, and nobody did anything"
	case wanted && (w.unit != "active" || !w.permit || w.led != gpio.Solid):
		return fmt.Sprintf("open is wanted, and nothing stands against it, but it is %s with LED %s (%s)", w.unit, w.led, w.l.decided.Reason)
	case !wanted && w.unit == "active" && !(f.StoppedByHand && w.permit):
		return "closed is wanted, and it is open"
	case w.unit != "active" && w.led != gpio.Dark && w.led != gpio.FastBlink:
		return fmt.Sprintf("closed and at rest, but the LED shows %s (%s)", w.led, w.l.decided.Reason)
	}
	return ""
}

// shape is the state in a form in which equal states are equal: moments count from now.
func (w *world) shape() string {
	var b strings.Builder
	rel := func(t time.Duration) time.Duration {
		if t == 0 {
			return 1 << 60 // none
		}
		return max(t-w.now, -1) // how long ago is no matter, but for lastRetry after an opening
	}
	l, f := w.l, w.l.facts
	d := l.decided
	fmt.Fprint(&b, w.permit, w.led, w.key, w.unit, w.told, w.byPermit, w.sys, w.ours, w.overtaken, w.call, w.callCtx != nil && w.callCtx.Err() != nil, w.stopCall, w.stopActed,
		w.turns, w.orders, w.deeds, w.away, w.leaving, w.known, w.spent, w.onAt <= w.forcedAt, rel(w.wake), "|")
	fmt.Fprint(&b, f.KeyKnown, f.Key.Position, f.SeenOff, f.Spent, f.Override, rel(f.OverrideUntil), f.OnSince <= f.OverrideSince, f.DoorKnown, f.Door.Active, f.Foreign, f.Starting,
		f.Starts, f.Start, f.StoppedByHand, f.NotVerified, rel(f.OnSince+f.MaxOn), "|")
	fmt.Fprint(&b, d.Kind, d.Permit, d.Told, l.granted, l.ready, l.turned, l.cancelStart != nil, l.stopBusy, l.stopSent, l.stopUnseen, l.wasOpen, l.active, l.saidOpen, l.warned,
		l.console.kept, rel(l.console.keepAt), "|")
	for _, t := range []time.Duration{l.closeBy, l.stopAt, l.startAt, l.permitAt, l.settleAt, l.reportBy, l.openedAt, l.sessions.endAt, l.others.at} {
		fmt.Fprint(&b, rel(t), " ")
	}
	return b.String()
}

// replay makes the world to which a path leads.
func replay(s Settings, path []string) *world {
	w := newWorld(s)
	for _, name := range path {
		w.step(name)
	}
	return w
}

// explore takes every step in every order, up to depth, and returns how many different states there are.
func explore(t *testing.T, s Settings, b bounds, depth int) int {
	seen := map[string]bool{}
	frontier := [][]string{nil}
	for range depth {
		var next [][]string
		for _, path := range frontier {
			at := replay(s, path)
			if at.over || at.fatal != nil {
				continue
			}
			for _, name := range slices.Concat(at.inside(), at.outside(b)) {
				w := replay(s, path)
				w.step(name)
				shape := w.shape()
				if seen[shape] {
					continue
				}
				seen[shape] = true
				way := append(slices.Clone(path), name)
				if why := w.broken(); why != "" {
					t.Fatalf("after %s: %s", strings.Join(way, ", "), why)
				}
				if why := replay(s, way).settled(); why != "" {
					t.Fatalf("after %s: %s", strings.Join(way, ", "), why)
				}
				next = append(next, way)
			}
		}
		if len(next) == 0 {
			return len(seen)
		}
		frontier = next
	}
	return len(seen)
}

var deeper = flag.Int("deeper", 0, "how many steps more TestModel takes; each costs about twice the time")

// TestModel explores the machine.
func TestModel(t *testing.T) {
	for name, c := range map[string]struct {
		s     Settings
		b     bounds
		depth int
	}{
		"turns":         {Settings{}, bounds{turns: 4}, 14},
		"others":        {Settings{}, bounds{turns: 2, deeds: 2}, 11},
		"bus":           {Settings{}, bounds{turns: 2, deeds: 1, away: 1}, 11},
		"console":       {Settings{}, bounds{turns: 2, orders: 2}, 9},
		"time":          {Settings{MaxOn: time.Hour}, bounds{turns: 3, orders: 1}, 10},
		"turn required": {Settings{RequireTurn: true}, bounds{turns: 3, deeds: 1}, 11},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			t.Logf("%d states within %d steps", explore(t, c.s, c.b, c.depth+*deeper), c.depth+*deeper)
		})
	}
}
