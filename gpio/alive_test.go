package gpio

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// stuckBoard is a simulated board whose line, once stuck, never comes back from a look: a driver that hangs.
type stuckBoard struct {
	*Simulated
	stuck chan struct{}
}

type stuckInput struct {
	Input
	b *stuckBoard
}

func (b *stuckBoard) OpenKey(cfg KeyConfig) (Input, error) {
	in, err := b.Simulated.OpenKey(cfg)
	return stuckInput{in, b}, err
}

func (in stuckInput) Sample() (key, second Sample, err error) {
	if in.b.stuck != nil {
		<-in.b.stuck
	}
	return in.Input.Sample()
}

// Check tells a key that is looked at from one that nobody looks at any more.
func TestCheckTellsWhetherAnyoneLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		board := &stuckBoard{Simulated: NewSimulated()}
		key := NewKey(board, KeyConfig{Line: "GPIO17", DebounceOn: 50 * time.Millisecond, DebounceOff: 50 * time.Millisecond})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- key.Run(ctx, func(Reading) {}) }()
		check := func(what string, want bool) {
			t.Helper()
			time.Sleep(15 * time.Second)
			synctest.Wait()
			if got := key.Check(); got != want {
				t.Errorf("%s: alive %v, want %v", what, got, want)
			}
			synctest.Wait()
		}
		check("idle", true)
		check("idle, looked at after the first check", true)
		board.Break(errors.New("gone"))
		check("lost", true)
		check("lost for longer, being opened again and again", true)
		board.Break(nil)
		check("mended", true)
		check("idle again", true)
		stuck := make(chan struct{})
		board.stuck = stuck
		key.Check()
		synctest.Wait()
		check("stuck", false)
		check("stuck for longer", false)
		close(stuck)
		check("alive again", true)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
