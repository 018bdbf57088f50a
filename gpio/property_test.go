package gpio

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// window is a run of looks between which nothing moved in truth, none too far from the one before.
type window struct {
	began time.Duration
	looks int
	full  time.Duration // the last look at which it was a full window; -1: none
}

// look says whether the run up to now is a full window of length.
func (r *window) look(now, before, still, length time.Duration) bool {
	if r.looks == 0 || still < now-before || now-before > length && !(r.full == before && r.looks >= minSamples) {
		r.began, r.looks = now, 0 // something moved since the look before, or nobody looked for too long
	}
	r.looks++
	if now-r.began < length || r.looks < minSamples {
		return false
	}
	r.full = now
	return true
}

// One contact: no change without a stable window, no stable window missed, whenever looks are taken.
func TestDebouncerProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		on, off := us(t, "on", 1000, 150_000), us(t, "off", 1000, 150_000)
		w := drawWorld(t, 1)
		d := NewDebouncer(on, off)
		run := window{full: -1}
		var was Verdict
		now := us(t, "begin", 1, 1000)
		before := now
		for end := w.end(); now < end; {
			s := w.look(now)[KeyContact]
			v := d.Sample(now, s)
			still := w.still(now, 1)
			length, level := off, Off
			if s.Active {
				length, level = on, On
			}
			fault := run.full
			full := run.look(now, before, still, length)
			if fresh := v.Known && (!was.Known || v.Position != was.Position); fresh && v.Position != Fault && (still < length || v.Position != level) {
				t.Fatalf("at %v: %v, after %v of %v, at %v", now, v.Position, still, length, level)
			} else if fresh && v.Position == Fault && fault > now-ChatterLimit {
				t.Fatalf("at %v: a fault, though it was stable at %v", now, fault)
			}
			if full && (!v.Known || v.Position != level || v.Next != 0) {
				t.Fatalf("at %v: %v for %v with %d looks since %v, but %+v", now, level, still, run.looks, run.began, v)
			}
			if v.Next == 0 && (!v.Known || v.Position != level) || v.Next != 0 && v.Next <= now {
				t.Fatalf("at %v, %v: %+v", now, level, v)
			}
			was, before = v, now
			now = drawLook(t, w, now, v.Next)
		}
	})
}

// Two contacts, looked at at any time: opened by nothing but a full window of both, closed whenever one contact alone would
// be, and whatever contradicts is latched.
func TestPairProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		on, off := us(t, "on", 1000, 150_000), us(t, "off", 1000, 150_000)
		longest := max(on, off)
		changeOver := longest + us(t, "change-over", 0, 500_000)
		w := drawWorld(t, 2)
		p, alone := NewPair(on, off, changeOver, NoTrouble), NewDebouncer(on, off)
		key, pair := window{full: -1}, window{full: -1}
		proper := time.Duration(-1) // the last look at a full window in a position
		equal := time.Duration(-1)  // the first of the present looks at equal contacts
		var was Verdict
		latched := false
		now := us(t, "begin", 1, 1000)
		begun, before := now, now
		for end := w.end(); now < end; {
			s := w.look(now)
			v := p.Sample(now, s[KeyContact], s[SecondContact])
			single := alone.Sample(now, s[KeyContact])
			still, keyStill := w.still(now, 2), w.still(now, 1)
			l := levelsOf(s[KeyContact], s[SecondContact])
			length := map[levels]time.Duration{0: longest, pairOn: on, pairOff: off, pairOn | pairOff: longest}[l]
			keyLength := off
			if s[KeyContact].Active {
				keyLength = on
			}
			isEqual := l == 0 || l == pairOn|pairOff
			if !isEqual || still < now-before {
				equal = -1
			}
			if isEqual && equal < 0 {
				equal = now
			}
			keyFull, pairFull := key.full, pair.full
			fullKey, fullPair := key.look(now, before, keyStill, keyLength), pair.look(now, before, still, length)
			lastProper := proper
			if fullPair && !isEqual {
				proper = now
			}

			fresh := v.Known && (!was.Known || v.Position != was.Position || v.Trouble != was.Trouble)
			switch {
			case fresh && v.Position == On && (l != pairOn || still < on):
				t.Fatalf("at %v: on with %02b, stable for %v", now, l, still)
			case fresh && v.Position == Off && (l&contactClosed != 0 || keyStill < off) && w.dropped < now-off-time.Minute:
				t.Fatalf("at %v: off with %02b, the key stable for %v", now, l, keyStill)
			case fresh && (v.Trouble == BothOpen || v.Trouble == BothClosed):
				if want := map[Trouble]levels{BothOpen: 0, BothClosed: pairOn | pairOff}[v.Trouble]; l != want || still < longest {
					t.Fatalf("at %v: %v with %02b, stable for %v", now, v.Trouble, l, still)
				}
				if !latched && now-max(lastProper, begun) < changeOver {
					t.Fatalf("at %v: %v, though it was in a position at %v", now, v.Trouble, lastProper)
				}
			case fresh && v.Trouble == Restless && keyFull > now-ChatterLimit, fresh && v.Trouble == SecondRestless && pairFull > now-ChatterLimit:
				t.Fatalf("at %v: %v, though it was stable at %v, %v", now, v.Trouble, keyFull, pairFull)
			}
			if latched && v.Trouble != BothOpen && v.Trouble != BothClosed && (l != pairOff || still < off) {
				t.Fatalf("at %v: released with %02b, stable for %v", now, l, still)
			}
			latched = v.Trouble == BothOpen || v.Trouble == BothClosed

			// Closing is as quick as without the second contact, and nothing else opens.
			if v.Position == On && v.Known && !(single.Known && single.Position == On) {
				t.Fatalf("at %v: on, and %v by the key's contact alone", now, single.Position)
			}
			if fullKey && !s[KeyContact].Active && (!v.Known || v.Position == On) {
				t.Fatalf("at %v: the key's contact open for %v, but %+v", now, keyStill, v)
			}
			// No window is missed.
			switch {
			case fullPair && l == pairOn && v.Position != On && !latched, fullPair && l == pairOff && v.Position != Off,
				fullPair && isEqual && now-equal >= changeOver && !latched:
				t.Fatalf("at %v: %02b for %v (change-over %v), but %+v", now, l, still, changeOver, v)
			}
			// It does not go to sleep on anything but a position or a latched fault.
			if v.Next == 0 && !latched && (!v.Known || isEqual || v.Position != map[levels]Position{pairOn: On, pairOff: Off}[l]) || v.Next != 0 && v.Next <= now {
				t.Fatalf("at %v, %02b: %+v", now, l, v)
			}
			was, before = v, now
			now = drawLook(t, w, now, v.Next)
		}
	})
}

