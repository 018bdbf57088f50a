package main

import (
	"context"
	"errors"
	"io"
	"log/slog"

	"keyswitchd/internal/config"
	"keyswitchd/internal/record"
)

// runRecorded runs the daemon with a log that goes to the journal, the reason of its end included.
func runRecorded(ctx context.Context, cfgPath string, stderr io.Writer) error {
	h := record.NewHandler(stderr)
	defer h.Close()
	log := slog.New(h)
	err := runDaemon(ctx, cfgPath, log)
	if err == nil || !h.Journal() {
		return err // main tells it
	}
	code := exitCode(err)
	if code == exitConfig {
		log.Error("keyswitchd does not start; SSH stays closed until this is mended", record.NotStarted.Attr(), "err", err)
	} else {
		log.Error("keyswitchd gives up, so that systemd closes SSH and starts it again", record.GaveUp.Attr(), "err", err)
	}
	h.Linger()                    // at most at the start, when SSH is closed
	return &exitError{Code: code} // once is enough
}

// exitCode is what err means to whoever started the program.
func exitCode(err error) int {
	var coded *exitError
	var cfg *config.Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &coded):
		return coded.Code
	case errors.As(err, &cfg):
		return exitConfig
	}
	return 1
}
