package interlock

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"keyswitchd/sshctl"
)

// Unit is what arming has to know of a further unit. The fields are systemd's properties (org.freedesktop.systemd1(5)).
type Unit struct {
	ID          string // its own name, whichever of its names was asked for
	Load        string // LoadState
	CanStart    bool
	CanStop     bool
	Accept      bool     // of a socket: one service for each connection
	Triggers    []string // of a socket: the services that it starts
	TriggeredBy []string
	Needs       []string // what it requires, is bound to or wants
	After       []string
}

// guard is a drop-in to be: for which unit, and its content.
type guard struct {
	unit    string // may be a template
	content []byte
}

// unitName matches what may become the name of a folder and stand in a rule of polkit; the configuration has checked more.
var unitName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9:_.-]*(@[A-Za-z0-9:_.-]+)?\.(service|socket)$`)

// userUnits are where the units of the user managers lie, systemd.unit(5).
var userUnits = [...]string{"etc/systemd/user", "usr/local/lib/systemd/user", "usr/lib/systemd/user"}

// plan looks at the further units, refuses those that can't be guarded or must not be, and says which drop-ins they get. named
// are those that polkit has to permit: a socket's services belong to them.
func (m Machine) plan(ctx context.Context, sd Systemd, units []string) (guards []guard, named []string, err error) {
	if len(units) == 0 {
		return nil, nil, nil
	}
	needs, before, err := underKeyswitchd(ctx, sd)
	if err != nil {
		return nil, nil, err
	}
	add := func(unit, kind, socket string) error {
		if slices.ContainsFunc(guards, func(g guard) bool { return g.unit == unit }) {
			return nil
		}
		content, err := os.ReadFile(filepath.Join(m.Source, kind+".conf"))
		if err != nil {
			return fmt.Errorf("interlock: reading the drop-in for %s: %w; install keyswitchd again", unit, err)
		}
		guards = append(guards, guard{unit, []byte(strings.ReplaceAll(string(content), "@SOCKET@", socket))})
		if !strings.HasSuffix(unit, "@.service") {
			named = append(named, unit)
		}
		return nil
	}
	check := func(unit string) (Unit, error) {
		if !unitName.MatchString(unit) || len(unit) > 255 {
			return Unit{}, refuse(unit, "it is no name of a service or of a socket; write it as systemctl has it")
		}
		u, err := sd.Unit(ctx, unit)
		if err != nil {
			return u, err
		}
		switch {
		case u.ID != unit && u.ID != "" && u.Load == "loaded":
			return u, refuse(unit, "it is another name of %s; write that, unless it is SSH itself", u.ID)
		case strings.HasPrefix(unit, "keyswitchd"), slices.Contains(Units, unit), strings.HasPrefix(unit, "ssh@"), strings.HasPrefix(unit, "sshd@"):
			return u, refuse(unit, "the key guards it anyway; leave it out")
		case slices.Contains(needs, unit):
			return u, refuse(unit, "keyswitchd itself needs it")
		case strings.HasSuffix(unit, ".service") && slices.Contains(before, unit):
			return u, refuse(unit, "keyswitchd starts after it, so it can't start after keyswitchd")
		}
		return u, nil
	}
	for _, unit := range units {
		u, err := check(unit)
		if err != nil {
			return nil, nil, err
		}
		switch {
		case u.Load == "not-found" && m.userUnit(unit):
			return nil, nil, refuse(unit, "it is a unit of the user managers (systemctl --user), which a system unit can't hold back; is there a system service for it?")
		case u.Load == "not-found":
			return nil, nil, refuse(unit, "there is no such unit; look for its name with systemctl list-unit-files")
		case u.Load != "loaded":
			return nil, nil, refuse(unit, "systemd can't use it (%s); type: systemctl status %s", u.Load, unit)
		case !u.CanStart || !u.CanStop:
			return nil, nil, refuse(unit, "it refuses to be started or stopped by hand (RefuseManualStart=, RefuseManualStop=)")
		}
		socket := strings.HasSuffix(unit, ".socket")
		for _, by := range u.TriggeredBy {
			if socket || !strings.HasSuffix(by, ".socket") || slices.Contains(units, by) {
				continue
			}
			listens, err := sd.Active(ctx, by)
			if err == nil && !listens {
				listens, err = sd.Enabled(ctx, by)
			}
			if err != nil {
				return nil, nil, err
			}
			if listens {
				return nil, nil, refuse(unit, "%s starts it, and would go on listening; name %s instead, its service is guarded along", by, by)
			}
		}
		if !socket {
			err = add(unit, "other.service", "")
		} else if err = add(unit, "other.socket", ""); err == nil && u.Accept {
			err = add(sshctl.ConnectionPrefix(unit)+".service", "other@.service", unit)
		}
		if err != nil {
			return nil, nil, err
		}
		for _, service := range u.Triggers {
			if u.Accept || !strings.HasSuffix(service, ".service") {
				continue
			}
			if _, err := check(service); err != nil {
				return nil, nil, fmt.Errorf("interlock: %s starts a service that can't be guarded: %w", unit, err)
			}
			if err := add(service, "other.service", ""); err != nil {
				return nil, nil, err
			}
		}
	}
	return guards, named, nil
}

func refuse(unit, format string, args ...any) error {
	return fmt.Errorf("interlock: putting %s under the key: %s; nothing was changed", unit, fmt.Sprintf(format, args...))
}

// userUnit reports whether there is such a unit for the user managers.
func (m Machine) userUnit(unit string) bool {
	for _, dir := range userUnits {
		if _, err := os.Lstat(filepath.Join(m.Root, dir, unit)); err == nil {
			return true
		}
	}
	return false
}

// underKeyswitchd finds what keyswitchd stands on: needs are the units without which it doesn't run, before those that start
// before it. One that is in there and is held back until keyswitchd runs would hold back keyswitchd.
func underKeyswitchd(ctx context.Context, sd Systemd) (needs, before []string, err error) {
	known := make(map[string]Unit)
	closure := func(next func(Unit) []string) ([]string, error) {
		all := []string{sshctl.DaemonUnit}
		for i := 0; i < len(all); i++ {
			u, ok := known[all[i]]
			if !ok {
				if u, err = sd.Unit(ctx, all[i]); err != nil {
					return nil, err
				}
				known[all[i]] = u
			}
			for _, unit := range next(u) {
				if !slices.Contains(all, unit) {
					all = append(all, unit)
				}
			}
		}
		return all, nil
	}
	if needs, err = closure(func(u Unit) []string { return u.Needs }); err != nil {
		return nil, nil, err
	}
	before, err = closure(func(u Unit) []string { return u.After })
	return needs, before, err
}
