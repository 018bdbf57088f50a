package override

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l limiter
		count := func(uid uint32, n int) (ok, entries int) {
			for range n {
				looked, missed := l.take(uid)
				if looked {
					ok++
				}
				if looked || missed == 0 {
					entries++
				}
			}
			return ok, entries
		}
		if ok, entries := count(1000, 10000); ok != burst || entries != burst+1 {
			t.Errorf("10000 at once: %d looked at, %d entries, want %d and one more", ok, entries, burst)
		}
		if ok, _ := count(1001, 1); ok != 1 {
			t.Error("another user is refused, too")
		}
		time.Sleep(refill)
		if ok, missed := l.take(1000); !ok || missed != 10000-burst {
			t.Errorf("after a while: %t, %d missed, want %d", ok, missed, 10000-burst)
		}
		// An hour of a call each second.
		ok, entries := 0, 0
		for range 3600 {
			time.Sleep(time.Second)
			o, e := count(1000, 1)
			ok, entries = ok+o, entries+e
		}
		if ok > 3600/10+1 || entries > 2*ok {
			t.Errorf("an hour: %d looked at, %d entries", ok, entries)
		}
		time.Sleep(time.Hour)
		for range 100 { // what is allowed doesn't count
			if ok, _ := l.take(1000); !ok {
				t.Fatal("refused although all before were allowed")
			}
			l.giveBack(1000)
		}
	})
}

// The memory of who asks is bounded, and a crowd of users gets no entry each.
func TestLimiterOfManyUsers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l limiter
		ok, entries := 0, 0
		for uid := range uint32(4 * maxUsers) {
			looked, missed := l.take(uid)
			if looked {
				ok++
			}
			if looked || missed == 0 {
				entries++
			}
		}
		if ok != maxUsers || entries != maxUsers || len(l.users) != maxUsers {
			t.Errorf("%d looked at, %d entries, %d remembered, want %d each", ok, entries, len(l.users), maxUsers)
		}
		time.Sleep(refill)
		if ok, _ := l.take(4 * maxUsers); !ok || len(l.users) != 1 {
			t.Errorf("later: %t, %d remembered", ok, len(l.users))
		}
	})
}
