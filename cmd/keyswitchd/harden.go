package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"keyswitchd/hardening"
	"keyswitchd/internal/config"
)

type hardenFlags struct{ check, diff, force, quiet bool }

func newHarden(cfgPath *string) *cobra.Command {
	var f hardenFlags
	cmd := &cobra.Command{
		Use:   "harden",
		Short: "Make sshd's configuration what the policy wants, and have sshd confirm it",
		Long: "Make sshd's configuration what the policy wants, and have sshd confirm it. ssh.service does this itself at every start;\n" +
			"by hand it shows what would happen. What contradicts the policy in any file that sshd reads is commented out, after a backup in\n" +
			hardening.DefaultBackup + "; keyswitchd restore puts it back. Exit code: 0 the policy holds, 1 it does not.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := needRoot("harden"); err != nil {
				return err
			}
			cfg, err := config.Load(*cfgPath)
			if err != nil {
				if !f.check && !f.diff {
					err = errors.Join(err, hardening.KeepRefusal(hardening.DefaultResultFile, err))
				}
				return err
			}
			if f.diff {
				return showDiff(cmd.Context(), cmd.OutOrStdout(), hardenOptions(*cfgPath, cfg, f))
			}
			if err := harden(cmd.Context(), cmd.ErrOrStderr(), *cfgPath, cfg, f); err != nil {
				return err
			}
			if !f.quiet {
				fmt.Fprintln(cmd.OutOrStdout(), "the policy holds: sshd confirms it")
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&f.check, "check", false, "change nothing, only say whether the policy holds")
	cmd.Flags().BoolVar(&f.diff, "diff", false, "change nothing, only show what would be changed, as diff -u does")
	cmd.Flags().BoolVar(&f.force, "force", false, "ask sshd even if nothing has changed since it last confirmed")
	cmd.Flags().BoolVar(&f.quiet, "quiet", false, "say nothing if the policy holds")
	cmd.MarkFlagsMutuallyExclusive("check", "diff")
	return cmd
}

// harden tells on w each change that it makes, in ssh.service that is the journal, and what surprises somebody.
func harden(ctx context.Context, w io.Writer, cfgPath string, cfg config.Config, f hardenFlags) error {
	o := hardenOptions(cfgPath, cfg, f)
	o.Warnings = warnings(ctx, cfg)
	r, err := hardening.Harden(ctx, o)
	for _, change := range r.Changes {
		fmt.Fprintln(w, "changed:", change)
	}
	if err == nil && len(r.Changes) > 0 { // the warnings were of the files as they had been
		o.Warnings, o.Force = warnings(ctx, cfg), false
		r, err = hardening.Harden(ctx, o)
	}
	if !f.quiet { // at the start of SSH keyswitchd.service tells them, once it is open
		for _, warning := range r.Warnings {
			fmt.Fprintln(w, "warning:", warning)
		}
	}
	return err
}

func hardenOptions(cfgPath string, cfg config.Config, f hardenFlags) hardening.Options {
	return hardening.Options{
		Policy: cfg.Policy, Source: cfgPath, CheckOnly: f.check, Force: f.force,
		// ssh.service hands these to sshd, where they beat every file; systemd has them in our environment too.
		SSHDArgs: strings.Fields(os.Getenv("SSHD_OPTS")),
	}
}

func showDiff(ctx context.Context, w io.Writer, o hardening.Options) error {
	changes, err := hardening.Plan(ctx, o)
	if err != nil {
		return err
	}
	for _, c := range changes {
		before := c.Path
		if c.Absent {
			before = "/dev/null"
		}
		for _, why := range c.Why {
			fmt.Fprintln(w, "#", why)
		}
		if _, err := w.Write(diff.Diff(before, c.Before, c.Path, c.After)); err != nil {
			return err
		}
	}
	if len(changes) == 0 {
		fmt.Fprintln(w, "nothing would be changed")
	}
	return nil
}
