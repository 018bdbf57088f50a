package main

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"keyswitchd/hardening"
	"keyswitchd/internal/config"
	"keyswitchd/internal/lockout"
)

// warnWithin bounds looking for what would lock the admin out. It takes a millisecond, unless a home directory lies on a server
// that doesn't answer.
const warnWithin = 2 * time.Second

// warnings is what the start of SSH should tell beside the policy itself: what would lock the admin out. Every turn of the key
// comes by here; it runs no program. Whatever it finds, and if it finds nothing out, it keeps nothing closed.
func warnings(ctx context.Context, cfg config.Config) []string {
	ctx, cancel := context.WithTimeout(ctx, warnWithin)
	defer cancel()
	found := make(chan []string, 1)
	// Nobody can end a look at a file that hangs, so nobody waits for this one: it ends with the process, which is short.
	go func() { found <- lookForLockout(cfg) }()
	select {
	case lines := <-found:
		return lines
	case <-ctx.Done():
		return []string{"whether anybody can log in is not known: the files of the accounts do not answer; are their homes there?"}
	}
}

func lookForLockout(cfg config.Config) []string {
	m := lockoutMachine(cfg.Policy)
	m.Addresses = nil // Harden itself looks at these
	problems, err := m.Check(cfg.Policy)
	if err != nil {
		return []string{fmt.Sprintf("whether anybody can log in is not known: %v", err)}
	}
	var out []string
	for _, p := range problems {
		out = append(out, p.String())
	}
	return out
}

// lockoutMachine is this machine as package lockout wants it. sshd's files are read by hardening's own reader.
func lockoutMachine(policy hardening.Policy) lockout.Machine {
	files := sync.OnceValues(func() (*hardening.Files, error) {
		kept, _ := hardening.ReadResult(hardening.DefaultResultFile) // without it, as the newest sshd reads them
		return hardening.ReadFiles(hardening.DefaultConfigFile, kept.Release())
	})
	return lockout.Machine{Root: "/", Now: time.Now(), Addresses: lockout.Addresses,
		Settings: func(account string) (map[string][]string, error) {
			f, err := files()
			if err != nil {
				return nil, err
			}
			return f.Effective(hardening.Connection{User: account,
				Host: "client.invalid", Addr: "192.0.2.1", LAddr: "192.0.2.2", LPort: policy.Port})
		}}
}

// lockedOut refuses to arm a machine that nobody could log in to afterwards, or not those who were meant, and says what to
// type. With evenIf, and where it can't be known, it only warns.
func lockedOut(w io.Writer, cfg config.Config, evenIf bool) error {
	problems, err := lockoutMachine(cfg.Policy).Check(cfg.Policy)
	if err != nil {
		if evenIf {
			fmt.Fprintf(w, "warning: whether anybody can log in is not known: %v\n", err)
			return nil
		}
		return fmt.Errorf("arm: looking whether you would lock yourself out: %w; or arm with --even-if-locked-out", err)
	}
	for _, line := range cfg.Policy.Advice() {
		fmt.Fprintf(w, "note: %s\n", line)
	}
	refused := 0
	for _, p := range problems {
		word := "warning"
		if !p.Unsure && !evenIf {
			word = "locked out"
			refused++
		}
		fmt.Fprintf(w, "%s: %s\n  do: %s\n", word, p.What, p.Do)
	}
	if refused > 0 {
		return &exitError{Code: 1, Err: fmt.Errorf("arm: once armed, you would be locked out of SSH as said above; nothing was changed. Mend it and arm again; " +
			"if you can do without, because you have a screen and a keyboard there: keyswitchd arm --even-if-locked-out")}
	}
	return nil
}
