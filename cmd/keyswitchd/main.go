// Command keyswitchd lets a key switch on a GPIO line decide whether SSH exists on this machine.
// This file only wires; each subcommand has a file of its own.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"keyswitchd/internal/config"
)

// Exit codes, from sysexits.h. `status` and `simulate` have more of their own.
const (
	exitUsage  = 64
	exitConfig = 78
)

// version is set by the linker (make).
var version = "devel"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// exitError is an error with its exit code. A nil Err says that everything was said already.
type exitError struct {
	Code int
	Err  error
}

func (e *exitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

func (e *exitError) Unwrap() error { return e.Err }

// run is the whole program but for the process around it.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	code := exitCode(err)
	var coded *exitError
	if errors.As(err, &coded) && coded.Err == nil {
		return code
	}
	fmt.Fprintf(stderr, "keyswitchd: %s\n", strings.ReplaceAll(err.Error(), "\n", "\nkeyswitchd: "))
	return code
}

// usage makes err a mistake in the command line.
func usage(format string, args ...any) error {
	return &exitError{Code: exitUsage, Err: fmt.Errorf(format, args...)}
}

func newRoot() *cobra.Command {
	var cfgPath string
	var showStatus, asJSON bool
	root := &cobra.Command{
		Use:   "keyswitchd",
		Short: "A key switch decides whether SSH exists on this machine",
		Long: "keyswitchd: a key switch on a GPIO line decides whether SSH exists on this machine.\n\n" +
			"keyswitchd --status says how things are. On any Linux machine, keyswitchd simulate shows how it works.",
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if showStatus {
				return runStatus(cmd.Context(), cmd.OutOrStdout(), asJSON)
			}
			if asJSON {
				return usage("--json goes with --status")
			}
			return cmd.Help()
		},
	}
	root.SuggestionsMinimumDistance = 2
	root.CompletionOptions.HiddenDefaultCmd = true // for the packages; nobody types it
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage("%w; `%s --help` lists the flags", err, cmd.CommandPath())
	})
	root.PersistentFlags().StringVar(&cfgPath, "config", config.DefaultPath, "configuration `FILE`")
	root.Flags().BoolVar(&showStatus, "status", false, "say how things are, like the subcommand status")
	root.Flags().BoolVar(&asJSON, "json", false, "with --status: as JSON")
	root.AddCommand(
		newRun(&cfgPath), newStatus(), newOn(), newOff(), newAuto(), newHarden(&cfgPath), newRestore(), newAudit(&cfgPath), newArm(&cfgPath), newDisarm(),
		newSimulate(&cfgPath), newConfig(&cfgPath), newWiring(&cfgPath), newEndSessions(), newWarnSessions(&cfgPath), newLEDOff(&cfgPath),
	)
	return root
}

// noArgs is cobra.NoArgs with an answer that helps.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.HasSubCommands() {
		msg := fmt.Sprintf("there is no command %q", args[0])
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			return usage("%s; did you mean %s?", msg, strings.Join(near, " or "))
		}
		return usage("%s; `keyswitchd --help` lists the commands", msg)
	}
	return usage("%s takes no argument, but got %q", cmd.CommandPath(), args[0])
}
