package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/coreos/go-systemd/v22/daemon"

	"keyswitchd/internal/config"
	"keyswitchd/internal/keyswitch"
	"keyswitchd/internal/record"
)

// settings are what of cfg may change while the daemon runs.
func settings(cfg config.Config) keyswitch.Settings {
	return keyswitch.Settings{RequireTurn: cfg.RequireTurn, MaxOn: cfg.MaxOn, EndSessions: cfg.EndSessions, Grace: cfg.Grace}
}

// reload takes in the configuration again on each SIGHUP. A bad one changes nothing but the status.
func reload(ctx context.Context, path string, running config.Config, c *keyswitch.Controller, log *slog.Logger) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	now := settings(running)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
		}
		notify(log, daemon.SdNotifyReloading)
		cfg, err := config.Load(path)
		switch {
		case err != nil:
			log.Error("the configuration was not reloaded", record.ReloadRefused.Attr(), "err", err)
			now.Problems = []string{"the configuration was not reloaded, the former one is in force: " + err.Error()}
		default:
			now = settings(cfg)
			now.Problems = notInForce(running, cfg)
			log.Info("the configuration was reloaded; [hardening] is in force from the next start or reload of SSH", record.Reloaded.Attr(), "file", path)
		}
		c.Set(now)
		notify(log, daemon.SdNotifyReady)
	}
}

// notInForce says what of cfg a reload leaves as it is.
func notInForce(running, cfg config.Config) (problems []string) {
	if cfg.Key != running.Key || cfg.LED != running.LED {
		// Another line means another first reading: that is a restart, and it closes SSH.
		problems = append(problems, "[gpio] was changed: systemctl restart keyswitchd puts it in force (and closes SSH for a moment)")
	}
	if !slices.Equal(cfg.Units, running.Units) {
		problems = append(problems, "units was changed: keyswitchd arm, then systemctl restart keyswitchd, puts it in force (and closes SSH for a moment)")
	}
	return problems
}
