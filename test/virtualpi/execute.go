package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"keyswitchd/test/virtualpi/vm"
)

// execute is what `go test -exec` calls: it runs a test binary in a new machine.
func execute(ctx context.Context, args []string) (int, error) {
	flags := flag.NewFlagSet("virtualpi exec", flag.ContinueOnError)
	var cfg vm.Config
	verbose := machineFlags(flags, &cfg)
	timeout := flags.Duration("timeout", 25*time.Minute, "how long all of it may take")
	var env []string
	flags.Func("env", "NAME or NAME=VALUE to set inside, beside KEYSWITCHD_* and VIRTUALPI_*, which are passed on; may be repeated", func(s string) error {
		if !strings.Contains(s, "=") {
			s += "=" + os.Getenv(s)
		}
		env = append(env, s)
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return exitUsage, err
	}
	if flags.NArg() == 0 {
		return exitUsage, errors.New("exec: which test binary? usage: virtualpi exec [FLAGS] TEST ARGS")
	}
	if *verbose {
		cfg.Console = os.Stderr
	}
	binary, err := filepath.Abs(flags.Arg(0))
	if err != nil {
		return exitMachine, err
	}
	dir, err := os.Getwd()
	if err != nil {
		return exitMachine, err
	}
	shares, err := sharesFor(binary, moduleRoot(dir))
	if err != nil {
		return exitUsage, err
	}
	cfg.Shares = append(shares, cfg.Shares...)

	ctx, cancel := context.WithTimeoutCause(ctx, *timeout, fmt.Errorf("the time is up (%s); see -timeout", *timeout))
	defer cancel()
	m, err := vm.Boot(ctx, cfg)
	if err != nil {
		return exitMachine, err
	}
	defer m.Close()
	c := m.Command(append([]string{binary}, flags.Args()[1:]...)...)
	c.Dir, c.Env = dir, append(passedOn(os.Environ()), env...)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	if err := c.Start(); err != nil {
		return exitMachine, err
	}
	code, err := c.Wait(ctx)
	if err != nil {
		return exitMachine, fmt.Errorf("%w; the end of the machine's console:\n%s", err, m.Console())
	}
	return code, nil
}

// sharesFor makes the test binary and the module visible inside under their own paths, as `go test` promises: the
// working directory is the package's, and files beside the binary can be written.
func sharesFor(binary, module string) ([]vm.Share, error) {
	of := filepath.Dir(binary)
	for _, dir := range []string{"/bin", "/boot", "/dev", "/etc", "/lib", "/proc", "/run", "/sbin", "/sys", "/usr"} {
		for _, shared := range []string{of, module} {
			if shared == "/" || shared == dir || strings.HasPrefix(shared, dir+"/") {
				return nil, fmt.Errorf("exec: sharing %s: it would hide the machine's own files; move it out of %s", shared, dir)
			}
		}
	}
	shares := []vm.Share{{Host: of, Guest: of}}
	if module != of {
		shares = append(shares, vm.Share{Host: module, Guest: module, ReadOnly: true})
	}
	// The outer one first, if one is in the other.
	slices.SortFunc(shares, func(a, b vm.Share) int { return len(a.Guest) - len(b.Guest) })
	return shares, nil
}

// moduleRoot returns the directory with go.mod that dir is in, or dir.
func moduleRoot(dir string) string {
	for up := dir; ; up = filepath.Dir(up) {
		if _, err := os.Stat(filepath.Join(up, "go.mod")); err == nil {
			return up
		}
		if up == "/" {
			return dir
		}
	}
}

// passedOn returns the variables that are for the tests.
func passedOn(environ []string) []string {
	var env []string
	for _, v := range environ {
		if strings.HasPrefix(v, "KEYSWITCHD_") || strings.HasPrefix(v, "VIRTUALPI_") {
			env = append(env, v)
		}
	}
	return env
}
