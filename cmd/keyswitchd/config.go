package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"keyswitchd/internal/config"
)

func newConfig(cfgPath *string) *cobra.Command {
	var reference bool
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check the configuration, or print the reference file",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if reference {
				_, err := cmd.OutOrStdout().Write(config.Reference)
				return err
			}
			if _, err := config.Load(*cfgPath); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is good\n", *cfgPath)
			return nil
		},
	}
	cmd.Flags().BoolVar(&reference, "reference", false, "print every key with its default and its reason")
	return cmd
}
