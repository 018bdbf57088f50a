//go:build e2e

package e2e

import (
	"testing"
	"time"

	"keyswitchd/test/inside"
)

const permitFile = inside.PermitFile

// clock is CLOCK_MONOTONIC, by which two processes can compare.
func clock() time.Duration { return inside.Clock() }

func missing(path string) bool { return inside.Missing(path) }

// watcher is the second process, which tries to connect all the time.
type watcher struct{ *inside.Watcher }

func startWatcher(t *testing.T) watcher {
	t.Helper()
	w, err := inside.StartWatcher(4 * time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	return watcher{w}
}

// stop ends the watcher and returns each connection it was granted.
func (w watcher) stop(t *testing.T) []inside.Knock {
	t.Helper()
	knocks, err := w.Stop()
	if err != nil {
		t.Fatal(err)
	}
	return knocks
}

// count is the number of connections granted so far.
func (w watcher) count() int { return len(w.Knocks()) }
