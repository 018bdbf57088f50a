// Command virtualpi is a Raspberry Pi for tests, as an ordinary process: User-mode Linux, Debian with systemd,
// and GPIO lines of the kernel's own gpio-sim. It needs no hardware, no KVM and no privileges to run, only to build.
//
// It knows nothing of keyswitchd: what `make install DESTDIR=DIR` made is given to each machine as it boots.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"keyswitchd/test/virtualpi/image"
)

const usage = `usage: virtualpi COMMAND [FLAGS] [ARGUMENTS]

  deps                     install the Debian packages that building needs (root)
  build [-suite S]         make the kernel and the root file system, if they are not in the cache
  exec [FLAGS] TEST ARGS   run a test binary in a new machine: go test -exec 'virtualpi exec' ./test/e2e/...
  shell [FLAGS]            boot a machine and open a shell in it, to try keyswitchd by hand

virtualpi COMMAND -h lists a command's flags. The cache is $XDG_CACHE_HOME/keyswitchd/virtualpi (~/.cache).
`

// Exit codes beside the test binary's own.
const (
	exitMachine = 125 // the virtual Pi failed, not the test
	exitUsage   = 64  // EX_USAGE
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	os.Exit(run(ctx, os.Args[1:]))
}

func run(ctx context.Context, args []string) int {
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, usage)
		return exitUsage
	}
	commands := map[string]func(context.Context, []string) (int, error){
		"deps":  deps,
		"build": build,
		"exec":  execute,
		"shell": shell,
	}
	command, known := commands[args[0]]
	if !known {
		fmt.Fprint(os.Stderr, usage)
		if args[0] == "-h" || args[0] == "--help" || args[0] == "help" {
			return 0
		}
		fmt.Fprintf(os.Stderr, "\nvirtualpi: unknown command %q\n", args[0])
		return exitUsage
	}
	code, err := command(ctx, args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(os.Stderr, "virtualpi:", err)
	}
	return code
}

func deps(ctx context.Context, args []string) (int, error) {
	flags := flag.NewFlagSet("virtualpi deps", flag.ContinueOnError)
	if err := flags.Parse(args); err != nil {
		return exitUsage, err
	}
	cache, err := image.Open("", os.Stderr)
	if err == nil {
		err = cache.InstallPackages(ctx, image.Packages())
	}
	if err != nil {
		return exitMachine, err
	}
	return 0, nil
}

func build(ctx context.Context, args []string) (int, error) {
	flags := flag.NewFlagSet("virtualpi build", flag.ContinueOnError)
	suite := flags.String("suite", image.Trixie, "Debian release: bookworm, trixie or forky")
	if err := flags.Parse(args); err != nil {
		return exitUsage, err
	}
	cache, err := image.Open("", &stamped{to: os.Stderr, start: time.Now()})
	if err != nil {
		return exitMachine, err
	}
	set, err := cache.All(ctx, *suite)
	if err != nil {
		return exitMachine, err
	}
	defer set.Release()
	fmt.Fprintf(os.Stdout, "%s\n%s\n", set.Kernel.Path(image.KernelFile), set.Root.Path(image.RootFile))
	return 0, nil
}

// stamped puts the elapsed time before each line.
type stamped struct {
	to    io.Writer
	start time.Time
}

func (s *stamped) Write(p []byte) (int, error) {
	if _, err := fmt.Fprintf(s.to, "[%4.0f s] %s", time.Since(s.start).Seconds(), p); err != nil {
		return 0, err
	}
	return len(p), nil
}
