package main

import (
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"

	"keyswitchd/internal/config"
	"keyswitchd/internal/simulate"
)

func newSimulate(cfgPath *string) *cobra.Command {
	var port int
	var script string
	var guarded bool
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "Try it on any Linux machine: a key on the keyboard, a LED in the terminal, a real sshd",
		Long: "Try it on any Linux machine, without a Pi, root or systemd: a key that you turn with the keyboard, a LED in the terminal, and\n" +
			"the real thing between them: the same controller, the same hardening (that of --config, if there is such a file), and an sshd\n" +
			"of its own on 127.0.0.1 with a throw-away key. The machine's own SSH is not touched. Everything is gone at the end.\n\n" +
			"--script does it without a terminal, and checks each step by a real login or a refused connection. Its words are\n" +
			simulate.Words + " (nothing may change for so long).\n\n" +
			"Exit code: 0 all was as it should be, 1 it was not, 64 a mistake in the command line, 78 one in the configuration.",
		Example: "  keyswitchd simulate\n  keyswitchd simulate --script \"on 3s off\"",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var steps []simulate.Step
			if cmd.Flags().Changed("script") {
				var err error
				if steps, err = simulate.ParseScript(script); err != nil {
					return usage("%w", err)
				}
			} else if !simulate.Interactive(cmd.InOrStdin(), cmd.OutOrStdout()) {
				return usage("simulate: there is no terminal to turn the key at; --script \"on 3s off\" goes without")
			}
			if port != 0 && (port < 1024 || port > 65535) {
				return usage("simulate: --port %d: use 1024 to 65535, or 0 for any free port", port)
			}
			o, err := simulateOptions(cmd, *cfgPath)
			if err != nil {
				return err
			}
			if err := simulate.CheckScript(steps, o.Config.Key.Second); err != nil {
				return usage("%w", err)
			}
			if guarded {
				ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGHUP)
				defer stop()
				o.Port, o.Script = port, steps
				return simulate.Run(ctx, o)
			}
			args := []string{"simulate", "--guarded", "--port", strconv.Itoa(port)}
			if cmd.Flags().Changed("config") {
				args = append(args, "--config", *cfgPath)
			}
			if steps != nil {
				args = append(args, "--script", script)
			}
			code, err := simulate.Guard(cmd.Context(), args, cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
			switch {
			case err != nil:
				return err
			case code != 0:
				return &exitError{Code: code}
			}
			return nil
		},
	}
	cmd.Flags().IntVar(&port, "port", 2222, "`PORT` on 127.0.0.1 (0: any free one)")
	cmd.Flags().StringVar(&script, "script", "", "turn the key by `WORDS`, such as \"on 3s off\"")
	cmd.Flags().BoolVar(&guarded, "guarded", false, "")
	if err := cmd.Flags().MarkHidden("guarded"); err != nil {
		panic(err) // the flag stands one line above
	}
	return cmd
}

// simulateOptions reads the configuration. One that was named must be there.
func simulateOptions(cmd *cobra.Command, cfgPath string) (simulate.Options, error) {
	load := config.LoadIfPresent
	if cmd.Flags().Changed("config") {
		load = config.Load
	}
	cfg, err := load(cfgPath)
	if err != nil {
		return simulate.Options{}, err
	}
	source := cfgPath
	if _, err := os.Lstat(cfgPath); err != nil {
		source = "the built-in defaults"
	}
	in, _ := cmd.InOrStdin().(*os.File) // only a terminal is used, and that is one
	return simulate.Options{Config: cfg, Source: source, In: in, Out: cmd.OutOrStdout(), Err: cmd.ErrOrStderr()}, nil
}
