package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"keyswitchd/hardening"
	"keyswitchd/internal/config"
)

// privsepDir is sshd's own; it is RuntimeDirectory= of ssh.service, so it is not there while SSH is closed, and without
// it sshd checks nothing.
const privsepDir = "/run/sshd"

type hardenFlags struct{ check, force, quiet bool }

func newHarden(cfgPath *string) *cobra.Command {
	var f hardenFlags
	cmd := &cobra.Command{
		Use:   "harden",
		Short: "Make sshd's configuration what the policy wants, and have sshd confirm it",
		Long: "Make sshd's configuration what the policy wants, and have sshd confirm it. ssh.service does this itself at every start;\n" +
			"by hand it shows what would happen. Exit code: 0 the policy holds, 1 it does not.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := needRoot("harden"); err != nil {
				return err
			}
			cfg, err := config.Load(*cfgPath)
			if err != nil {
				if !f.check {
					err = errors.Join(err, hardening.KeepRefusal(hardening.DefaultResultFile, err))
				}
				return err
			}
			if err := harden(cmd.Context(), *cfgPath, cfg, f); err != nil {
				return err
			}
			if !f.quiet {
				fmt.Fprintln(cmd.OutOrStdout(), "the policy holds: sshd confirms it")
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&f.check, "check", false, "change nothing, only say whether the policy holds")
	cmd.Flags().BoolVar(&f.force, "force", false, "ask sshd even if nothing has changed since it last confirmed")
	cmd.Flags().BoolVar(&f.quiet, "quiet", false, "say nothing if the policy holds")
	return cmd
}

func harden(ctx context.Context, cfgPath string, cfg config.Config, f hardenFlags) error {
	if err := os.Mkdir(privsepDir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("harden: making sshd's %s: %w", privsepDir, err)
	}
	_, err := hardening.Harden(ctx, hardening.Options{
		Policy: cfg.Policy, Source: cfgPath, CheckOnly: f.check, Force: f.force,
		// ssh.service hands these to sshd, where they beat every file; systemd has them in our environment too.
		SSHDArgs: strings.Fields(os.Getenv("SSHD_OPTS")),
	})
	return err
}
