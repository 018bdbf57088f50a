package status

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"
)

// Write prints s for a person. now is the time to count from.
func (s Status) Write(w io.Writer, now time.Time) error {
	var b strings.Builder
	fmt.Fprintf(&b, "SSH is %s: %s\n", s.headline(), s.Reason)
	if s.Advice != "" {
		fmt.Fprintf(&b, "%10s  %s\n", "do", strings.ReplaceAll(s.Advice, "\n", "\n            "))
	}
	b.WriteByte('\n')
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%10s  %s\n", name, fmt.Sprintf(format, args...))
	}
	if s.Running {
		row("key", "%s", s.Key)
	}
	if s.Unit != "" {
		row("unit", "%s, %s", s.Unit, s.SSH)
	}
	if !s.Since.IsZero() {
		row("since", "%s (%s ago)", s.Since.Local().Format("Mon 2006-01-02 15:04:05"), ago(now.Sub(s.Since)))
	}
	if s.Expires != nil {
		row("until", "%s (in %s), then %s", s.Expires.Local().Format("Mon 15:04:05"), ago(s.Expires.Sub(now)), s.afterwards())
	}
	if s.Override != "auto" && s.Override != "" {
		row("override", "%s, by %s", s.Override, cmp.Or(s.OverrideBy, "nobody knows whom"))
	}
	for _, u := range s.Units {
		if u.Guarded {
			row("also", "%s, %s", u.Name, u.Active)
		} else {
			row("also", "%s, %s, NOT guarded: keyswitchd arm", u.Name, u.Active)
		}
	}
	if s.Running {
		end := ""
		if s.SessionsEnd != nil {
			end = fmt.Sprintf(", to be ended at %s (in %s)", s.SessionsEnd.Local().Format("15:04:05"), ago(s.SessionsEnd.Sub(now)))
		}
		row("sessions", "%d logged in%s", s.Sessions, end)
		row("led", "%s, %s", s.LED, ledMeaning(s.LED))
		if s.LEDError != "" {
			row("", "but the LED can't be driven: %s", s.LEDError)
		}
		row("hardening", "%s", s.Hardening.line())
	}
	for _, p := range s.Hardening.Problems {
		row("", "%s", p)
	}
	for _, p := range s.Problems {
		row("problem", "%s", p)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// afterwards is what holds once Expires is over.
func (s Status) afterwards() string {
	if s.Override == "on" {
		return "SSH closes"
	}
	return "the key must be turned off and on"
}

func (s Status) headline() string {
	switch {
	case s.SSH == "unknown":
		return "in an unknown state"
	case s.SSH == "activating":
		return "being opened"
	case s.SSH == "deactivating":
		return "being closed"
	case s.Open:
		return "OPEN"
	default:
		return "closed"
	}
}

func (h Hardening) line() string {
	switch {
	case h.Verified && h.At != nil:
		return "verified by sshd on " + h.At.Local().Format("Mon 2006-01-02 15:04:05") + "; each start of SSH checks that nothing changed"
	case h.At != nil:
		return "REFUSED on " + h.At.Local().Format("Mon 2006-01-02 15:04:05")
	default:
		return "not verified yet; that happens at each start of SSH"
	}
}

func ledMeaning(pattern string) string {
	switch pattern {
	case "dark":
		return "closed"
	case "solid":
		return "open and verified"
	case "slow-blink":
		return "changing, or a start being retried"
	case "wink":
		return "open, and someone is logged in"
	case "double-wink":
		return "open, and it closes soon by itself"
	case "fast-blink":
		return "fault: closed"
	default:
		return "unknown"
	}
}

// ago is a duration as a person says it, to two units.
func ago(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%d d %d h", int(d.Hours())/24, int(d.Hours())%24)
	}
}
