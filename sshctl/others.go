package sshctl

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"

	sd "github.com/coreos/go-systemd/v22/dbus"
)

// others are the units beside ssh's that the key guards, as far as the configuration and the loaded sockets tell. Whether the
// interlock is on them is another question: facts.holds.
type others struct {
	named []string // by the configuration
	all   []string // the named ones, each socket followed by the services that it starts
	// connections are sockets with Accept=yes, by the beginning of the names of the units that each connection gets ("cockpit@").
	connections map[string]string
}

// find makes others from the names and what is known of the sockets among them.
func find(named []string, files map[string]file) others {
	o := others{named: named, connections: make(map[string]string)}
	for _, unit := range named {
		if !slices.Contains(o.all, unit) {
			o.all = append(o.all, unit)
		}
		f := files[unit]
		if f.load == "loaded" && f.instances {
			o.connections[ConnectionPrefix(unit)] = unit
		}
		for _, service := range f.triggers {
			if !slices.Contains(o.all, service) && !slices.Contains(named, service) && !guarded(service) {
				o.all = append(o.all, service)
			}
		}
	}
	return o
}

// ConnectionPrefix is how the names of the services begin that a socket with Accept=yes makes, one for each connection, and
// the name of their template: "cockpit@" for cockpit.socket (systemd.socket(5), Accept=).
func ConnectionPrefix(socket string) string {
	name, _, _ := strings.Cut(strings.TrimSuffix(socket, ".socket"), "@")
	return name + "@"
}

func (o others) equal(p others) bool {
	return slices.Equal(o.all, p.all) && maps.Equal(o.connections, p.connections)
}

// patterns are for ListUnitsByPatterns.
func (o others) patterns() []string {
	list := slices.Clone(o.all)
	for _, prefix := range slices.Sorted(maps.Keys(o.connections)) {
		list = append(list, prefix+"*.service")
	}
	return list
}

// socketOf names the socket whose connection unit is; "" if it is none.
func (o others) socketOf(unit string) string {
	for prefix, socket := range o.connections {
		if strings.HasPrefix(unit, prefix) && strings.HasSuffix(unit, ".service") && !slices.Contains(o.all, unit) {
			return socket
		}
	}
	return ""
}

func (o others) concerns(unit string) bool {
	return slices.Contains(o.all, unit) || o.socketOf(unit) != ""
}

// connection reports whether unit serves one connection of a socket with Accept=yes: it goes with its socket (PartOf= in its
// drop-in), or ends by itself.
func (f facts) connection(unit string) bool { return instance(unit) || f.others.socketOf(unit) != "" }

// holds reports whether unit has to be down for closed: ssh's units always, others if the interlock is on them.
func (f facts) holds(unit string) bool {
	if guarded(unit) {
		return true
	}
	if socket := f.others.socketOf(unit); socket != "" {
		unit = socket
	}
	file := f.files[unit]
	return f.others.concerns(unit) && file.load == "loaded" && file.interlock
}

// held are the units of a list that have to be down for closed.
func (f facts) held(units map[string]sd.UnitStatus) map[string]sd.UnitStatus {
	held := make(map[string]sd.UnitStatus, len(units))
	for name, u := range units {
		if f.holds(name) {
			held[name] = u
		}
	}
	return held
}

// guards are the other units that Start and Stop name: those that hold. Connections aren't among them; polkit lets nobody stop these.
func (f facts) guards() []string {
	return slices.DeleteFunc(slices.Clone(f.others.all), func(unit string) bool { return !f.holds(unit) })
}

// instances reports whether there is a socket that makes one unit per connection.
func (f facts) instances() bool { return f.files[Socket].instances || len(f.others.connections) > 0 }

// tell is State.Others.
func (f facts) tell() []Other {
	var all []Other
	for _, unit := range f.others.all {
		o := Other{Unit: unit, Active: shown(f.units[unit].ActiveState), Guarded: f.holds(unit)}
		if o.Active == "failed" {
			o.Result = f.files[unit].result
		}
		all = append(all, o)
	}
	return all
}

// StartOthers implements Door. Services that a socket starts are left to it, unless they are named themselves.
func (s *Systemd) StartOthers(ctx context.Context) error {
	var (
		l      *link
		units  []string
		ticket uint64
		first  = true
		late   bool
	)
	err := s.await(ctx, func() bool {
		if first {
			ticket, first = s.stops, false
		}
		if late = s.stops != ticket; late {
			return true
		}
		if s.stopping > 0 {
			return false
		}
		units = slices.DeleteFunc(slices.Clone(s.known.others.named), func(unit string) bool {
			return !s.known.holds(unit) || !down(s.known.units[unit].ActiveState)
		})
		if l = s.link; l != nil {
			s.starting += len(units)
		}
		return true
	})
	switch {
	case err != nil:
		return explain("starting", "the other units", err)
	case late:
		return nil // closed again meanwhile: nothing to start, and nothing went wrong
	case l == nil:
		return explain("starting", "the other units", errAway)
	}
	errs := make([]error, len(units))
	var wg sync.WaitGroup
	for i, unit := range units {
		wg.Go(func() {
			j, err := l.enqueue(ctx, "start", unit)
			s.set(func() { s.starting-- })
			result := ""
			if err == nil {
				result, err = j.wait(ctx)
			}
			switch {
			case err != nil:
				errs[i] = explain("starting", unit, err)
			case result != "done" && !s.stoppedSince(ticket):
				errs[i] = &JobError{Unit: unit, Job: "start", Result: result}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (s *Systemd) stoppedSince(ticket uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stops != ticket
}
