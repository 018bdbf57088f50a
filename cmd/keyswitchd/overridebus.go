package main

import (
	"log/slog"

	"keyswitchd/internal/keyswitch"
	"keyswitchd/internal/override"
	"keyswitchd/internal/status"
)

// answerOverrides has `keyswitchd on`, `off` and `auto` answered on the bus: by c, after those who are asked whether they may.
func answerOverrides(bus *status.Bus, c *keyswitch.Controller, log *slog.Logger) {
	bus.Answer(override.New(c, log))
}
