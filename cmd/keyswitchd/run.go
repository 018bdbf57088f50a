package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"keyswitchd/gpio"
	"keyswitchd/hardening"
	"keyswitchd/internal/config"
	"keyswitchd/internal/keyswitch"
	"keyswitchd/internal/record"
	"keyswitchd/internal/status"
	"keyswitchd/sshctl"
)

// runtimeDir is RuntimeDirectory= of keyswitchd.service. The interlock's AssertPathExists= names the permit in it.
const runtimeDir = "/run/keyswitchd"

// lockdownFile is in StateDirectory= of keyswitchd.service.
const lockdownFile = "/var/lib/keyswitchd-lockdown/lockdown"

func newRun(cfgPath *string) *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Watch the key (what keyswitchd.service runs)",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runRecorded(cmd.Context(), *cfgPath, cmd.ErrOrStderr())
		},
	}
}

func runDaemon(ctx context.Context, cfgPath string, log *slog.Logger) error {
	cfg, err := config.Load(cfgPath)
	if err != nil {
		return err
	}
	if info, err := os.Stat(runtimeDir); err != nil || !info.IsDir() {
		return fmt.Errorf("run: there is no %s for the permit; it is made by systemd: systemctl start keyswitchd (keyswitchd simulate needs no systemd)", runtimeDir)
	}
	board, err := gpio.Linux()
	if err != nil {
		return err
	}
	if err := checkLines(board, cfg); err != nil {
		return err
	}
	watchdog, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return fmt.Errorf("run: reading WATCHDOG_USEC: %w", err)
	}
	clock, err := keyswitch.NewBoottime()
	if err != nil {
		return err
	}
	bus := status.NewBus(nil)
	news := make(chan struct{}, 1)
	key := gpio.NewKey(board, cfg.Key)
	c := &keyswitch.Controller{
		Key:       key,
		LED:       gpio.NewLED(board, cfg.LED),
		Door:      sshctl.NewSystemd(sshctl.SystemdConfig{Units: cfg.Units}),
		Permit:    keyswitch.PermitFile(filepath.Join(runtimeDir, "permit")),
		Clock:     clock,
		Lockdown:  keyswitch.LockdownFile(lockdownFile),
		Hardening: func() (hardening.Result, error) { return hardening.ReadResult(hardening.DefaultResultFile) },
		Publish: func(s status.Status) {
			select {
			case news <- struct{}{}:
			default:
			}
			bus.Publish(s)
			notify(log, "STATUS="+s.Line())
		},
		Ready: func() { notify(log, daemon.SdNotifyReady) },
		Watchdog: func() {
			// The loop calls this, so the loop lives; the key has to prove that somebody still looks at it.
			if !key.Check() {
				log.Error("keyswitchd pings no more, so that systemd closes SSH and starts it again", record.GaveUp.Attr(), "err", "nobody looks at the key any more")
				return
			}
			notify(log, daemon.SdNotifyWatchdog)
		},
		WatchdogEvery: watchdog / 2,
		WatchdogSeldom: func(seldom bool) {
			within := watchdog
			if seldom {
				within *= keyswitch.SeldomFactor
			}
			notify(log, fmt.Sprintf("WATCHDOG_USEC=%d", within.Microseconds()))
		},
		Log: log,
	}
	c.Set(settings(cfg))
	answerOverrides(bus, c, log)

	var wait sync.WaitGroup
	defer wait.Wait()
	beside, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	wait.Go(func() {
		var last string
		_ = bus.Run(beside, func(err error) { // Run ends with beside only
			if err != nil && err.Error() != last {
				log.Warn("the status can't be told on D-Bus", record.Problem.Attr(), "err", err)
				last = err.Error()
			} else if err == nil {
				last = ""
			}
		})
	})
	wait.Go(func() { reload(beside, cfgPath, cfg, c, log) })
	wait.Go(func() { rest(beside, news, log) })
	err = c.Run(ctx)
	notify(log, daemon.SdNotifyStopping)
	return err
}

// checkLines refuses a line that this board doesn't have: no waiting makes it appear. Everything else that may be wrong with a
// line can pass (another consumer, a driver that loads late), so that is left to the daemon to show and to retry.
func checkLines(board gpio.Board, cfg config.Config) error {
	lines := []struct{ name, at string }{{cfg.Key.Line, cfg.KeyAt}, {cfg.LED.Name, cfg.LEDAt}}
	if cfg.Key.Second != "" {
		lines = append(lines, struct{ name, at string }{cfg.Key.Second, cfg.SecondAt})
	}
	for _, l := range lines {
		if err := gpio.CheckLine(board, l.name); err != nil {
			return &exitError{Code: exitConfig, Err: fmt.Errorf("config: %s: %w", l.at, err)}
		}
	}
	return nil
}

// notify tells systemd (sd_notify(3)). It is the only one to whom a failure matters, and it will notice.
func notify(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("telling systemd", record.Problem.Attr(), "state", state, "err", err)
	}
}

func newLEDOff(cfgPath *string) *cobra.Command {
	return &cobra.Command{
		Use:    "led-off",
		Short:  "Make the LED dark (ExecStopPost= of keyswitchd.service)",
		Hidden: true,
		Args:   noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(*cfgPath)
			if err != nil {
				return err
			}
			board, err := gpio.Linux()
			if err != nil {
				return err
			}
			return gpio.Darken(board, cfg.LED)
		},
	}
}
