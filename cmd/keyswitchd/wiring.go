package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"keyswitchd/internal/config"
	"keyswitchd/internal/wiring"
)

func newWiring(cfgPath *string) *cobra.Command {
	var (
		parts wiring.Parts
		svg   string
	)
	cmd := &cobra.Command{
		Use:   "wiring",
		Short: "Draw the header with the configured lines, and name the parts",
		Long: "Draw the 40-pin header with the configured key, second contact and LED, the pins that their other ends go to, and the parts.\n\n" +
			"It reads the configuration and nothing else: no line is touched, and no privilege is needed.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.LoadIfPresent(*cfgPath)
			if err != nil {
				return err
			}
			plan, err := wiring.New(wiring.Model(), cfg.Key, cfg.LED, parts)
			if err != nil {
				return &exitError{Code: exitUsage, Err: err}
			}
			out := cmd.OutOrStdout()
			if cmd.Flags().Changed("svg") {
				return writeSVG(out, svg, plan)
			}
			return plan.Text(out, terminalStyle(out))
		},
	}
	cmd.Flags().StringVar(&parts.Colour, "led-colour", "red", "of the LED: "+strings.Join(wiring.Colours(), ", "))
	cmd.Flags().IntVar(&parts.Ohms, "resistor", 0, fmt.Sprintf("the resistor that you have, in `OHM` (%d to %d), instead of the computed one", wiring.LeastOhms, wiring.MostOhms))
	cmd.Flags().StringVar(&svg, "svg", "", "write a picture to `FILE` (\"-\" is the standard output)")
	return cmd
}

func writeSVG(out io.Writer, path string, plan wiring.Plan) (err error) {
	switch path {
	case "":
		return usage("--svg needs the name of a file, or - for the standard output")
	case "-":
		return plan.SVG(out)
	}
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("wiring: writing the picture: %w", err)
	}
	if err := errors.Join(plan.SVG(f), f.Close()); err != nil {
		return fmt.Errorf("wiring: writing the picture: %w", err)
	}
	fmt.Fprintf(out, "%s is written\n", path)
	return nil
}

// terminalStyle is what w can show. NO_COLOR is the convention of no-color.org.
func terminalStyle(w io.Writer) wiring.Style {
	plain := wiring.Style{Width: 80}
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return plain
	}
	if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
		plain.Width = width
	}
	plain.Colour = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return plain
}
