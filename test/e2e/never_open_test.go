//go:build e2e

package e2e

import (
	"errors"
	"flag"
	"math/rand/v2"
	"testing"
	"time"

	"keyswitchd/internal/status"
)

var errNoAnswer = errors.New("no knock was answered")

var seed = flag.Uint64("seed", uint64(time.Now().UnixNano()), "of the random turns")

// TestNeverOpenWhileOff turns the key 50 times, with bounce, lets go at any moment of the opening, and has a second
// process knock all the time. No knock may be answered
//   - from the moment at which LED and status said "closed" with the key off, until the key is touched again;
//   - while there is neither a permit nor any process of ssh.service, whatever anybody says.
//
// Between the key's last bounce and "closed" a knock may be answered: sshd is being stopped. How long that takes
// is a matter for the benchmark; that it ends is awaited here.
func TestNeverOpenWhileOff(t *testing.T) {
	begin(t)
	t.Logf("-seed %d", *seed)
	random := rand.New(rand.NewPCG(*seed, 0))
	const turns = 50
	w := startWatcher(t)
	type window struct{ from, to time.Duration }
	var closed []window
	from := clock() // begin has seen it closed
	opened, voided := 0, 0
	for n := range turns {
		closed = append(closed, window{from, clock()})
		bounce(t, random, true)
		// The daemon has to see this turn before the next is judged, or an old "closed" would be taken for the new one.
		await(t, "the key seen on", statusIs("on", func(s status.Status) bool { return s.Key == "on" }))
		if n%5 == 0 {
			before := w.count()
			await(t, "open", listens(22))
			await(t, "a knock answered", func() error { return answered(w, before) })
			opened++
		} else {
			time.Sleep(time.Duration(random.Int64N(int64(700 * time.Millisecond)))) // somewhere within the opening
		}
		late := bounce(t, random, false)
		await(t, "closed", all(silent(22), ledIs(false), statusIs("closed", closedByKey)))
		from = clock()
		if late {
			// This process was held up so long that the bounce itself was a turn of the key. The daemon may be about to
			// see it, so nothing can be said of this stretch.
			from, voided = clock()+time.Hour, voided+1
		}
		time.Sleep(time.Duration(random.Int64N(int64(150 * time.Millisecond)))) // the stretch that is judged
	}
	closed = append(closed, window{from, clock()})
	knocks := w.stop(t)
	t.Logf("%d knocks answered, %d turns held until one was, %d stretches of %d not judged", len(knocks), opened, voided, len(closed))
	if len(knocks) < opened {
		t.Errorf("only %d knocks were answered: the watcher sees nothing", len(knocks))
	}
	for _, k := range knocks {
		if k.Forbidden {
			t.Errorf("a knock at %s was answered with no permit and no ssh.service", k.Begin)
		}
		for n, c := range closed {
			if k.Begin >= c.from && k.End <= c.to {
				t.Errorf("turn %d: a knock %s after \"closed\" was answered", n, k.Begin-c.from)
			}
		}
	}
}

// debounce is the default of debounce-on and debounce-off.
const debounce = 50 * time.Millisecond

// bounce turns the key as a worn contact does: up to 30 false contacts within some milliseconds. late says that this process
// was held up for so long that a stretch at the position that is left may count as a turn of its own.
func bounce(t *testing.T, random *rand.Rand, on bool) (late bool) {
	t.Helper()
	h, err := takeKey()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	set := func(on bool) {
		if err := h.set(on); err != nil {
			t.Fatal(err)
		}
	}
	var longest, left time.Duration
	for range random.IntN(31) {
		set(on)
		if left > 0 {
			longest = max(longest, clock()-left)
		}
		pause(random)
		left = clock()
		set(!on)
		pause(random)
	}
	set(on)
	if left > 0 {
		longest = max(longest, clock()-left)
	}
	return longest >= debounce
}

// pause is up to a millisecond, most often less.
func pause(random *rand.Rand) {
	for end := clock() + time.Duration(random.ExpFloat64()*float64(200*time.Microsecond)); clock() < end; {
	}
}

func answered(w watcher, before int) error {
	if w.count() == before {
		return errNoAnswer
	}
	return nil
}
