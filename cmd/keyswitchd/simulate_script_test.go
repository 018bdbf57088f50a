package main

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestSimulateScripts runs testdata/simulate: scripts that need a home which sshd trusts. Beside testscript's own words they
// have `exits CODE PROGRAM ARG...`.
func TestSimulateScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/simulate",
		Setup: func(env *testscript.Env) error {
			// testscript's own directories are below /tmp, where sshd trusts nothing.
			for _, name := range []string{"HOME", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME"} {
				env.Setenv(name, os.Getenv(name))
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": func(ts *testscript.TestScript, neg bool, args []string) {
				if neg || len(args) < 2 {
					ts.Fatalf("usage: exits CODE PROGRAM ARG...")
				}
				code := 0
				err := ts.Exec(args[1], args[2:]...)
				if exit, ok := errors.AsType[*exec.ExitError](err); ok {
					code = exit.ExitCode()
				} else if err != nil {
					ts.Fatalf("%v", err)
				}
				if strconv.Itoa(code) != args[0] {
					ts.Fatalf("exit code %d, want %s", code, args[0])
				}
			},
		},
	})
}
