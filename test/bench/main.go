// Command bench measures, in a virtual Pi and in one run, what the key costs beside bare systemctl: the time from a turn of
// the key until a listener is there or gone, and what the daemon costs while nobody turns it. It is no test: it fails only
// if something doesn't work, never because something is slow. It changes the machine it runs on (arms and disarms it), so it
// refuses to run anywhere else.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	rounds   int
	turns    int
	debounce time.Duration
	idle     time.Duration
	rest     time.Duration
	port     int
	sizes    []string
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.IntVar(&o.rounds, "rounds", 3, "how often to arm and disarm")
	flags.IntVar(&o.turns, "turns", 4, "in each round: starts and stops with systemctl before arming, and turns of the key after it")
	flags.DurationVar(&o.debounce, "debounce", 50*time.Millisecond, "debounce-on and debounce-off of the installed configuration")
	flags.DurationVar(&o.idle, "idle", time.Minute, "how long to count context switches")
	flags.DurationVar(&o.rest, "rest", 1500*time.Millisecond, "rest before each turn, for the machine to come to rest")
	flags.IntVar(&o.port, "port", 22, "sshd's port")
	sizes := flags.String("sizes", "", "binaries whose sizes to report, separated by commas")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("bench: unexpected argument %q", flags.Arg(0))
	}
	if o.rounds < 1 || o.turns < 1 || o.idle <= 0 || o.port < 1 || o.port > 65535 {
		return o, errors.New("bench: -rounds, -turns and -idle must be positive, -port within 1 to 65535")
	}
	if *sizes != "" {
		o.sizes = strings.Split(*sizes, ",")
	}
	return o, nil
}

func run(ctx context.Context, args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	if os.Getenv("VIRTUALPI") == "" {
		return errors.New("bench: this arms and disarms the machine that it runs on; run it in a virtual Pi: make bench")
	}
	var t table
	for _, file := range o.sizes { // first: a wrong name must not cost minutes
		info, err := os.Stat(file)
		if err != nil {
			return fmt.Errorf("bench: looking for the size of a binary: %w", err)
		}
		t.sizes = append(t.sizes, size{file, info.Size()})
	}
	// In the state in which Debian leaves it, SSH is up.
	bare := turner{port: o.port, rest: o.rest, turn: systemctlTurn}
	key := turner{port: o.port, rest: o.rest, turn: keyTurn}
	if err := bare.settle(ctx, false); err != nil {
		return err
	}
	for n := range o.rounds { // the load of the computer that this runs on drifts
		fmt.Printf("round %d of %d: %d times systemctl start and stop", n+1, o.rounds, o.turns)
		if err := bare.turns(ctx, o.turns, &t.bare); err != nil {
			return err
		}
		if err := output(ctx, "/usr/sbin/keyswitchd", "arm", "--yes", "--even-if-locked-out"); err != nil {
			return err
		}
		fmt.Printf("; armed, one turn of the key to warm up, then %d\n", o.turns)
		if err := key.turns(ctx, 1, &t.first); err != nil {
			return err
		}
		if err := key.turns(ctx, o.turns, &t.key); err != nil {
			return err
		}
		if n == o.rounds-1 {
			if err := cost(ctx, o, key, &t); err != nil {
				return err
			}
		}
		if err := key.settle(ctx, false); err != nil {
			return err
		}
		if err := output(ctx, "/usr/sbin/keyswitchd", "disarm"); err != nil {
			return err
		}
		if err := bare.settle(ctx, false); err != nil {
			return err
		}
	}
	t.print(os.Stdout, o)
	return nil
}

// cost measures the daemon at rest, closed and open.
func cost(ctx context.Context, o options, key turner, t *table) error {
	for _, c := range []struct {
		open bool
		to   *rest
	}{{false, &t.closed}, {true, &t.open}} {
		if err := key.settle(ctx, c.open); err != nil {
			return err
		}
		fmt.Printf("at rest, open %t: %s\n", c.open, o.idle)
		pid, err := mainPID(ctx)
		if err != nil {
			return err
		}
		// The bus, the journal and the garbage of the last turn are done with by then.
		if err := sleep(ctx, 10*time.Second); err != nil {
			return err
		}
		before, err := switches(pid)
		if err != nil {
			return err
		}
		if err := sleep(ctx, o.idle); err != nil {
			return err
		}
		after, err := switches(pid)
		if err != nil {
			return err
		}
		c.to.switches = after - before
		if c.to.pss, c.to.rss, err = memory(pid); err != nil {
			return err
		}
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
