package vm

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"strings"

	"keyswitchd/test/virtualpi/wire"
)

// The simulated lines of the header, in the machine's sysfs.
const (
	linesDir = "/sys/devices/platform/gpio-sim.0/gpiochip0"
	keyLine  = linesDir + "/sim_gpio17/pull"
	ledLine  = linesDir + "/sim_gpio27/value"
)

// SetKey turns the key of a running machine, without bounce.
func (m *Machine) SetKey(ctx context.Context, on bool) error {
	pull := "pull-up"
	if on {
		pull = "pull-down"
	}
	return m.WriteFile(ctx, keyLine, []byte(pull), 0o644)
}

// LED reads the LED's line.
func (m *Machine) LED(ctx context.Context) (lit bool, err error) {
	b, err := m.ReadFile(ctx, ledLine)
	return strings.TrimSpace(string(b)) == "1", err
}

// WriteFile writes a file inside, without starting a process there.
func (m *Machine) WriteFile(ctx context.Context, path string, content []byte, mode fs.FileMode) error {
	if _, err := m.order(ctx, wire.Order{Write: &wire.WriteOrder{Path: path, Mode: uint32(mode.Perm())}}, content, nil); err != nil {
		return fmt.Errorf("vm: writing inside: %w", err)
	}
	return nil
}

// ReadFile reads a file inside, without starting a process there.
func (m *Machine) ReadFile(ctx context.Context, path string) ([]byte, error) {
	var content bytes.Buffer
	if _, err := m.order(ctx, wire.Order{Read: &wire.ReadOrder{Path: path}}, nil, &content); err != nil {
		return nil, fmt.Errorf("vm: reading inside: %w", err)
	}
	return content.Bytes(), nil
}

// Mount shares a directory of the host until the next reboot.
func (m *Machine) Mount(ctx context.Context, s Share) error {
	_, err := m.order(ctx, wire.Order{Mount: &wire.MountOrder{Host: s.Host, Guest: s.Guest, ReadOnly: s.ReadOnly}}, nil, nil)
	if err != nil {
		return fmt.Errorf("vm: sharing %s: %w", s.Host, err)
	}
	return nil
}
