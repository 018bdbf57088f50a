package sshctl

import (
	"context"
	"fmt"
)

// UnitLook is one unit as systemd sees it. All fields are systemd's own words (org.freedesktop.systemd1(5)).
type UnitLook struct {
	LoadState      string // "loaded", "not-found", "masked", ...
	ActiveState    string // "active", "inactive", "failed", ...
	SubState       string // "running", "dead", "listening", ...
	Result         string // of its last run: "success", "exit-code", "watchdog", ...; "" for a unit that isn't loaded
	ExecMainStatus int    // exit code of its last run; 0 for a unit that isn't loaded or isn't a service
	UnitFileState  string // "enabled", "disabled", ...; "" if there is no unit file
	Interlocked    bool   // loaded with the interlock's drop-in
}

// DeadLook is what can be said about SSH when the daemon doesn't answer.
type DeadLook struct {
	Daemon  UnitLook // keyswitchd.service
	Service UnitLook // ssh.service
	Socket  UnitLook // ssh.socket
}

// Look asks systemd once, read-only; no privilege is needed.
func Look(ctx context.Context) (DeadLook, error) { return look(ctx, SystemBus) }

func look(ctx context.Context, address string) (DeadLook, error) {
	l, err := dial(ctx, address)
	if err != nil {
		return DeadLook{}, err
	}
	defer l.close()
	var d DeadLook
	for _, v := range []struct {
		unit, kind string
		look       *UnitLook
	}{
		{DaemonUnit, "Service", &d.Daemon},
		{Service, "Service", &d.Service},
		{Socket, "Socket", &d.Socket},
	} {
		if *v.look, err = l.look(ctx, v.unit, v.kind); err != nil {
			return DeadLook{}, err
		}
	}
	return d, nil
}

func (l *link) look(ctx context.Context, unit, kind string) (UnitLook, error) {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	props, err := l.sd.GetUnitPropertiesContext(ctx, unit)
	if err != nil {
		return UnitLook{}, fmt.Errorf("sshctl: asking systemd about %s: %w", unit, err)
	}
	u := UnitLook{Interlocked: interlocked(props)}
	u.LoadState, _ = props["LoadState"].(string)
	u.ActiveState, _ = props["ActiveState"].(string)
	u.SubState, _ = props["SubState"].(string)
	u.UnitFileState, _ = props["UnitFileState"].(string)
	if u.LoadState != "loaded" {
		return u, nil
	}
	own, err := l.sd.GetUnitTypePropertiesContext(ctx, unit, kind)
	if err != nil {
		return UnitLook{}, fmt.Errorf("sshctl: asking systemd about %s: %w", unit, err)
	}
	u.Interlocked = u.Interlocked && hardens(own["ExecStartPre"])
	u.Result, _ = own["Result"].(string)
	if code, ok := own["ExecMainStatus"].(int32); ok {
		u.ExecMainStatus = int(code)
	}
	return u, nil
}
