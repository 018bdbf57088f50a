package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

const (
	// pace is how often the port is looked at: it bounds the error of a measurement.
	pace = 2 * time.Millisecond
	// patience is for a machine that is stuck, not for one that is slow.
	patience = 2 * time.Minute

	keyLine = "/sys/devices/platform/gpio-sim.0/gpiochip0/sim_gpio17/pull"
	ledLine = "/sys/devices/platform/gpio-sim.0/gpiochip0/sim_gpio27/value"
)

// times are the durations from each order until it was seen to be carried out.
type times struct{ on, off []time.Duration }

// turner opens and closes SSH in one way and sees when it has happened.
type turner struct {
	port int
	rest time.Duration
	// turn orders SSH open or closed. What wait returns ends when everything that belongs to it has.
	turn func(ctx context.Context, open bool) (wait func() error, err error)
}

// turns measures n openings and n closings, beginning with SSH closed.
func (w turner) turns(ctx context.Context, n int, to *times) error {
	for range n {
		for _, open := range []bool{true, false} {
			took, err := w.once(ctx, open)
			if err != nil {
				return err
			}
			if open {
				to.on = append(to.on, took)
			} else {
				to.off = append(to.off, took)
			}
		}
	}
	return nil
}

// settle opens or closes SSH, unmeasured.
func (w turner) settle(ctx context.Context, open bool) error {
	_, err := w.once(ctx, open)
	return err
}

func (w turner) once(ctx context.Context, open bool) (time.Duration, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("bench: port %d is not as ordered (open %t) after %s; journalctl -b may tell why", w.port, open, patience))
	defer cancel()
	if err := sleep(ctx, w.rest); err != nil {
		return 0, err
	}
	seen := make(chan time.Time, 1)
	failed := make(chan error, 1)
	go func() {
		at, err := watch(ctx, w.port, open)
		if err != nil {
			failed <- err
			return
		}
		seen <- at
	}()
	began := time.Now()
	wait, err := w.turn(ctx, open)
	if err != nil {
		return 0, err
	}
	select {
	case at := <-seen:
		return at.Sub(began), wait()
	case err := <-failed:
		return 0, err
	}
}

// systemctlTurn is the bare way.
func systemctlTurn(ctx context.Context, open bool) (func() error, error) {
	verb := "stop"
	if open {
		verb = "start"
	}
	cmd := exec.CommandContext(ctx, "/usr/bin/systemctl", verb, "ssh.service")
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("bench: systemctl %s ssh.service: %w", verb, err)
	}
	return func() error {
		if err := cmd.Wait(); err != nil {
			return fmt.Errorf("bench: systemctl %s ssh.service: %w", verb, err)
		}
		return nil
	}, nil
}

// keyTurn turns the key, a contact between the line and ground. It is over when the LED says so.
func keyTurn(ctx context.Context, open bool) (func() error, error) {
	pull, lit := "pull-up", "0"
	if open {
		pull, lit = "pull-down", "1"
	}
	if err := os.WriteFile(keyLine, []byte(pull), 0o644); err != nil {
		return nil, fmt.Errorf("bench: turning the key: %w", err)
	}
	return func() error {
		for {
			b, err := os.ReadFile(ledLine)
			if err != nil {
				return fmt.Errorf("bench: reading the LED: %w", err)
			}
			if strings.TrimSpace(string(b)) == lit {
				return nil
			}
			if err := sleep(ctx, 10*pace); err != nil {
				return err
			}
		}
	}, nil
}

// output runs a program whose failure is the bench's.
func output(ctx context.Context, args ...string) error {
	if out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("bench: %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}
