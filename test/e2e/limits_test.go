//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"keyswitchd/internal/record"
	"keyswitchd/internal/status"
)

// max-on closes SSH, and tells so beforehand: the LED, the status, the journal. A key that stays on opens nothing afterwards, a turn
// does.
func TestMaxOnIsForetold(t *testing.T) {
	begin(t)
	configureAndReload(t, "max-on = \"1m\"\n")
	since := fromNow(t)
	turn(t, true)
	await(t, "open", opened())
	s, err := ask()
	if err != nil || s.Expires == nil {
		t.Fatalf("open, and the status names no end: %+v, %v", s, err)
	}
	end := *s.Expires
	await(t, "foretold", all(listens(22), statusIs("double-wink", func(s status.Status) bool {
		return s.LED == "double-wink" && s.Open && s.Code == "key-on" && contains(s.Reason, "closes soon", "max-on") && s.Expires.Equal(end)
	})))
	if left := time.Until(end); left > 6*time.Second {
		t.Errorf("foretold %s before the end, want a tenth of a minute", left)
	}
	journaled(t, since, record.Expiring, map[string]string{"KEY": "on", "REASON": "key-on", "LED": "double-wink"})
	await(t, "expired", all(silent(22), ledIs(false), statusIs("expired", func(s status.Status) bool {
		return s.Key == "on" && !s.Open && s.SSH == "inactive" && s.LED == "dark" && s.Code == "expired" && s.Expires == nil && !s.Fault
	})))
	if early := time.Until(end); early > time.Second {
		t.Errorf("closed %s before the end", early)
	}
	journaled(t, since, record.Expired, map[string]string{"KEY": "on", "REASON": "expired", "PERMIT": "false"})
	turn(t, false)
	await(t, "closed", shut())
	turn(t, true)
	await(t, "open after a turn", opened())
}

// With a grace time, the key closes the door at once and those who are inside have until then.
func TestGrace(t *testing.T) {
	begin(t)
	configureAndReload(t, "grace = \"20s\"\n")
	key := freshKey(t, "")
	turn(t, true)
	await(t, "open", opened())
	s := logIn(t, key)
	await(t, "one session", winking(1))
	since := fromNow(t)
	turn(t, false)
	var end time.Time
	await(t, "closed, with somebody inside", all(silent(22), statusIs("the grace time", func(s status.Status) bool {
		if s.SessionsEnd == nil {
			return false
		}
		end = *s.SessionsEnd
		return s.Key == "off" && !s.Open && s.SSH == "inactive" && s.LED == "slow-blink" && s.Sessions == 1 && s.Code == "key-off" && !s.Fault
	})))
	journaled(t, since, record.SessionsWarned, map[string]string{"KEY": "off", "SESSIONS": "1"})
	err := s.echo("still there")
	if err != nil && time.Now().Before(end) {
		t.Errorf("within the grace time: %v", err)
	}
	await(t, "the session ended", s.over)
	if early := time.Until(end); early > time.Second {
		t.Errorf("ended %s too soon", early)
	}
	await(t, "closed", shut())
	journaled(t, since, record.SessionsEnded, map[string]string{"KEY": "off", "SESSIONS": "1"})
}

// Turned on again within the grace time: they stay, and the journal says so.
func TestGraceIsTakenBack(t *testing.T) {
	begin(t)
	configureAndReload(t, "grace = \"2m\"\n")
	key := freshKey(t, "")
	turn(t, true)
	await(t, "open", opened())
	s := logIn(t, key)
	await(t, "one session", winking(1))
	turn(t, false)
	await(t, "closed, with somebody inside", all(silent(22), statusIs("the grace time", func(s status.Status) bool {
		return s.SessionsEnd != nil && !s.Open && s.Sessions == 1
	})))
	since := fromNow(t)
	turn(t, true)
	await(t, "open, and still inside", winking(1))
	await(t, "nobody is to be sent away", statusIs("no end of the sessions", func(s status.Status) bool { return s.SessionsEnd == nil }))
	if err := s.echo("still there"); err != nil {
		t.Error(err)
	}
	journaled(t, since, record.KeyTurned, map[string]string{"KEY": "on", "REASON": "key-on", "SESSIONS": "1"}, "the key is on; who is still logged in stays")
	// A grace time that is over by then would be none: what is left of it must not be used up the next time.
	configureAndReload(t, "grace = \"0s\"\n")
	turn(t, false)
	await(t, "closed", shut())
	await(t, "the session ended", s.over)
}

// journaled waits for an entry of a kind with these fields and words.
func journaled(t *testing.T, since string, kind record.Kind, fields map[string]string, words ...string) {
	t.Helper()
	await(t, "an entry of the kind "+kind.Name, func() error {
		all := daemonEntries(t, since)
		if !slices.ContainsFunc(all, func(e journalEntry) bool {
			for name, want := range fields {
				if e.text("KEYSWITCHD_"+name) != want {
					return false
				}
			}
			return e.text("MESSAGE_ID") == kind.ID && contains(e.text("MESSAGE"), words...)
		}) {
			return fmt.Errorf("none has %v and %q: %v", fields, words, all)
		}
		return nil
	})
}
