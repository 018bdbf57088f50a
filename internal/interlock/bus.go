package interlock

import (
	"context"
	"fmt"
	"strings"

	"github.com/coreos/go-systemd/v22/dbus"
)

// Bus is the Systemd of this machine, as root.
type Bus struct{ conn *dbus.Conn }

// Connect reaches systemd over the system bus.
func Connect(ctx context.Context) (*Bus, error) {
	conn, err := dbus.NewSystemConnectionContext(ctx)
	if err != nil {
		return nil, fmt.Errorf("interlock: connecting to systemd over the system bus: %w; does this machine run systemd?", err)
	}
	return &Bus{conn}, nil
}

// Close ends the connection.
func (b *Bus) Close() { b.conn.Close() }

// Reload is systemctl daemon-reload.
func (b *Bus) Reload(ctx context.Context) error {
	if err := b.conn.ReloadContext(ctx); err != nil {
		return fmt.Errorf("interlock: systemctl daemon-reload: %w", err)
	}
	return nil
}

// Enabled reports whether unit starts at boot.
func (b *Bus) Enabled(ctx context.Context, unit string) (bool, error) {
	p, err := b.conn.GetUnitPropertyContext(ctx, unit, "UnitFileState")
	if err != nil {
		return false, fmt.Errorf("interlock: asking systemd about %s: %w", unit, err)
	}
	state, _ := p.Value.Value().(string)
	return strings.HasPrefix(state, "enabled"), nil
}

// Enable is systemctl enable.
func (b *Bus) Enable(ctx context.Context, unit string) error {
	_, changes, err := b.conn.EnableUnitFilesContext(ctx, []string{unit}, false, false)
	if err != nil {
		return fmt.Errorf("interlock: systemctl enable %s: %w", unit, err)
	}
	if len(changes) == 0 {
		return nil
	}
	return b.Reload(ctx)
}

// Disable is systemctl disable.
func (b *Bus) Disable(ctx context.Context, unit string) error {
	changes, err := b.conn.DisableUnitFilesContext(ctx, []string{unit}, false)
	if err != nil {
		return fmt.Errorf("interlock: systemctl disable %s: %w", unit, err)
	}
	if len(changes) == 0 {
		return nil
	}
	return b.Reload(ctx)
}

// Active reports whether unit runs, or is about to. A unit that doesn't exist doesn't.
func (b *Bus) Active(ctx context.Context, unit string) (bool, error) {
	p, err := b.conn.GetUnitPropertyContext(ctx, unit, "ActiveState")
	if err != nil {
		return false, fmt.Errorf("interlock: asking systemd about %s: %w", unit, err)
	}
	switch p.Value.Value() {
	case "active", "activating", "reloading":
		return true, nil
	}
	return false, nil
}

// Unit reads what arming has to know. systemd loads the unit for it, if it isn't in memory.
func (b *Bus) Unit(ctx context.Context, name string) (Unit, error) {
	p, err := b.conn.GetUnitPropertiesContext(ctx, name)
	if err != nil {
		return Unit{}, fmt.Errorf("interlock: asking systemd about %s: %w", name, err)
	}
	var u Unit
	u.ID, _ = p["Id"].(string)
	u.Load, _ = p["LoadState"].(string)
	u.CanStart, _ = p["CanStart"].(bool)
	u.CanStop, _ = p["CanStop"].(bool)
	u.Triggers, _ = p["Triggers"].([]string)
	u.TriggeredBy, _ = p["TriggeredBy"].([]string)
	u.After, _ = p["After"].([]string)
	for _, kind := range []string{"Requires", "Requisite", "BindsTo", "Wants"} {
		units, _ := p[kind].([]string)
		u.Needs = append(u.Needs, units...)
	}
	if strings.HasSuffix(name, ".socket") && u.Load == "loaded" {
		accept, err := b.conn.GetUnitTypePropertyContext(ctx, name, "Socket", "Accept")
		if err != nil {
			return Unit{}, fmt.Errorf("interlock: asking systemd about %s: %w", name, err)
		}
		u.Accept, _ = accept.Value.Value().(bool)
	}
	return u, nil
}

// Restart is systemctl restart.
func (b *Bus) Restart(ctx context.Context, unit string) error {
	return b.job(ctx, "restart", unit, b.conn.RestartUnitContext)
}

// Start is systemctl start.
func (b *Bus) Start(ctx context.Context, unit string) error {
	return b.job(ctx, "start", unit, b.conn.StartUnitContext)
}

// Stop is systemctl stop.
func (b *Bus) Stop(ctx context.Context, unit string) error {
	return b.job(ctx, "stop", unit, b.conn.StopUnitContext)
}

func (b *Bus) job(ctx context.Context, verb, unit string, do func(context.Context, string, string, chan<- string) (int, error)) error {
	done := make(chan string, 1)
	if _, err := do(ctx, unit, "replace", done); err != nil {
		return fmt.Errorf("interlock: systemctl %s %s: %w", verb, unit, err)
	}
	select {
	case result := <-done:
		if result != "done" {
			return fmt.Errorf("interlock: systemctl %s %s: the job ended %q; journalctl -u %s -n 30 says why", verb, unit, result, unit)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("interlock: systemctl %s %s: %w", verb, unit, ctx.Err())
	}
}
