package gpio

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
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

// randomWaveform turns the contact now and then, with bounce, spikes and spells of chatter of any speed.
func randomWaveform(r *rand.Rand) waveform {
	var w waveform
	now := time.Duration(0)
	for range 5 + r.IntN(20) {
		now += time.Duration(1 + r.Int64N(int64(400*time.Millisecond)))
		switch r.IntN(4) {
		case 0: // a clean turn
			w = append(w, now)
		case 1: // a turn, or a spike, that bounces
			for range 1 + r.IntN(20) {
				now += time.Duration(1 + r.Int64N(int64(3*time.Millisecond)))
				w = append(w, now)
			}
		case 2: // chatter with a period that looks may fall in step with
			every := []time.Duration{100 * time.Microsecond, 2500 * time.Microsecond, 5 * time.Millisecond, 25 * time.Millisecond}[r.IntN(4)]
			for range 1 + r.IntN(int(3*time.Second/every)) {
				now += every
				w = append(w, now)
			}
		case 3: // a slow wobble
			for range r.IntN(10) {
				now += time.Duration(1 + r.Int64N(int64(60*time.Millisecond)))
				w = append(w, now)
			}
		}
	}
	return w
}

// TestDebouncerAgainstOracle looks at random waveforms as Key.Run does, sometimes late, and compares what the Debouncer
// says with what the waveform, which it never sees, was.
func TestDebouncerAgainstOracle(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 0))
		on := time.Duration(1+r.IntN(100)) * time.Millisecond
		off := time.Duration(1+r.IntN(100)) * time.Millisecond
		latest := time.Duration(r.Int64N(int64(min(on, off)/2))) / 2 // how late a look may be
		w := randomWaveform(r)
		end := w[len(w)-1] + time.Second

		d := NewDebouncer(on, off)
		cfg := KeyConfig{DebounceOn: on, DebounceOff: off}
		now, seen := time.Duration(0), 0
		var was Verdict
		var unsettled time.Duration // since when the Debouncer has been asking for looks
		for now < end {
			closed, n := w.closed(now), w.until(now)
			s := Sample{Active: closed, Edges: n != seen}
			if s.Edges {
				s.Age = w.stable(now)
			}
			v := d.Sample(now, s)
			seen = n
			window := off
			if closed {
				window = on
			}

			// Sound: a position is new only after a full window without a move, at the level that it says.
			fresh := v.Known && v.Position != Fault && (!was.Known || v.Position != was.Position)
			if fresh && (w.stable(now) < window || (v.Position == On) != closed) {
				t.Fatalf("seed %d at %v: %v after %v of %v stable, closed %v", seed, now, v.Position, w.stable(now), window, closed)
			}
			// Complete: what has been stable for the window is known, but for the delays; windows that
			// are short for the pace may take two of it more.
			slack := 4 * latest
			if window < 2*minPace {
				slack += 2 * minPace
			}
			if w.stable(now) > window+slack && (!v.Known || v.Position == Fault || (v.Position == On) != closed) {
				t.Fatalf("seed %d at %v: stable for %v (window %v), closed %v, but %+v", seed, now, w.stable(now), window, closed, v)
			}
			// Fault comes from 2 s without a full window, and from nothing else.
			if v.Next == 0 || was.Next == 0 {
				unsettled = now
			}
			if v.Known && v.Position == Fault && was.Position != Fault && now-unsettled < ChatterLimit {
				t.Fatalf("seed %d at %v: fault after %v", seed, now, now-unsettled)
			}
			if v.Position != Fault && v.Next != 0 && now-unsettled > ChatterLimit+on+off+2*maxPace+4*latest {
				t.Fatalf("seed %d at %v: unsettled for %v and no fault", seed, now, now-unsettled)
			}
			was = v

			// The next look: after the pace if there were edges, else at the next edge or when the Debouncer asks.
			next := end
			if v.Next != 0 {
				next = v.Next
			}
			if s.Edges {
				next = now + cfg.pace(now, v, true)
			} else if seen < len(w) {
				next = min(next, max(w[seen], now+1))
			}
			now = max(next, now+1)
			if latest > 0 {
				now += time.Duration(r.Int64N(int64(latest)))
			}
		}
	}
}
