package gpio

import "time"

// ChatterLimit is how long a contact may go without settling. After that its position is not known: Fault.
const ChatterLimit = 2 * time.Second

// minSamples is how many looks a stable window needs: its begin, its middle, its end. Two could be aliased by
// chatter whose edges the kernel merged.
const minSamples = 3

// levels is what was seen of the contacts in one look: contactClosed, secondClosed, both or neither.
type levels uint8

const (
	contactClosed levels = 1 << iota
	secondClosed
)

// settler tells whether levels have been the same for long enough. It has no clock: what it says is a function of the looks
// and of their times alone.
//
// Levels are settled when they have been stable for their whole window: every look in the window saw them, there were at
// least three of them, none was further from the one before than the window is long, and no edge came between them. Edges
// prove that something moved, and when; only levels say where to. The kernel queues 16 edges a line and drops older
// ones, so one edge and a thousand mean the same.
type settler struct {
	windows [4]time.Duration // how long each levels must be stable

	started   bool
	settling  bool
	restless  bool          // not settled for ChatterLimit; until it is settled again
	levels    levels        // which the running window is about, or the settled ones
	unsettled time.Duration // when the settled state ended
	began     time.Duration // when the running window began
	last      time.Duration // when the last look was taken
	samples   int           // in the running window
}

// settled says whether levels is a stable state now.
func (s *settler) settled() bool { return s.started && !s.settling }

// look takes in what was seen at time now, which comes from any clock that never goes back; edges says that there were edges
// since the look before, the last of them age ago.
//
// The window after an edge begins with the edge, not with the look that tells of it; but at most half of it is
// over then: no window rests on what the kernel remembers alone.
func (s *settler) look(now time.Duration, l levels, edges bool, age time.Duration) {
	late := s.settling && now-s.last > s.windows[s.levels]
	moved := edges || l != s.levels
	s.last = now
	switch {
	case !s.started, !s.settling && moved:
		s.started, s.settling = true, true
		s.unsettled = now
		s.restart(now, l, edges, age)
	case !s.settling:
		// Nothing happened.
	case moved || late:
		if now-s.unsettled >= ChatterLimit {
			s.restless = true
		}
		s.restart(now, l, edges, age)
	default:
		s.samples++
		if now-s.began >= s.windows[s.levels] && s.samples >= minSamples {
			s.settling, s.restless = false, false
		}
	}
}

// restart begins a window: nothing before it counts.
func (s *settler) restart(now time.Duration, l levels, edges bool, age time.Duration) {
	s.levels = l
	s.samples = 1
	s.began = now
	if edges {
		s.began -= min(max(age, 0), s.windows[l]/2)
	}
}

// next is when the running window wants its next look: one between the first and the end, one at the end, and after
// that, if looks came late and are too few, half a window later. It is never further away than half a window, or a look that
// is a little late would be too late. 0: not before an edge.
func (s *settler) next() time.Duration {
	window := s.windows[s.levels]
	end := s.began + window
	switch {
	case !s.settling:
		return 0
	case s.last >= end:
		return s.last + window/2
	case s.samples < minSamples-1:
		return s.last + (end-s.last)/2
	default:
		return min(end, s.last+(window+1)/2)
	}
}
