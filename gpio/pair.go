package gpio

import "time"

// Levels of a Pair. The other two are faults that last no longer than the key is being turned.
const (
	pairOn  = contactClosed
	pairOff = secondClosed
)

// Pair turns looks at the key's contact and at the opposite one, both taken at once, into a position. Like a [Debouncer] it has
// no clock, no goroutine and no line.
//
// On is the key's contact closed and the second open, stable together for the on window. Off is the key's contact
// open for the off window, whatever the second does: closing never waits. When the contacts are equal, and for the change-over
// time were not settled in one of the two positions, a wire is cut or shorted, or somebody is at work on the cable: Fault.
// This fault is latched. It ends when the true off, the key's contact open and the second closed, has been stable for the off
// window, and with nothing else.
//
// Chatter that nobody could call a level is a Fault after [ChatterLimit], as a Debouncer's: not latched.
type Pair struct {
	key        Debouncer
	both       settler
	changeOver time.Duration
	lost       time.Duration // when the contacts ceased to be settled in a position, or the first look
	latched    Trouble       // BothOpen or BothClosed until the true off
	position   Position
	known      bool
	trouble    Trouble
}

// NewPair returns a Pair with the windows of [NewDebouncer] and a change-over time, which is at least as long as both windows.
// latched is what a Pair before it had latched, or NoTrouble.
func NewPair(on, off, changeOver time.Duration, latched Trouble) *Pair {
	p := &Pair{key: *NewDebouncer(on, off), latched: latched}
	on, off = max(on, MinDebounce), max(off, MinDebounce)
	longest := max(on, off)
	p.both.windows = [4]time.Duration{0: longest, pairOn: on, pairOff: off, contactClosed | secondClosed: longest}
	p.changeOver = max(changeOver, longest)
	return p
}

// Latched returns BothOpen or BothClosed until the true off has been seen, else NoTrouble.
func (p *Pair) Latched() Trouble { return p.latched }

// Sample takes in what was seen of both lines at time now, which comes from any clock that never goes back.
func (p *Pair) Sample(now time.Duration, key, second Sample) Verdict {
	k := p.key.Sample(now, key)
	edges, age := join(key, second)
	held := p.settledIn(pairOn) || p.settledIn(pairOff)
	first := !p.both.started
	p.both.look(now, levelsOf(key, second), edges, age)
	p.supervise(now, age, first || held, k)
	p.judge(k)
	return Verdict{Position: p.position, Known: p.known, Trouble: p.trouble, Next: p.next(k.Next), KeyNext: k.Next}
}

func (p *Pair) settledIn(l levels) bool { return p.both.settled() && p.both.levels == l }

// supervise latches what must not be, and releases it. held says that until this look the contacts were held to be in a
// position.
func (p *Pair) supervise(now, age time.Duration, held bool, key Verdict) {
	if held {
		p.lost = now - min(max(age, 0), p.changeOver/2)
	}
	switch {
	case p.settledIn(pairOff):
		if key.Known && key.Position == Off {
			p.latched = NoTrouble
		}
	case p.settledIn(pairOn), !p.both.settled():
		// The first proves nothing about a wire that was at fault; the second nothing at all.
	case p.latched == NoTrouble && now < p.lost+p.changeOver:
		// The key may be on its way.
	case p.both.levels == 0:
		p.latched = BothOpen
	default:
		p.latched = BothClosed
	}
}

// judge makes the position from what is known. Without a reason for another one the last one stands.
func (p *Pair) judge(key Verdict) {
	switch {
	case p.latched != NoTrouble:
		p.position, p.trouble = Fault, p.latched
	case key.Known && key.Position == Fault:
		p.position, p.trouble = Fault, Restless
	case p.both.restless:
		p.position, p.trouble = Fault, SecondRestless
	case key.Known && key.Position == Off:
		p.position, p.trouble = Off, NoTrouble
	case p.settledIn(pairOn) && key.Known: // and then the key is on by its own contact as well
		p.position, p.trouble = On, NoTrouble
	default:
		return
	}
	p.known = true
}

// next is the earliest time at which either window, or the change-over time, wants a look.
func (p *Pair) next(key time.Duration) time.Duration {
	next := key
	soonest := func(at time.Duration) {
		if at != 0 && (next == 0 || at < next) {
			next = at
		}
	}
	soonest(p.both.next())
	if p.latched == NoTrouble && (p.settledIn(0) || p.settledIn(contactClosed|secondClosed)) {
		soonest(p.lost + p.changeOver)
	}
	return next
}

// join returns whether either contact moved, and how long ago the last one did.
func join(key, second Sample) (edges bool, age time.Duration) {
	switch {
	case key.Edges && second.Edges:
		return true, min(key.Age, second.Age)
	case key.Edges:
		return true, key.Age
	default:
		return second.Edges, second.Age
	}
}
