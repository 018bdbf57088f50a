package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"keyswitchd/test/virtualpi/vm"
)

// machineFlags adds the flags that describe a machine.
func machineFlags(flags *flag.FlagSet, cfg *vm.Config) (verbose *bool) {
	flags.StringVar(&cfg.Suite, "suite", "trixie", "Debian release: bookworm, trixie or forky")
	flags.IntVar(&cfg.MemoryMiB, "mem", 0, "memory in MiB (default 512)")
	flags.DurationVar(&cfg.BootTimeout, "boot-timeout", 0, "how long a boot may take (default 4m)")
	flags.Func("install", "directory, as made by make install DESTDIR=, to copy over / before systemd starts; may be repeated", func(dir string) error {
		abs, err := existingDir(dir)
		cfg.Install = append(cfg.Install, abs)
		return err
	})
	flags.Func("share", "HOST:GUEST[:ro], a directory to share; may be repeated", func(s string) error {
		share, err := parseShare(s)
		cfg.Shares = append(cfg.Shares, share)
		return err
	})
	flags.Func("key", "the key's position at boot: off, on, or open (nothing connected) (default off)", func(s string) error {
		cfg.Key = vm.Key(s)
		switch cfg.Key {
		case vm.KeyOff, vm.KeyOn, vm.KeyOpen:
			return nil
		}
		return fmt.Errorf("unknown position; choose off, on or open")
	})
	return flags.Bool("v", false, "show the machine's console on stderr")
}

func parseShare(s string) (vm.Share, error) {
	s, readOnly := strings.CutSuffix(s, ":ro")
	host, guest, found := strings.Cut(s, ":")
	if !found || !filepath.IsAbs(guest) || strings.Contains(guest, ":") {
		return vm.Share{}, errors.New("want HOST:GUEST or HOST:GUEST:ro, GUEST absolute")
	}
	host, err := existingDir(host)
	return vm.Share{Host: host, Guest: guest, ReadOnly: readOnly}, err
}

func existingDir(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(abs)
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return "", fmt.Errorf("%s is not a directory", abs)
	}
	return abs, nil
}
