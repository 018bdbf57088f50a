package sshctl

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	sd "github.com/coreos/go-systemd/v22/dbus"
)

// facts is one reading of the guarded units.
type facts struct {
	units  map[string]sd.UnitStatus // those that systemd has in memory, by name
	files  map[string]file          // what is known of their unit files, by name
	others others
}

// file is the part of a unit that only changes when systemd reads unit files again, or somebody edits them.
type file struct {
	load       string   // LoadState: "loaded", "not-found", "masked", ...
	state      string   // UnitFileState: "enabled", "disabled", "static", ...
	interlock  bool     // our drop-in is loaded
	instances  bool     // a socket that makes one unit per connection
	result     string   // Result of the last run, "success" if it went well
	activeThen string   // the ActiveState this was read in
	triggers   []string // the services that a socket with Accept=no starts
}

// list reads which guarded units are in memory and how they are. One round-trip, and unlike reading a unit's properties it
// never makes systemd load a unit, which would send signals that make us read again.
func (l *link) list(ctx context.Context, o others) (map[string]sd.UnitStatus, error) {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	patterns := append([]string{Service, Socket, "ssh@*.service", "sshd@*.service"}, o.patterns()...)
	all, err := l.sd.ListUnitsByPatternsContext(ctx, []string{}, patterns)
	if err != nil {
		return nil, fmt.Errorf("sshctl: asking systemd for the guarded units: %w", err)
	}
	units := make(map[string]sd.UnitStatus, len(all))
	for _, u := range all {
		if guarded(u.Name) || o.concerns(u.Name) {
			units[u.Name] = u
		}
	}
	return units, nil
}

// file reads the slower facts of one unit. It loads the unit if it isn't in memory.
func (l *link) file(ctx context.Context, unit string) (file, error) {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	props, err := l.sd.GetUnitPropertiesContext(ctx, unit)
	if err != nil {
		return file{}, fmt.Errorf("sshctl: asking systemd about %s: %w", unit, err)
	}
	f := file{}
	f.load, _ = props["LoadState"].(string)
	f.state, _ = props["UnitFileState"].(string)
	f.activeThen, _ = props["ActiveState"].(string)
	f.interlock = interlocked(props)
	if f.load != "loaded" {
		return f, nil
	}
	kind := "Service"
	if strings.HasSuffix(unit, ".socket") {
		kind = "Socket"
	}
	if kind == "Socket" || f.activeThen == "failed" {
		own, err := l.sd.GetUnitTypePropertiesContext(ctx, unit, kind)
		if err != nil {
			return file{}, fmt.Errorf("sshctl: asking systemd about %s: %w", unit, err)
		}
		f.instances, _ = own["Accept"].(bool)
		f.result, _ = own["Result"].(string)
	}
	if guarded(unit) && f.interlock {
		pre, err := l.sd.GetUnitTypePropertyContext(ctx, unit, kind, "ExecStartPre")
		if err != nil {
			return file{}, fmt.Errorf("sshctl: asking systemd what %s runs before it starts: %w", unit, err)
		}
		f.interlock = hardens(pre.Value.Value())
	}
	if kind == "Socket" && !f.instances {
		all, _ := props["Triggers"].([]string)
		f.triggers = slices.DeleteFunc(all, func(unit string) bool { return !strings.HasSuffix(unit, ".service") })
	}
	return f, nil
}

// interlocked judges the properties of one unit. It's what is loaded that counts: NeedDaemonReload, which is also true after
// edits that don't matter here, and when the drop-in is only gone from the disk, changes nothing until somebody reloads.
//
// The drop-in alone says little: another one after it may have emptied the list of assertions.
func interlocked(props map[string]any) bool {
	paths, _ := props["DropInPaths"].([]string)
	bound, _ := props["BindsTo"].([]string)
	asserts, _ := props["Asserts"].([][]any)
	return slices.ContainsFunc(paths, func(p string) bool { return strings.HasSuffix(p, DropIn) }) &&
		slices.Contains(bound, DaemonUnit) && slices.ContainsFunc(asserts, assertsPermit)
}

// assertsPermit judges one of the Asserts of a unit (org.freedesktop.systemd1(5)): kind, whether one of several is enough, whether it
// is negated, its argument, and how it ended last.
func assertsPermit(a []any) bool {
	return len(a) > 3 && a[0] == "AssertPathExists" && a[1] == false && a[2] == false && a[3] == permitPath
}