// With the looks that a Key takes, each late by no more than a quarter of the window, everything comes in time.
func TestPairIsInTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		on, off := us(t, "on", 1000, 150_000), us(t, "off", 1000, 150_000)
		cfg := KeyConfig{DebounceOn: on, DebounceOff: off, ChangeOver: max(on, off) + us(t, "change-over", 0, 500_000)}
		latest := us(t, "latest", 0, int(min(on, off)/time.Microsecond/4))
		w := drawWorld(t, 2)
		p := NewPair(on, off, cfg.ChangeOver, NoTrouble)
		slack := 4*latest + 2*minPace
		now := us(t, "begin", 1, 1000)
		for begun, end := now, w.end(); now < end; {
			s := w.look(now)
			v := p.Sample(now, s[KeyContact], s[SecondContact])
			still, keyStill := min(w.still(now, 2), now-begun), min(w.still(now, 1), now-begun)
			latched := v.Trouble == BothOpen || v.Trouble == BothClosed
			// A second contact that floods the queue hides when the key's contact moved: half a window at most.
			if !s[KeyContact].Active && keyStill > off+off/2+slack && (!v.Known || v.Position == On) {
				t.Fatalf("at %v: open for %v, but %+v", now, keyStill, v)
			}
			switch l := levelsOf(s[KeyContact], s[SecondContact]); {
			case l == pairOn && still > on+slack && v.Position != On && !latched,
				l == pairOff && still > off+slack && (!v.Known || v.Position != Off),
				(l == 0 || l == pairOn|pairOff) && still > cfg.ChangeOver+slack && !latched:
				t.Fatalf("at %v: %02b for %v, but %+v", now, l, still, v)
			}
			next := w.next(now)
			switch {
			case s[KeyContact].Edges || s[SecondContact].Edges:
				next = now + cfg.pace(now, v, s[KeyContact].Edges)
			case v.Next != 0:
				next = min(next, v.Next)
			}
			now = max(next, now+1)
			if latest > 0 && rapid.Bool().Draw(t, "late") {
				now += us(t, "by", 0, int(latest/time.Microsecond))
			}
		}
	})
}

// The same of one contact; and a contact that doesn't settle is told in time.
func TestDebouncerIsInTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		on, off := us(t, "on", 1000, 150_000), us(t, "off", 1000, 150_000)
		cfg := KeyConfig{DebounceOn: on, DebounceOff: off}
		latest := us(t, "latest", 0, int(min(on, off)/time.Microsecond/4))
		w := drawWorld(t, 1)
		d := NewDebouncer(on, off)
		now := us(t, "begin", 1, 1000)
		unsettled, asked := now, time.Duration(0) // since when the Debouncer has been asking for looks
		for begun, end := now, w.end(); now < end; {
			s := w.look(now)[KeyContact]
			v := d.Sample(now, s)
			length, level := off, Off
			if s.Active {
				length, level = on, On
			}
			slack := 4 * latest
			if length < 2*minPace {
				slack += 2 * minPace
			}
			if still := min(w.still(now, 1), now-begun); still > length+slack && (!v.Known || v.Position != level) {
				t.Fatalf("at %v: %v for %v, but %+v", now, level, still, v)
			}
			if v.Next == 0 || asked == 0 {
				unsettled = now
			}
			asked = v.Next
			if now-unsettled > ChatterLimit+on+off+2*maxPace+4*latest && v.Position != Fault {
				t.Fatalf("at %v: not settled for %v, but %+v", now, now-unsettled, v)
			}
			next := w.next(now)
			switch {
			case s.Edges:
				next = now + cfg.pace(now, v, true)
			case v.Next != 0:
				next = min(next, v.Next)
			}
			now = max(next, now+1)
			if latest > 0 && rapid.Bool().Draw(t, "late") {
				now += us(t, "by", 0, int(latest/time.Microsecond))
			}
		}
	})
}
