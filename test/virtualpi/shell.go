package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"

	"keyswitchd/test/virtualpi/vm"
)

const welcome = `
This is a virtual Raspberry Pi: Debian %s with systemd and GPIO lines, and nothing of it is kept.
  key on, key off   turn the key (GPIO17)         key   where it is
  led               look at the LED (GPIO27)
  exit, or Ctrl-D   leave

`

// shell boots a machine for a person.
func shell(ctx context.Context, args []string) (int, error) {
	flags := flag.NewFlagSet("virtualpi shell", flag.ContinueOnError)
	var cfg vm.Config
	verbose := machineFlags(flags, &cfg)
	if err := flags.Parse(args); err != nil {
		return exitUsage, err
	}
	if *verbose {
		cfg.Console = os.Stderr
	}
	m, err := vm.Boot(ctx, cfg)
	if err != nil {
		return exitMachine, err
	}
	defer m.Close()
	fmt.Fprintf(os.Stderr, welcome, cfg.Suite)

	c := m.Command("/bin/bash")
	c.Env = []string{"PATH=/run/virtualpi/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=" + os.Getenv("TERM")}
	c.Dir = "/root"
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	restore, err := attachTerminal(c)
	if err != nil {
		return exitMachine, err
	}
	defer restore()
	if err := c.Start(); err != nil {
		return exitMachine, err
	}
	if c.Terminal != nil {
		stop := followSize(c)
		defer stop()
	}
	code, err := c.Wait(ctx)
	if errors.Is(err, vm.ErrGone) {
		return 0, nil // someone typed poweroff
	}
	if err != nil {
		return exitMachine, err
	}
	return code, nil
}

// attachTerminal gives the command a terminal like ours, if we have one, and lets every key through to it.
func attachTerminal(c *vm.Cmd) (restore func(), err error) {
	before, err := unix.IoctlGetTermios(unix.Stdin, unix.TCGETS)
	if err != nil {
		return func() {}, nil // a pipe or a file: no terminal inside either
	}
	size, err := terminalSize()
	if err != nil {
		return nil, err
	}
	c.Terminal = &size
	raw := *before
	raw.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	raw.Oflag &^= unix.OPOST
	raw.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	if err := unix.IoctlSetTermios(unix.Stdin, unix.TCSETS, &raw); err != nil {
		return nil, fmt.Errorf("shell: setting up the terminal: %w", err)
	}
	return func() { unix.IoctlSetTermios(unix.Stdin, unix.TCSETS, before) }, nil
}

// followSize tells the inside when our terminal changes its size, until stop is called.
func followSize(c *vm.Cmd) (stop func()) {
	changes := make(chan os.Signal, 1)
	signal.Notify(changes, syscall.SIGWINCH)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range changes {
			if size, err := terminalSize(); err == nil {
				c.Resize(size) // a wrong size is no reason to end
			}
		}
	}()
	return func() {
		signal.Stop(changes)
		close(changes)
		<-ended
	}
}

func terminalSize() (vm.Size, error) {
	w, err := unix.IoctlGetWinsize(unix.Stdin, unix.TIOCGWINSZ)
	if err != nil {
		return vm.Size{}, fmt.Errorf("shell: asking for the terminal's size: %w", err)
	}
	return vm.Size{Rows: w.Row, Columns: w.Col}, nil
}
