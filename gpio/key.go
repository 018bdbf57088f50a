package gpio

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Limits of the time for which a [Key] looks away after an edge.
const (
	minPace = 4 * time.Millisecond
	maxPace = 50 * time.Millisecond
)

// Key is the key: its contact, or its two opposite contacts, debounced, reopened for as long as it takes.
type Key struct {
	board   Board
	cfg     KeyConfig
	latched Trouble // outlives a line that is lost; only Run's goroutine uses it

	mu     sync.Mutex
	wake   context.CancelFunc // ends the wait in progress, nil while there is none
	looks  uint64             // at the line, or at the fact that it is lost
	wanted uint64             // what looks must have reached by the next Check
	away   bool               // the line is lost, Fault was reported, and it is not yet time to open it again
}

// pace is how long to look away after edges: half of the window still to go. It bounds what chatter costs, however fast it
// is: 40 looks a second with windows of 50 ms. It delays nothing, as the kernel keeps the time of the last edge; but windows
// below 8 ms are delayed by 8 ms at most. A key's contact that settles while only the second one moves is looked at
// whenever it asks for it, which is three times: closing never waits for the second.
func (c KeyConfig) pace(now time.Duration, v Verdict, keyMoved bool) time.Duration {
	most := min(c.DebounceOn/2, c.DebounceOff/2, maxPace) // the other level's window may be the shorter
	away := max(min(v.Next-now, most), minPace)
	if !keyMoved && v.KeyNext != 0 {
		away = min(away, v.KeyNext-now)
	}
	return away
}

// NewKey returns the key of cfg on board. Nothing is opened until Run.
func NewKey(board Board, cfg KeyConfig) *Key {
	return &Key{board: board, cfg: cfg}
}

// Run opens the line and reports the first position after a full stable window, then each change. A line that can't be
// opened, is lost or doesn't settle is reported as Fault at once; a line that was lost is opened again after 1 s, then
// at growing intervals up to 10 s, and must be stable for a full window before it counts. Contacts that contradict each other
// are a Fault that stays until the key has been seen off ([Pair]), for as long as the process lives. Run returns nil, with
// the lines released, when ctx ends, and never before. report is called from Run's goroutine.
func (k *Key) Run(ctx context.Context, report func(Reading)) error {
	var last Reading
	known := false
	say := func(r Reading) {
		if known && r.Position == last.Position && (r.Err == nil || r.Err.Error() == last.Err.Error()) {
			return
		}
		known, last = true, r
		report(r)
	}
	var retry backoff
	for ctx.Err() == nil {
		err := k.watch(ctx, func(r Reading) {
			if r.Err == nil {
				retry.reset()
			}
			say(r)
		})
		if ctx.Err() != nil {
			break
		}
		say(Reading{Position: Fault, Err: err})
		k.setAway(true)
		retry.wait(ctx)
		k.setAway(false)
	}
	return nil
}

// Check asks for one look at the line soon, as if there had been a time-out, and says whether the look that the Check
// before asked for was taken: if not, whoever looks is stuck, and the position that was last reported is worth nothing. Run
// needs no such help to see the key turn; it is for a caller that wakes anyway (the watchdog ping). The look also finds a
// chip that vanished without a word, as kernels before 6.6 let it, or an edge that the hardware missed. It never blocks.
func (k *Key) Check() (alive bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	alive = k.away || k.looks >= k.wanted
	k.wanted = k.looks + 1
	if k.wake != nil {
		k.wake()
	}
	return alive
}

func (k *Key) looked() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.looks++
}

func (k *Key) setAway(away bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.looks++
	k.away = away
}

// watch opens the lines and debounces them until ctx ends or they are lost. It returns why.
func (k *Key) watch(ctx context.Context, say func(Reading)) error {
	if err := k.cfg.check(); err != nil {
		return err
	}
	in, err := k.board.OpenKey(k.cfg)
	if err != nil {
		return err
	}
	// The lines are only read: nothing is lost when they can't be given back, and the kernel does it at exit.
	defer func() { _ = in.Close() }()
	start := time.Now()
	judge := k.judge()
	for {
		key, second, err := in.Sample()
		k.looked()
		if err != nil {
			return fmt.Errorf("gpio: reading %s: %w; the line is requested again by itself", k.cfg.lines(), err)
		}
		now := time.Since(start)
		v := judge(now, key, second)
		switch {
		case !v.Known:
		case v.Position == Fault:
			say(Reading{Position: Fault, Err: k.cfg.explain(v.Trouble)})
		default:
			say(Reading{Position: v.Position})
		}
		if key.Edges || second.Edges {
			// More are likely to follow, and each would cost a wake-up.
			if !sleep(ctx, k.cfg.pace(now, v, key.Edges)) {
				return ctx.Err()
			}
			continue
		}
		var timeout time.Duration
		if v.Next != 0 {
			// 0 would mean for ever; a time that is past is due at once.
			timeout = max(v.Next-time.Since(start), time.Microsecond)
		}
		if err := k.wait(ctx, in, timeout); err != nil {
			return fmt.Errorf("gpio: waiting for an edge of %s: %w; the line is requested again by itself", k.cfg.lines(), err)
		}
	}
}

// judge returns what decides about the samples of newly opened lines.
func (k *Key) judge() func(now time.Duration, key, second Sample) Verdict {
	if k.cfg.Second == "" {
		d := NewDebouncer(k.cfg.DebounceOn, k.cfg.DebounceOff)
		return func(now time.Duration, key, _ Sample) Verdict { return d.Sample(now, key) }
	}
	p := NewPair(k.cfg.DebounceOn, k.cfg.DebounceOff, k.cfg.ChangeOver, k.latched)
	return func(now time.Duration, key, second Sample) Verdict {
		v := p.Sample(now, key, second)
		k.latched = p.Latched()
		return v
	}
}

// wait is in.Wait, which Check ends too.
func (k *Key) wait(ctx context.Context, in Input, timeout time.Duration) error {
	waiting, wake := context.WithCancel(ctx)
	defer wake()
	k.setWake(wake)
	defer k.setWake(nil)
	err := in.Wait(waiting, timeout)
	if ctx.Err() == nil && waiting.Err() != nil {
		return nil // Check: the sample that follows tells if the line is lost
	}
	return err
}

func (k *Key) setWake(wake context.CancelFunc) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.wake = wake
}
