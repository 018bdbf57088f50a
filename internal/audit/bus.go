package audit

import (
	"context"
	"path"
	"strings"

	"github.com/coreos/go-systemd/v22/dbus"
)

// SystemdUnits asks systemd over the system bus for the units that it has in memory and those that are only files. No
// privilege is needed.
func SystemdUnits(ctx context.Context) ([]Unit, error) {
	conn, err := dbus.NewSystemConnectionContext(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	loaded, err := conn.ListUnitsContext(ctx)
	if err != nil {
		return nil, err
	}
	files, err := conn.ListUnitFilesContext(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]Unit, 0, len(loaded)+len(files))
	for _, u := range loaded {
		if u.ActiveState == "active" || u.ActiveState == "activating" || u.ActiveState == "reloading" {
			out = append(out, Unit{Name: u.Name, Active: true})
		}
	}
	for _, f := range files {
		if strings.HasPrefix(f.Type, "enabled") {
			out = append(out, Unit{Name: path.Base(f.Path), Enabled: true})
		}
	}
	return out, nil
}
