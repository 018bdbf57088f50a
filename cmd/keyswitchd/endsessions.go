package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"keyswitchd/sshctl"
)

func newEndSessions() *cobra.Command {
	return &cobra.Command{
		Use:    "end-sessions",
		Short:  "End all SSH sessions (what keyswitchd-end-sessions.service runs)",
		Hidden: true,
		Args:   noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), 25*time.Second)
			defer cancel()
			ended, err := sshctl.TerminateRemoteSessions(ctx)
			for _, e := range ended {
				how := "ended"
				if e.Killed {
					how = "killed, because it did not end when told to"
				}
				fmt.Fprintf(cmd.OutOrStdout(), "session %s of %s: %s\n", e.ID, e.User, how)
			}
			if errors.Is(err, context.DeadlineExceeded) {
				return fmt.Errorf("end-sessions: some sessions are still there: %w; loginctl list-sessions shows them", err)
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "ended %d SSH sessions\n", len(ended))
			return nil
		},
	}
}
