package gpio

import "time"

// Debouncer turns looks at one contact into a position. It has no clock, no goroutine and no line: the position is a
// function of the samples and of their times alone.
//
// A level counts when it has been stable for its whole window, as [settler] has it. While the line is unsettled the last stable
// position stands. When it is still restless [ChatterLimit] after it became so, the position is Fault until a level has
// been stable for a full window.
type Debouncer struct {
	contact  settler
	position Position
	known    bool
}

// Verdict is what a [Debouncer] or a [Pair] concludes from the samples so far.
type Verdict struct {
	Position Position      // the stable position, or Fault
	Known    bool          // false until something is known: Position means nothing yet
	Trouble  Trouble       // what is wrong if Position is Fault
	Next     time.Duration // when to sample again at the latest, on the clock of Sample; 0: not before an edge
	KeyNext  time.Duration // what Next would be without a second contact
}

// Trouble is why a position is Fault though the lines can be read.
type Trouble uint8

// Troubles.
const (
	NoTrouble      Trouble = iota
	Restless               // the key's contact has not been stable for ChatterLimit
	SecondRestless         // both contacts have not been stable together for ChatterLimit, and it isn't the key's contact alone
	BothOpen               // a Pair's contacts were both open for longer than the change-over time
	BothClosed             // a Pair's contacts were both closed for longer than the change-over time
)

// NewDebouncer returns a Debouncer whose contact is on after being closed for on, and off after being open for off.
// Windows shorter than [MinDebounce] count as that.
func NewDebouncer(on, off time.Duration) *Debouncer {
	d := &Debouncer{}
	d.contact.windows = [4]time.Duration{0: max(off, MinDebounce), contactClosed: max(on, MinDebounce)}
	return d
}

// Sample takes in what was seen of the line at time now, which comes from any clock that never goes back.
func (d *Debouncer) Sample(now time.Duration, s Sample) Verdict {
	d.contact.look(now, levelsOf(s, Sample{}), s.Edges, s.Age)
	v := Verdict{Next: d.contact.next(), KeyNext: d.contact.next()}
	switch {
	case d.contact.restless:
		d.position, d.known = Fault, true
		v.Trouble = Restless
	case d.contact.settled() && d.contact.levels == contactClosed:
		d.position, d.known = On, true
	case d.contact.settled():
		d.position, d.known = Off, true
	}
	v.Position, v.Known = d.position, d.known
	return v
}

// levelsOf puts two looks together.
func levelsOf(key, second Sample) (l levels) {
	if key.Active {
		l |= contactClosed
	}
	if second.Active {
		l |= secondClosed
	}
	return l
}
