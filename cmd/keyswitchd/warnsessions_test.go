package main

import (
	"strings"
	"testing"
	"time"

	"keyswitchd/internal/status"
	"keyswitchd/sshctl"
)

func TestWarningText(t *testing.T) {
	now := time.Date(2026, 11, 22, 18, 30, 0, 0, time.Local)
	in := func(d time.Duration) *time.Time { at := now.Add(d); return &at }
	for _, c := range []struct {
		name  string
		w     warning
		about sshctl.Warning
		want  string
	}{
		{"the key", warning{end: true, grace: 10 * time.Second, graceKnown: true, status: status.Status{Code: "key-off", Reason: "\x1b[2J"}}, sshctl.Closing,
			"keyswitchd: SSH on this machine was closed: the key was turned off.\n" +
				"This session ends in 10 seconds, at 18:30:10. Save your work now. It stays if SSH is opened again before then.\n"},
		{"the daemon knows better", warning{end: true, grace: 10 * time.Second, graceKnown: true,
			status: status.Status{Code: "lockdown", SessionsEnd: in(90 * time.Second)}}, sshctl.Closing,
			"keyswitchd: SSH on this machine was closed by somebody at the console.\n" +
				"This session ends in 1 minute 30 seconds, at 18:31:30. Save your work now. It stays if SSH is opened again before then.\n"},
		{"nobody knows", warning{end: true}, sshctl.Closing,
			"keyswitchd: SSH on this machine was closed.\n" +
				"This session ends in a moment. Save your work now. It stays if SSH is opened again before then.\n"},
		{"soon", warning{end: true, grace: 10 * time.Second, graceKnown: true, status: status.Status{Expires: in(5 * time.Minute)}}, sshctl.Expiring,
			"keyswitchd: SSH on this machine closes by itself in 5 minutes, at 18:35:00, when its time is over.\n" +
				"This session ends 10 seconds later. Save your work. For more time, have the key turned off and, within 10 seconds, on.\n"},
		{"soon, an override, no grace", warning{end: true, status: status.Status{Override: "on"}}, sshctl.Expiring,
			"keyswitchd: SSH on this machine closes by itself soon, when its time is over.\n" +
				"This session ends then. Save your work. For more time, at the console: keyswitchd on --for 30m\n"},
		{"soon, who is in stays", warning{}, sshctl.Expiring,
			"keyswitchd: SSH on this machine closes by itself soon, when its time is over.\n" +
				"This session stays until you leave it, but nobody new gets in. For more time, have the key turned off and on.\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.w.now = now
			got := c.w.text(c.about)
			if got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
			for line := range strings.Lines(got) {
				if len(line) > 140 {
					t.Errorf("%d characters in a line", len(line))
				}
			}
		})
	}
}
