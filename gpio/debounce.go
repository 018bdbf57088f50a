package gpio

import "time"

// ChatterLimit is how long a line may go without settling. After that its position is not known: Fault.
const ChatterLimit = 2 * time.Second

// minSamples is how many looks a stable window needs: its begin, its middle, its end. Two could be aliased by
// chatter whose edges the kernel merged.
const minSamples = 3

// Debouncer turns looks at a contact into a position. It has no clock, no goroutine and no line: the position is a
// function of the samples and of their times alone.
//
// A level counts when it has been stable for its whole window: every sample in the window saw it, there were at least
// three of them, none was further from the one before than the window is long, and no edge came between them. Edges
// prove that something moved, and when; only levels say where to. The kernel queues 16 edges a line and drops older
// ones, so one edge and a thousand mean the same.
//
// While the line is unsettled the last stable position stands. When it is still restless [ChatterLimit] after it
// became so, the position is Fault until a level has been stable for a full window.
type Debouncer struct {
	on, off time.Duration

	position Position
	known    bool

	started   bool
	settling  bool
	active    bool          // the level that the running window is about, or the stable one
	unsettled time.Duration // when the line stopped being settled
	began     time.Duration // when the running window began
	last      time.Duration // when the last sample was taken
	samples   int           // in the running window
}

// Verdict is what a [Debouncer] concludes from the samples so far.
type Verdict struct {
	Position Position      // the stable position, or Fault
	Known    bool          // false until the first window is over: Position means nothing yet
	Next     time.Duration // when to sample again at the latest, on the clock of Sample; 0: not before an edge
}

// NewDebouncer returns a Debouncer whose contact is on after being closed for on, and off after being open for off.
// Windows shorter than [MinDebounce] count as that.
func NewDebouncer(on, off time.Duration) *Debouncer {
	return &Debouncer{on: max(on, MinDebounce), off: max(off, MinDebounce)}
}

// Sample takes in what was seen of the line at time now, which comes from any clock that never goes back.
//
// The window after an edge begins with the edge, not with the sample that tells of it; but at most half of it is
// over then: no window rests on what the kernel remembers alone.
func (d *Debouncer) Sample(now time.Duration, s Sample) Verdict {
	late := d.settling && now-d.last > d.window()
	moved := s.Edges || s.Active != d.active
	d.last = now
	switch {
	case !d.started, !d.settling && moved:
		d.started = true
		d.settling = true
		d.unsettled = now
		d.restart(now, s)
	case !d.settling:
		// Nothing happened.
	case moved || late:
		if now-d.unsettled >= ChatterLimit {
			d.position, d.known = Fault, true
		}
		d.restart(now, s)
	default:
		d.samples++
		if now-d.began >= d.window() && d.samples >= minSamples {
			d.settling = false
			d.position, d.known = Off, true
			if d.active {
				d.position = On
			}
		}
	}
	return Verdict{Position: d.position, Known: d.known, Next: d.next()}
}

// restart begins a window: nothing before it counts.
func (d *Debouncer) restart(now time.Duration, s Sample) {
	d.active = s.Active
	d.samples = 1
	d.began = now
	if s.Edges {
		d.began -= min(max(s.Age, 0), d.window()/2)
	}
}

// window is how long the present level must be stable.
func (d *Debouncer) window() time.Duration {
	if d.active {
		return d.on
	}
	return d.off
}

// next is when the running window wants its next sample: one between the first and the end, one at the end, and after
// that, if samples came late and are too few, half a window later.
func (d *Debouncer) next() time.Duration {
	end := d.began + d.window()
	switch {
	case !d.settling:
		return 0
	case d.last >= end:
		return d.last + d.window()/2
	case d.samples < minSamples-1:
		return d.last + (end-d.last)/2
	default:
		return end
	}
}
