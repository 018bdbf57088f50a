package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"keyswitchd/gpio"
	"keyswitchd/hardening"
	"keyswitchd/internal/config"
	"keyswitchd/internal/interlock"
)

func newArm(cfgPath *string) *cobra.Command {
	var yes, evenIfLockedOut bool
	cmd := &cobra.Command{
		Use:   "arm",
		Short: "Put SSH under the key: from now on it runs only while the key is on",
		Long: "Put SSH under the key: install the interlock, prove the hardened configuration, start and enable the daemon.\n" +
			"If anything fails, everything is put back. keyswitchd disarm undoes it.\n" +
			"It refuses if afterwards nobody could log in, or if a name, a group or an address of the policy isn't there.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := needRoot("arm"); err != nil {
				return err
			}
			cfg, err := config.Load(*cfgPath)
			if err != nil {
				return err
			}
			if *cfgPath != config.DefaultPath {
				return usage("arm: the service reads %s, so that is what is armed; copy %s there first", config.DefaultPath, *cfgPath)
			}
			board, err := gpio.Linux()
			if err != nil {
				return err
			}
			if err := checkLines(board, cfg); err != nil {
				return err
			}
			if err := lockedOut(cmd.ErrOrStderr(), cfg, evenIfLockedOut); err != nil {
				return err
			}
			if !yes {
				if err := ask(cmd.InOrStdin(), cmd.ErrOrStderr(), cfg); err != nil {
					return err
				}
			}
			return arm(cmd.Context(), cmd.OutOrStdout(), *cfgPath, cfg)
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "don't ask")
	cmd.Flags().BoolVar(&evenIfLockedOut, "even-if-locked-out", false, "arm even if nobody could log in over SSH afterwards")
	return cmd
}

func arm(ctx context.Context, w io.Writer, cfgPath string, cfg config.Config) error {
	sd, err := interlock.Connect(ctx)
	if err != nil {
		return err
	}
	defer sd.Close()
	err = machine(w).Arm(ctx, sd, cfg.Units, func(ctx context.Context) error {
		return harden(ctx, w, cfgPath, cfg, hardenFlags{force: true})
	})
	if err != nil {
		return err
	}
	if err := interlock.AwaitPermits(ctx, sd, cfg.Units); err != nil {
		return fmt.Errorf("arm: armed, but the further units will not start: %w", err)
	}
	for _, unit := range cfg.Units {
		fmt.Fprintf(w, "the same key guards %s\n", unit)
	}
	fmt.Fprintf(w, "armed: SSH runs while the key on %s is on, and only then. keyswitchd --status says how things are; keyswitchd disarm takes it back.\n", cfg.Key.Line)
	return nil
}

// ask has a person confirm what arming means. Anything but yes is no.
func ask(in io.Reader, w io.Writer, cfg config.Config) error {
	if f, ok := in.(*os.File); !ok || !term.IsTerminal(int(f.Fd())) {
		return usage("arm: this asks for a confirmation, and there is no terminal to ask on; --yes goes without")
	}
	fmt.Fprintf(w, "From now on SSH runs only while the key on %s is on.", cfg.Key.Line)
	if len(cfg.Units) > 0 {
		fmt.Fprintf(w, " So do %s.", strings.Join(cfg.Units, ", "))
	}
	if cfg.EndSessions {
		fmt.Fprint(w, " If it is off now, SSH closes and the sessions over SSH end")
		if os.Getenv("SSH_CONNECTION") != "" {
			fmt.Fprint(w, ": YOURS TOO")
		}
		fmt.Fprint(w, ".")
	}
	fmt.Fprint(w, "\nArm? Type yes: ")
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("arm: reading the answer: %w", err)
	}
	if strings.TrimSpace(line) != "yes" {
		return &exitError{Code: 1, Err: errors.New("arm: not confirmed; nothing was changed")}
	}
	return nil
}

// machine is this machine, where disarming also puts back what was hardened.
func machine(w io.Writer) interlock.Machine {
	m := interlock.DefaultMachine()
	m.Hardened = func() (bool, error) { return hardening.Hardened(hardening.Options{}) }
	m.Restore = func(ctx context.Context) error { return restore(ctx, w) }
	return m
}

func newDisarm() *cobra.Command {
	return &cobra.Command{
		Use:   "disarm",
		Short: "Take SSH from under the key: everything is put back as it was before arm",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := needRoot("disarm"); err != nil {
				return err
			}
			sd, err := interlock.Connect(cmd.Context())
			if err != nil {
				return err
			}
			defer sd.Close()
			err = machine(cmd.OutOrStdout()).Disarm(cmd.Context(), sd)
			if errors.Is(err, interlock.ErrNotArmed) {
				fmt.Fprintln(cmd.OutOrStdout(), "this machine is not armed; there is nothing to put back")
				return nil
			}
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), "disarmed: SSH is as it was before, and no key guards it.")
			return nil
		},
	}
}

func needRoot(what string) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("%s: this changes /etc and needs root: sudo keyswitchd %s", what, what)
	}
	return nil
}
