package gpio

import (
	"context"
	"time"
)

// Limits of the time between two attempts to open a line.
const (
	minRetry = 1 * time.Second
	maxRetry = 10 * time.Second
)

// backoff is the time to wait before the next attempt: minRetry, doubling up to maxRetry.
type backoff struct{ delay time.Duration }

// wait sleeps for the present delay, or until ctx ends, and doubles the delay.
func (b *backoff) wait(ctx context.Context) {
	b.delay = min(max(b.delay, minRetry), maxRetry)
	sleep(ctx, b.delay)
	b.delay *= 2
}

// reset starts again with the shortest delay.
func (b *backoff) reset() { b.delay = 0 }

// sleep waits for d and says true, or says false as soon as ctx ends.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
