package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/spf13/cobra"

	"keyswitchd/internal/config"
	"keyswitchd/internal/keyswitch"
	"keyswitchd/internal/status"
	"keyswitchd/sshctl"
)

// daemonWithin bounds asking the daemon for its reason and its times; without them the message is less exact.
const daemonWithin = 2 * time.Second

func newWarnSessions(cfgPath *string) *cobra.Command {
	return &cobra.Command{
		Use:    "warn-sessions closing|expiring",
		Short:  "Write to the terminals of the SSH sessions (what keyswitchd-warn@.service runs)",
		Hidden: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] != string(sshctl.Closing) && args[0] != string(sshctl.Expiring) {
				return usage("warn-sessions takes one word, closing or expiring, but got %q", args)
			}
			w := warning{end: true, now: time.Now()}
			if cfg, err := config.Load(*cfgPath); err == nil { // the daemon goes by what it read before, and people need the warning
				w.end, w.grace, w.graceKnown = cfg.EndSessions, cfg.Grace, true
			}
			w.status = askDaemon(cmd.Context())
			told, err := sshctl.WarnRemoteSessions(cmd.Context(), w.text(sshctl.Warning(args[0])))
			if err != nil {
				return fmt.Errorf("warn-sessions: %w", err)
			}
			for _, t := range told {
				what := "warned"
				if t.Err != nil {
					what = "not warned: " + t.Err.Error()
				}
				fmt.Fprintf(cmd.OutOrStdout(), "session %s of %s on %s: %s\n", t.Session, t.User, t.Terminal, what)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%d terminals of SSH sessions\n", len(told))
			return nil
		},
	}
}

// askDaemon is what the daemon says of itself, or nothing.
func askDaemon(ctx context.Context) status.Status {
	ctx, cancel := context.WithTimeout(ctx, daemonWithin)
	defer cancel()
	conn, err := dbus.ConnectSystemBus(dbus.WithContext(ctx))
	if err != nil {
		return status.Status{}
	}
	defer conn.Close()
	s, err := status.Ask(ctx, conn)
	if err != nil {
		return status.Status{}
	}
	return s
}

// warning is what the message is made of. Of the daemon's status only times and codes are used, never its words: an error
// message may quote something that a terminal takes for a command.
type warning struct {
	now        time.Time
	end        bool          // sessions = "end"
	grace      time.Duration // if graceKnown
	graceKnown bool
	status     status.Status
}

// text is the message, in plain ASCII.
func (w warning) text(about sshctl.Warning) string {
	var b strings.Builder
	if about == sshctl.Closing {
		b.WriteString("keyswitchd: SSH on this machine was closed" + w.because() + ".\n")
		end := w.status.SessionsEnd
		if end == nil && w.graceKnown {
			at := w.now.Add(w.grace)
			end = &at
		}
		if end == nil {
			b.WriteString("This session ends in a moment.")
		} else {
			b.WriteString("This session ends " + w.when(*end) + ".")
		}
		b.WriteString(" Save your work now. It stays if SSH is opened again before then.\n")
		return b.String()
	}
	b.WriteString("keyswitchd: SSH on this machine closes by itself ")
	if at := w.status.Expires; at != nil {
		b.WriteString(w.when(*at))
	} else {
		b.WriteString("soon")
	}
	b.WriteString(", when its time is over.\n")
	switch {
	case !w.end:
		b.WriteString("This session stays until you leave it, but nobody new gets in.")
	case w.grace >= time.Second:
		fmt.Fprintf(&b, "This session ends %s later. Save your work.", long(w.grace))
	default:
		b.WriteString("This session ends then. Save your work.")
	}
	switch {
	case w.status.Override == "on":
		b.WriteString(" For more time, at the console: keyswitchd on --for 30m\n")
	case !w.end:
		b.WriteString(" For more time, have the key turned off and on.\n")
	case w.grace >= 5*time.Second:
		fmt.Fprintf(&b, " For more time, have the key turned off and, within %s, on.\n", long(w.grace))
	default:
		b.WriteString(" For more time, log out, have the key turned off and on, and come back.\n")
	}
	return b.String()
}

// because is the reason, if it is one of those that people at a terminal can make something of.
func (w warning) because() string {
	switch keyswitch.Kind(w.status.Code) {
	case keyswitch.KeyOff:
		return ": the key was turned off"
	case keyswitch.KeyFault:
		return ": the key can't be read"
	case keyswitch.Expired:
		return ": its time is over"
	case keyswitch.Locked:
		return " by somebody at the console"
	}
	return ""
}

// when is a moment, for people whose clock may be in another zone than this machine's.
func (w warning) when(at time.Time) string {
	left := at.Sub(w.now).Round(time.Second)
	if left <= 0 {
		return "now"
	}
	return fmt.Sprintf("in %s, at %s", long(left), at.Local().Format("15:04:05"))
}

// long writes a duration in words.
func long(d time.Duration) string {
	unit := func(n time.Duration, name string) string {
		if n == 1 {
			return "1 " + name
		}
		return fmt.Sprintf("%d %ss", n, name)
	}
	minutes, seconds := d.Round(time.Second)/time.Minute, d.Round(time.Second)%time.Minute/time.Second
	switch {
	case minutes == 0:
		return unit(seconds, "second")
	case seconds == 0 || minutes >= 5:
		return unit(minutes, "minute")
	}
	return unit(minutes, "minute") + " " + unit(seconds, "second")
}
