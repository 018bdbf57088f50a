package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"keyswitchd/hardening"
	"keyswitchd/internal/interlock"
)

func newRestore() *cobra.Command {
	return &cobra.Command{
		Use:   "restore",
		Short: "Put the files of /etc/ssh back as they were before keyswitchd hardened them",
		Long: "Put the files of /etc/ssh back as they were before keyswitchd hardened them, byte for byte, with owner and mode. A file that was\n" +
			"edited meanwhile keeps its edits; the lines that keyswitchd had commented out come back. sshd is not restarted.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := needRoot("restore"); err != nil {
				return err
			}
			if there, err := hardening.Hardened(hardening.Options{}); err != nil {
				return err
			} else if !there {
				fmt.Fprintln(cmd.OutOrStdout(), "nothing was hardened; there is nothing to put back")
				return nil
			}
			if err := restore(cmd.Context(), cmd.OutOrStdout()); err != nil {
				return err
			}
			armed, err := interlock.DefaultMachine().Armed()
			if armed {
				fmt.Fprintln(cmd.OutOrStdout(), "this machine is armed: the next start of SSH hardens it again; keyswitchd disarm ends that")
			}
			return err
		},
	}
}

// restore puts everything back and tells each file.
func restore(ctx context.Context, w io.Writer) error {
	said, err := hardening.Restore(ctx, hardening.Options{})
	for _, line := range said {
		fmt.Fprintln(w, line)
	}
	return err
}
