//go:build virtualpi

package faults

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"keyswitchd/test/inside"
)

const (
	chatterFor   = time.Minute
	chatterEvery = 700 * time.Microsecond // between two edges, at least
)

// chatter makes edges on the key's line for a minute. The fault is taken away when the minute is over, not before; then the key
// is where it was, on.
func chatter(s *site) error {
	h, err := inside.Take(inside.KeyLine)
	if err != nil {
		return err
	}
	var stop atomic.Bool
	var failure error
	var ended sync.WaitGroup
	begun := inside.Clock()
	ended.Go(func() {
		defer h.Close()
		for on := false; ; on = !on {
			if err := h.Set(on); err != nil {
				failure = err
				return
			}
			if on && (stop.Load() || inside.Clock()-begun > chatterFor) {
				return
			}
			time.Sleep(chatterEvery)
		}
	})
	s.later(func() error {
		// What is asked while the fault lasts has been asked; SSH has to be closed for all of the minute.
		at, err := s.silentFrom(begun)
		if err != nil {
			stop.Store(true)
			ended.Wait()
			return err
		}
		for inside.Clock()-begun < chatterFor-time.Second {
			time.Sleep(100 * time.Millisecond)
		}
		err = s.stayedShut(at)
		ended.Wait()
		if err == nil {
			err = failure
		}
		return err
	})
	return nil
}

func contains(s, part string) bool { return strings.Contains(s, part) }
