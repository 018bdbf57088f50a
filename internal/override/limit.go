package override

import (
	"sync"
	"time"
)

const (
	// burst requests of a user are looked at at once, then one every refill. What was allowed doesn't count.
	burst  = 5
	refill = 10 * time.Second
	// maxUsers bounds the memory of who has asked. A user beyond it is refused until another one's time is over.
	maxUsers = 256
)

// limiter bounds the refusals of each user: everybody may call, also in a loop, and each request that is looked at costs the
// daemon, logind and the journal something. One who asks too often takes nothing from the others.
type limiter struct {
	mu    sync.Mutex
	users map[uint32]*bucket
}

type bucket struct {
	tokens int
	since  time.Time // when tokens was right
	missed int       // requests refused unlooked since the last one that was looked at
}

// fill brings b up to date.
func (b *bucket) fill(now time.Time) {
	n := int(now.Sub(b.since) / refill)
	b.since = b.since.Add(time.Duration(n) * refill)
	if b.tokens += n; b.tokens >= burst {
		b.tokens, b.since = burst, now
	}
}

// take asks whether a request of the user may be looked at. missed is how many were not, before this one and since the last that
// was. Only the first of these (ok false, missed 0) is worth an entry in the journal.
func (l *limiter) take(uid uint32) (ok bool, missed int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	b := l.users[uid]
	if b == nil {
		if len(l.users) >= maxUsers && !l.forget(now) {
			return false, 1 // as if it were not the first: a flood of users must not fill the journal either
		}
		if l.users == nil {
			l.users = map[uint32]*bucket{}
		}
		b = &bucket{tokens: burst, since: now}
		l.users[uid] = b
	}
	b.fill(now)
	missed = b.missed
	if b.tokens == 0 {
		b.missed++
		return false, missed
	}
	b.tokens--
	b.missed = 0
	return true, missed
}

// giveBack makes up for a take.
func (l *limiter) giveBack(uid uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b := l.users[uid]; b != nil {
		b.tokens = min(b.tokens+1, burst)
	}
}

// forget makes room, and reports whether it could.
func (l *limiter) forget(now time.Time) bool {
	for uid, b := range l.users {
		if b.fill(now); b.tokens == burst {
			delete(l.users, uid)
		}
	}
	return len(l.users) < maxUsers
}
