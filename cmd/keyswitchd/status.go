package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/spf13/cobra"

	"keyswitchd/internal/status"
	"keyswitchd/sshctl"
)

// askWithin bounds how long an answer may take: a frozen daemon must not freeze the one who asks.
const askWithin = 5 * time.Second

func newStatus() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say how things are: the key, SSH, the LED, and why (also: --status)",
		Long: "Say how things are: the key, SSH, the LED, and why.\n\n" +
			"Exit code: 0 SSH is open, 3 closed, 1 fault, 4 the daemon is not running.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runStatus(cmd.Context(), cmd.OutOrStdout(), asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func runStatus(ctx context.Context, w io.Writer, asJSON bool) error {
	s := askStatus(ctx)
	if asJSON {
		out, err := s.JSON()
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "%s\n", out); err != nil {
			return err
		}
	} else if err := s.Write(w, time.Now()); err != nil {
		return err
	}
	if code := s.Exit(); code != 0 {
		return &exitError{Code: code}
	}
	return nil
}

// askStatus asks the daemon; when there is none, it says what can be seen without one.
func askStatus(ctx context.Context) status.Status {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	conn, err := dbus.ConnectSystemBus(dbus.WithContext(ctx))
	if err != nil {
		return unseen(fmt.Sprintf("the system bus can't be reached, so neither keyswitchd nor systemd can be asked: %v", err),
			"is D-Bus running? systemctl status dbus.socket")
	}
	defer conn.Close()
	s, err := status.Ask(ctx, conn)
	switch {
	case err == nil:
		return s
	case errors.Is(err, status.ErrNotRunning):
		return lookWithoutDaemon(ctx, "keyswitchd is not running")
	default:
		return lookWithoutDaemon(ctx, "keyswitchd does not answer: "+err.Error())
	}
}

func unseen(reason, advice string) status.Status {
	return status.Status{Key: "unknown", SSH: "unknown", LED: "unknown", Override: "auto", Code: "not-running", Reason: reason, Advice: advice}
}

// lookWithoutDaemon says what systemd knows.
func lookWithoutDaemon(ctx context.Context, why string) status.Status {
	seen, err := sshctl.Look(ctx)
	if err != nil {
		return unseen(why+", and systemd can't be asked: "+err.Error(), "")
	}
	s := unseen(why, "systemctl status keyswitchd says why; systemctl start keyswitchd starts it")
	d := seen.Daemon
	switch {
	case d.LoadState == "not-found":
		s.Reason, s.Advice = why+": keyswitchd.service is not installed", "make install, then keyswitchd arm"
	case d.Result == "exit-code" && d.ExecMainStatus == exitConfig:
		s.Reason, s.Advice = why+": its configuration is wrong", "keyswitchd config says where; then systemctl start keyswitchd"
	case d.ActiveState == "failed":
		s.Reason = fmt.Sprintf("%s: it failed (%s)", why, d.Result)
	case d.ActiveState == "active":
		s.Reason, s.Advice = why+", although its service is up", "systemctl restart keyswitchd"
	case d.ActiveState == "activating":
		s.Reason, s.Advice = why+" yet: it is being started", "ask again in a few seconds"
	case d.UnitFileState == "disabled":
		s.Reason, s.Advice = why+": it is installed, but not armed", "keyswitchd arm switches it on"
	}
	way := seen.Service
	s.Unit = sshctl.Service
	if seen.Socket.ActiveState == "active" {
		way, s.Unit = seen.Socket, sshctl.Socket
	}
	s.SSH, s.Open = way.ActiveState, way.ActiveState == "active"
	switch {
	case s.Open && !way.Interlocked:
		s.Problems = append(s.Problems, "SSH is open, and no key guards it: "+s.Unit+" does not carry the interlock")
	case s.Open:
		s.Problems = append(s.Problems, "SSH is open although no daemon guards it; close it: systemctl stop "+s.Unit)
	case !way.Interlocked:
		s.Problems = append(s.Problems, "no key guards SSH: "+s.Unit+" does not carry the interlock, so it may be started at any time")
	}
	return s
}
