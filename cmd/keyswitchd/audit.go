package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"keyswitchd/hardening"
	"keyswitchd/internal/audit"
	"keyswitchd/internal/config"
	"keyswitchd/internal/lockout"
	"keyswitchd/sshctl"
)

// auditWithin bounds an audit: trying the well-known passwords on a dozen accounts takes a Pi Zero a minute.
const auditWithin = 5 * time.Minute

func newAudit(cfgPath *string) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Look over the whole machine for other doors, weak accounts and files that others can change",
		Long: "Look over the whole machine for other doors, weak accounts and files that others can change. It only reads.\n" +
			"Without root some checks are left out, and it says which.\n\n" +
			"Exit code: 0 nothing above info, 1 warnings or worse, 2 none, but something was left out.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), auditWithin)
			defer cancel()
			return runAudit(ctx, cmd.OutOrStdout(), *cfgPath, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func runAudit(ctx context.Context, w io.Writer, cfgPath string, asJSON bool) error {
	r := auditMachine(cfgPath).Run(ctx)
	if asJSON {
		out, err := r.JSON()
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "%s\n", out); err != nil {
			return err
		}
	} else if err := r.Write(w); err != nil {
		return err
	}
	if code := r.Exit(); code != 0 {
		return &exitError{Code: code}
	}
	return nil
}

// auditMachine is this machine. What needs root is left out without it.
func auditMachine(cfgPath string) audit.Machine {
	cfg, err := config.Load(cfgPath)
	m := audit.Machine{Root: "/", Now: time.Now(), Policy: cfg.Policy, PolicyErr: err,
		Units: audit.SystemdUnits, Addresses: lockout.Addresses, Interlocked: loadedInterlock}
	if os.Geteuid() == 0 {
		m.Holds = func(ctx context.Context) ([]string, error) { return policyProblems(ctx, cfgPath, cfg) }
		m.LockedOut = func() ([]lockout.Problem, error) { return lockoutMachine(cfg.Policy).Check(cfg.Policy) }
	}
	return m
}

// policyProblems asks sshd. The empty directory that sshd wants for that is the one thing that an audit may make.
func policyProblems(ctx context.Context, cfgPath string, cfg config.Config) ([]string, error) {
	_, err := hardening.Harden(ctx, hardening.Options{Policy: cfg.Policy, Source: cfgPath, CheckOnly: true,
		SSHDArgs: strings.Fields(os.Getenv("SSHD_OPTS"))})
	var short *hardening.NotVerifiedError
	if errors.As(err, &short) {
		return short.Problems, nil
	}
	return nil, err
}

// loadedInterlock asks systemd what it has loaded, which is what counts.
func loadedInterlock(ctx context.Context, unit string) (loaded, interlocked bool, err error) {
	seen, err := sshctl.Look(ctx)
	if err != nil {
		return false, false, err
	}
	look := seen.Service
	if unit == sshctl.Socket {
		look = seen.Socket
	}
	return look.LoadState == "loaded", look.Interlocked, nil
}