// hardens judges the ExecStartPre of one of ssh's units (org.freedesktop.systemd1(5), "a(sasbttttuii)": the program, its arguments, and
// whether a failure of it is ignored). Without ours, what the last start found of sshd's configuration says nothing of the next.
func hardens(pre any) bool {
	commands, _ := pre.([][]any)
	return slices.ContainsFunc(commands, func(c []any) bool {
		if len(c) < 3 {
			return false
		}
		args, _ := c[1].([]string)
		return c[0] == hardenProgram && len(args) > 1 && args[1] == "harden" && c[2] == false
	})
}

// read takes a new reading. Files are read again when systemd did so (fresh), and when a unit came to rest in another state
// than the one they were read in; while it is on its way they can wait, for the way to open is where time counts.
func (l *link) read(ctx context.Context, named []string, old facts, fresh bool) (facts, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	if old.files == nil {
		fresh, old.others = true, find(named, nil)
	}
	for {
		now, err := l.readOnce(ctx, old, fresh)
		if err != nil {
			return facts{}, err
		}
		now.others = find(named, now.files)
		if now.others.equal(old.others) {
			return now, nil
		}
		old, fresh = now, false // a socket has been loaded: the units that it starts weren't in the list
	}
}

func (l *link) readOnce(ctx context.Context, old facts, fresh bool) (facts, error) {
	units, err := l.list(ctx, old.others)
	if err != nil {
		return facts{}, err
	}
	now := facts{units: units, files: make(map[string]file)}
	names := append([]string{Service, Socket}, old.others.all...)
	for _, unit := range slices.Sorted(maps.Keys(units)) {
		// One that is down will be loaded afresh, with its template's drop-in; and some are no connections at all, such as
		// Debian's sshd@sshd-keygen.service, which is only ever mentioned in a dependency.
		if instance(unit) && !down(units[unit].ActiveState) {
			names = append(names, unit)
		}
	}
	for _, unit := range names {
		known, ok := old.files[unit]
		u, loaded := units[unit]
		moved := loaded && resting(u.ActiveState) && u.ActiveState != known.activeThen
		if ok && !fresh && moved && !guarded(unit) && down(u.ActiveState) && u.ActiveState != "failed" {
			// It was guarded when it came up, and is looked at again when it comes up next: closing needn't wait for it.
			known.activeThen, moved = u.ActiveState, false
		}
		if ok && !fresh && !moved {
			now.files[unit] = known
			continue
		}
		f, err := l.file(ctx, unit)
		if err != nil {
			return facts{}, err
		}
		now.files[unit] = f
	}
	return now, nil
}

func resting(active string) bool { return active == "active" || down(active) }

// down: nothing of the unit runs. An instance that isn't in memory has no status and is down as well.
func down(active string) bool {
	return active == "" || active == "inactive" || active == "failed" || active == "maintenance"
}

// way names the unit that is the way in: the socket if it is enabled, else the service.
func (f facts) way() string {
	s := f.files[Socket]
	if s.load == "loaded" && (s.state == "enabled" || s.state == "enabled-runtime") {
		return Socket
	}
	return Service
}

// shut reports whether nothing is running and nothing is about to.
func shut(units map[string]sd.UnitStatus) bool {
	for _, u := range units {
		if !down(u.ActiveState) || strings.Contains(u.JobType, "start") { // "start", "restart"
			return false
		}
	}
	return true
}

// state judges a reading. Pure.
func (f facts) state(sessions int) State {
	s := State{Unit: f.way(), Closed: true, Down: true, Sessions: sessions, Others: f.tell()}
	s.Active = shown(f.units[s.Unit].ActiveState)
	for name, u := range f.held(f.units) {
		s.Closed = s.Closed && down(u.ActiveState)
		s.Down = s.Down && (down(u.ActiveState) || !guarded(name))
	}
	for _, unit := range []string{Service, Socket} {
		s.Open = s.Open || shown(f.units[unit].ActiveState) == "active"
		if f.units[unit].ActiveState == "failed" && s.Result == "" {
			s.Result = f.files[unit].result
		}
	}
	loaded := 0
	s.Interlocked = true
	for name, file := range f.files {
		if guarded(name) && file.load == "loaded" {
			loaded++
			s.Interlocked = s.Interlocked && file.interlock
		}
	}
	s.Interlocked = s.Interlocked && loaded > 0
	return s
}

// shown maps systemd's ActiveState to the five that a door has.
func shown(active string) string {
	switch active {
	case "", "maintenance":
		return "inactive"
	case "reloading", "refreshing":
		return "active"
	default:
		return active
	}
}
