package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/spf13/cobra"

	"keyswitchd/internal/keyswitch"
	"keyswitchd/internal/override"
	"keyswitchd/internal/status"
)

// Exit codes of on, off and auto, from sysexits.h where it has one.
const (
	exitNotSo       = 1   // in force, but SSH is not as it should be; or not in force, and why is said
	exitUnavailable = 69  // the bus, logind or polkit doesn't answer
	exitTempFail    = 75  // another request is under way, or there were too many
	exitNoPerm      = 77  // refused: not at the machine, or not authenticated
	exitBrokenOff   = 130 // by Ctrl-C
)

const (
	defaultOn = 30 * time.Minute
	// settleWithin bounds waiting for SSH after the override is in force. systemd itself gives up sooner (TimeoutStartSec=).
	settleWithin = 3 * time.Minute
	settleEvery  = 100 * time.Millisecond
)

const overrideHelp = `

Only for somebody at the machine: logged in at its screen and keyboard or on its serial line, after an administrator's
password. On a serial line it takes sudo. Over SSH it is refused, with sudo too: turn the key. docs/override.md has the details.

Exit code: 0 in force, 1 in force but SSH is not so (and why), 4 the daemon is not running, 64 wrong command line,
69 the bus, logind or polkit does not answer, 75 try again later, 77 refused, 130 broken off.`

func newOn() *cobra.Command {
	var length time.Duration
	cmd := &cobra.Command{
		Use:   "on",
		Short: "Open SSH for a while without the key; at the machine only",
		Long: "Open SSH for a while, whatever the key says. Hardening and interlock hold as ever. It ends with its time, with a restart of the\n" +
			"daemon, when the key is turned from on to off, or with `keyswitchd off` or `auto`." + overrideHelp,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if length < keyswitch.MinOverride || length > keyswitch.MaxOverride {
				return usage("--for %s is out of range; use 1m to 24h, such as 30m", length)
			}
			return runOverride(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), keyswitch.Override{Mode: keyswitch.ForceOn, For: length})
		},
	}
	cmd.Flags().DurationVar(&length, "for", defaultOn, "for how long: `TIME` from 1m to 24h")
	return cmd
}

func newOff() *cobra.Command {
	return &cobra.Command{
		Use:   "off",
		Short: "Lock down: SSH stays closed whatever the key says; at the machine only",
		Long:  "Lock down: SSH is closed and stays closed, whatever the key says, also after a restart, until `keyswitchd auto` or `on`." + overrideHelp,
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runOverride(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), keyswitch.Override{Mode: keyswitch.ForceOff})
		},
	}
}

func newAuto() *cobra.Command {
	return &cobra.Command{
		Use:   "auto",
		Short: "Let the key decide again, after on or off; at the machine only",
		Long:  "Let the key decide again: the end of `keyswitchd on` and `off`." + overrideHelp,
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runOverride(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), keyswitch.Override{Mode: keyswitch.Auto})
		},
	}
}

func runOverride(ctx context.Context, in io.Reader, out io.Writer, o keyswitch.Override) error {
	conn, err := dbus.ConnectSystemBus(dbus.WithContext(ctx))
	if err != nil {
		return &exitError{Code: exitUnavailable,
			Err: fmt.Errorf("override: the system bus can't be reached: %w; is D-Bus running? type: systemctl status dbus.socket", err)}
	}
	defer conn.Close()
	agent, err := startAgent(ctx, in)
	if err != nil {
		return &exitError{Code: exitUnavailable, Err: err}
	}
	err = override.Ask(ctx, conn, o)
	agent.end()
	if err != nil {
		return overrideError(o, err)
	}
	s, err := settle(ctx, conn, o)
	if err != nil {
		return &exitError{Code: exitNotSo, Err: fmt.Errorf("override: %s is in force, but how SSH is can't be told: %w", o.Mode, err)}
	}
	line, asWanted := told(o, s, time.Now())
	if _, err := fmt.Fprintln(out, line); err != nil {
		return err
	}
	if !asWanted {
		return &exitError{Code: exitNotSo}
	}
	return nil
}

// overrideError gives an error of Ask its exit code.
func overrideError(o keyswitch.Override, err error) error {
	var r *override.Refusal
	switch {
	case errors.Is(err, status.ErrNotRunning):
		return &exitError{Code: status.ExitNotRunning, Err: errors.New("override: keyswitchd is not running; keyswitchd status says why")}
	case errors.Is(err, context.Canceled):
		return &exitError{Code: exitBrokenOff, Err: fmt.Errorf("override: %s was broken off", o.Mode)}
	case !errors.As(err, &r):
		return &exitError{Code: exitUnavailable, Err: err}
	}
	code := exitNoPerm
	switch r.Name {
	case override.Unavailable:
		code = exitUnavailable
	case override.Busy, override.TooMany:
		code = exitTempFail
	case override.NotInForce:
		return &exitError{Code: exitNotSo, Err: err}
	}
	return &exitError{Code: code, Err: fmt.Errorf("override: %s was refused: %w", o.Mode, err)}
}

// settle waits until SSH is as o wants it, or can't be, or for long enough.
func settle(ctx context.Context, conn *dbus.Conn, o keyswitch.Override) (status.Status, error) {
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	for began := time.Now(); ; {
		s, err := askOnce(ctx, conn)
		if err != nil || settled(o, s) || time.Since(began) > settleWithin {
			return s, err
		}
		select {
		case <-ctx.Done():
			return s, context.Cause(ctx)
		case <-tick.C:
		}
	}
}

func askOnce(ctx context.Context, conn *dbus.Conn) (status.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	return status.Ask(ctx, conn)
}

// settled tells whether s is what becomes of o, so that there is nothing to wait for.
func settled(o keyswitch.Override, s status.Status) bool {
	switch {
	case s.Fault:
		return true
	case s.Override != string(o.Mode):
		return false // told to us before the status was
	case s.SSH == "activating" || s.SSH == "deactivating" || s.SSH == "unknown":
		return false
	case o.Mode == keyswitch.Auto:
		return s.Open == (s.Code == "key-on")
	}
	return s.Open == (o.Mode == keyswitch.ForceOn)
}

// told is what a person reads in the end, and whether things are as wanted.
func told(o keyswitch.Override, s status.Status, now time.Time) (line string, asWanted bool) {
	asWanted = !s.Fault && s.Override == string(o.Mode)
	door := "SSH is closed"
	if s.Open {
		door = "SSH is open"
	}
	switch o.Mode {
	case keyswitch.ForceOn:
		if asWanted = asWanted && s.Open; asWanted && s.Expires != nil {
			return fmt.Sprintf("SSH is open until %s (%s), without the key; `keyswitchd auto` ends it sooner",
				s.Expires.Local().Format("Mon 15:04:05"), s.Expires.Sub(now).Round(time.Minute)), true
		}
	case keyswitch.ForceOff:
		if asWanted = asWanted && !s.Open; asWanted {
			return "SSH is closed and stays closed, whatever the key says and through restarts, until `keyswitchd auto`", true
		}
	default:
		if asWanted {
			return fmt.Sprintf("the key decides again: it is %s, and %s", s.Key, door), true
		}
	}
	line = fmt.Sprintf("%s: %s", door, s.Reason)
	if s.Advice != "" {
		line += "; " + s.Advice
	}
	return line, asWanted
}
