package sshds

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// Main is TestMain of a package whose tests use this one: it goes into a tree if this process was started for that.
// The roles are functions of the test's own that Tree.Command may name instead of a program; one that returns nil ends
// the process with 0.
func Main(m *testing.M, roles map[string]func(args []string) error) {
	if tree := os.Getenv(envTree); tree != "" {
		if err := enter(tree, os.Getenv(envWork)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(125)
		}
		if os.Getenv(envRun) == "1" {
			role, there := roles[os.Args[1]]
			if !there {
				role = become
			}
			if err := role(os.Args[1:]); err != nil {
				fmt.Fprintf(os.Stderr, "sshds: %s: %v\n", os.Args[1], err)
				os.Exit(125)
			}
			os.Exit(0)
		}
	}
	os.Exit(m.Run())
}

// become replaces this process by the program.
func become(args []string) error {
	return syscall.Exec(args[0], args, []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=/root"})
}

// inside says that this process has gone into a tree.
func inside() bool { return os.Getenv(envTree) != "" }

// Each runs the body in each release's tree, in a process of its own there, side by side: /etc/ssh is empty but for
// sshd_config.d, /usr/sbin/sshd is the release's, and the flags that don't begin with -test are the same. work is a
// directory of this machine that is /mnt there, or "". t must be the test function's own.
func Each(t *testing.T, work string, body func(t *testing.T)) {
	if inside() {
		t.Run(os.Getenv(envSuite), body)
		return
	}
	for _, suite := range Suites() {
		t.Run(suite, func(t *testing.T) {
			t.Parallel()
			tree, err := Open(t.Context(), suite)
			if err != nil {
				t.Fatal(err)
			}
			defer tree.Close()
			args := []string{"-test.run=^" + t.Name()[:strings.IndexByte(t.Name(), '/')] + "$", "-test.v", "-test.timeout=0"}
			for _, arg := range os.Args[1:] {
				if !strings.HasPrefix(strings.TrimLeft(arg, "-"), "test.") {
					args = append(args, arg)
				}
			}
			cmd := tree.self(t.Context(), work, args)
			cmd.Env = append(cmd.Env, envSuite+"="+suite)
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			err = cmd.Run()
			t.Logf("in the tree of %s:\n%s", suite, out.Bytes())
			if _, failed := err.(*exec.ExitError); failed {
				t.Errorf("in the tree of %s: it failed, see above", suite)
			} else if err != nil {
				t.Error(err)
			} else if !strings.Contains(out.String(), "--- PASS: "+t.Name()[:strings.IndexByte(t.Name(), '/')]) {
				t.Error("no test ran there")
			}
		})
	}
}
