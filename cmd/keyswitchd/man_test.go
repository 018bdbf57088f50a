package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// keyswitchd(8) names every command that a person may type, with each of its flags, and no other.
func TestManualPage(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "man", "keyswitchd.8"))
	if err != nil {
		t.Fatal(err)
	}
	entries := map[string]string{}
	var name string
	for line := range strings.Lines(string(page)) {
		if rest, ok := strings.CutPrefix(line, ".It Cm "); ok {
			name, _, _ = strings.Cut(strings.TrimSpace(rest), " ")
		}
		if strings.HasPrefix(line, ".El") {
			name = ""
		}
		if name != "" {
			entries[name] += line
		}
	}
	for _, cmd := range newRoot().Commands() {
		if cmd.Hidden || builtIn(cmd) {
			continue
		}
		entry, ok := entries[cmd.Name()]
		if !ok {
			t.Errorf("keyswitchd(8) says nothing of %s", cmd.Name())
		}
		cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			if f.Name != "help" && !f.Hidden && !strings.Contains(entry, "-"+f.Name) {
				t.Errorf("keyswitchd(8): %s: nothing of --%s", cmd.Name(), f.Name)
			}
		})
		delete(entries, cmd.Name())
	}
	for name := range entries {
		t.Errorf("keyswitchd(8) describes %s, which is no command", name)
	}
}

// builtIn are cobra's own.
func builtIn(cmd *cobra.Command) bool { return cmd.Name() == "help" || cmd.Name() == "completion" }
