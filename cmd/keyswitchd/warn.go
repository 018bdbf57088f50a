package main

import (
	"context"

	"keyswitchd/internal/config"
)

// warnings is what the start of SSH should tell beside the policy itself. It must be cheap: every turn of the key comes by here.
func warnings(context.Context, config.Config) []string { return nil }
