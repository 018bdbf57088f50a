package gpio

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// world is two contacts whose whole life is known, and the lines that tell of them as the kernel does: levels now, and the edges
// since the look before, of which it keeps the last 16 for each line of a request.
type world struct {
	moves   [2]waveform // by Contact; both begin open
	queue   int         // edges that are kept
	seen    time.Duration
	dropped time.Duration // when edges were dropped for the last time
	looked  bool
}

// drawWorld makes turns, bounce, spikes, chatter in step with any look, and contacts that move together or apart.
func drawWorld(t *rapid.T, contacts int) *world {
	w := &world{queue: contacts * queued}
	if contacts > 1 && rapid.Bool().Draw(t, "second begins closed") {
		w.moves[SecondContact] = waveform{0}
	}
	now := time.Duration(0)
	for range rapid.IntRange(1, 12).Draw(t, "spells") {
		now += us(t, "pause", 1, 700_000)
		n, every := 1, time.Duration(0)
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0: // a clean move
		case 1: // bounce
			n, every = rapid.IntRange(1, 12).Draw(t, "bounces"), us(t, "bounce", 1, 5000)
		case 2: // chatter
			every = us(t, "chatter", 100, 30_000)
			n = rapid.IntRange(1, int(min(2600*time.Millisecond/every, 400))).Draw(t, "edges")
		case 3: // a wobble
			n, every = rapid.IntRange(1, 6).Draw(t, "wobbles"), us(t, "wobble", 1000, 120_000)
		}
		which := 0
		if contacts > 1 {
			which = rapid.IntRange(0, 2).Draw(t, "contact")
		}
		for i := range n {
			if i > 0 {
				now += every
			}
			for c := range contacts {
				if which == c || which == 2 {
					w.moves[c] = append(w.moves[c], now)
				}
			}
		}
	}
	return w
}

func us(t *rapid.T, label string, least, most int) time.Duration {
	return time.Duration(rapid.IntRange(least, most).Draw(t, label)) * time.Microsecond
}

// look is what the lines tell at now.
func (w *world) look(now time.Duration) (samples [2]Sample) {
	var edges []time.Duration // of both lines since the look before
	for c := range w.moves {
		samples[c].Active = w.moves[c].closed(now)
		if w.looked {
			edges = append(edges, w.moves[c][w.moves[c].until(w.seen):w.moves[c].until(now)]...)
		}
	}
	if len(edges) > w.queue {
		w.dropped = now
		slices.Sort(edges)
		edges = edges[len(edges)-w.queue:]
	}
	for c := range w.moves {
		if n := w.moves[c].until(now); len(edges) > 0 && n > 0 && w.moves[c][n-1] >= slices.Min(edges) && w.moves[c][n-1] > w.seen {
			samples[c].Edges, samples[c].Age = true, now-w.moves[c][n-1]
		}
	}
	w.seen, w.looked = now, true
	return samples
}

// next is when a contact moves after now, or an hour later.
func (w *world) next(now time.Duration) time.Duration {
	next := now + time.Hour
	for _, m := range w.moves {
		if n := m.until(now); n < len(m) {
			next = min(next, m[n])
		}
	}
	return next
}

func (w *world) end() time.Duration {
	end := time.Duration(0)
	for _, m := range w.moves {
		if len(m) > 0 {
			end = max(end, m[len(m)-1])
		}
	}
	return end + 3*time.Second
}

// still is for how long nothing has moved at now, of the first contacts.
func (w *world) still(now time.Duration, contacts int) time.Duration {
	least := now
	for _, m := range w.moves[:contacts] {
		least = min(least, m.stable(now))
	}
	return least
}

// drawLook is when the next look is: at any time, be it when it was asked for, at an edge, too early or much too late.
func drawLook(t *rapid.T, w *world, now, asked time.Duration) time.Duration {
	if asked == 0 {
		asked = w.next(now)
	}
	next := asked
	switch rapid.IntRange(0, 7).Draw(t, "wake-up") {
	case 0, 1, 2: // as asked for
	case 3: // at the next edge
		next = w.next(now)
	case 4: // late
		next += us(t, "late", 1, 100_000)
	case 5: // frozen, suspended
		next += us(t, "frozen", 1, 4_000_000)
	default: // for no reason
		next = now + us(t, "wake-up after", 1, 60_000)
	}
	return min(max(next, now+1), now+time.Minute)
}

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
