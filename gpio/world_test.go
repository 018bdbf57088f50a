package gpio

import (
	"slices"
	"time"

	"pgregory.net/rapid"
)

// waveform is a contact that starts open and moves at the given times.
type waveform []time.Duration

// until counts the moves up to and including now.
func (w waveform) until(now time.Duration) int {
	i, exact := slices.BinarySearch(w, now)
	if exact {
		i++
	}
	return i
}

// closed says whether the contact is closed at now.
func (w waveform) closed(now time.Duration) bool { return w.until(now)%2 == 1 }

// stable says for how long the contact has not moved at now.
func (w waveform) stable(now time.Duration) time.Duration {
	if n := w.until(now); n > 0 {
		return now - w[n-1]
	}
	return now
}

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
