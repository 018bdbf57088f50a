package sshctl

import (
	"context"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"

	sd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
)

// fakeSystemd is as much of systemd and logind as the room talks to. hook may take a call over.
type fakeSystemd struct {
	bus *fakeBus

	mu       sync.Mutex
	hook     func(call) bool
	units    map[string]*fakeUnit
	sessions map[string]fakeSession
	jobs     uint32
	seen     []string // "StartUnit ssh.service", ...
	subs     int
}

type fakeUnit struct {
	load, active, file, result string
	dropins, triggers          []string
	accept                     bool
	hidden                     bool // not in memory
	emptied                    bool // a drop-in after ours took the assertion away
	unhardened                 bool // a drop-in after ours took the ExecStartPre away
}

type fakeSession struct {
	remote  bool
	service string
	seat    string
	title   string // of its leader, process 4711 in session-ID.scope
}

func newFakeSystemd(t *testing.T) *fakeSystemd {
	f := &fakeSystemd{bus: newFakeBus(t), sessions: make(map[string]fakeSession)}
	f.units = map[string]*fakeUnit{
		Service:         {load: "loaded", active: "inactive", file: "disabled", dropins: []string{"/usr/lib/systemd/system/ssh.service.d" + DropIn}},
		Socket:          {load: "loaded", active: "inactive", file: "disabled", dropins: []string{"/usr/lib/systemd/system/ssh.socket.d" + DropIn}, hidden: true},
		DaemonUnit:      {load: "loaded", active: "failed", file: "enabled", result: "watchdog"},
		EndSessionsUnit: {load: "loaded", active: "inactive", file: "static"},
	}
	f.bus.answer = f.answer
	return f
}

func unitObject(name string) dbus.ObjectPath {
	return dbus.ObjectPath(systemdPath + "/unit/" + sd.PathBusEscape(name))
}

// intercept sets the hook. It returns true for each call that it has answered itself.
func (f *fakeSystemd) intercept(hook func(call) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hook = hook
}

func (f *fakeSystemd) calls(what string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, s := range f.seen {
		if strings.HasPrefix(s, what) {
			n++
		}
	}
	return n
}

func (f *fakeSystemd) answer(k call) {
	f.mu.Lock()
	hook := f.hook
	what := path.Ext(k.method)[1:]
	if len(k.body) > 0 {
		if s, ok := k.body[0].(string); ok {
			what += " " + s
		}
	}
	f.seen = append(f.seen, what)
	f.mu.Unlock()
	if hook != nil && hook(k) {
		return
	}
	f.normal(k)
}

// normal answers as a systemd in good health would.
func (f *fakeSystemd) normal(k call) {
	switch k.method {
	case managerIface + ".Subscribe":
		f.mu.Lock()
		f.subs++
		f.mu.Unlock()
		k.reply()
	case managerIface + ".ListUnitsByPatterns":
		k.reply(f.list(k.body[1].([]string)))
	case managerIface + ".StartUnit":
		id := f.job()
		k.reply(jobPath(id))
		f.set(k.body[0].(string), "active")
		f.end(id, k.body[0].(string), "done")
	case managerIface + ".StopUnit":
		id := f.job()
		k.reply(jobPath(id))
		f.set(k.body[0].(string), "inactive")
		f.end(id, k.body[0].(string), "done")
	case managerIface + ".ResetFailedUnit":
		f.set(k.body[0].(string), "inactive")
		k.reply()
	case managerIface + ".GetJob":
		k.fail("org.freedesktop.systemd1.NoSuchJob", "Job does not exist.")
	case "org.freedesktop.DBus.Properties.GetAll":
		f.properties(k)
	case "org.freedesktop.DBus.Properties.Get":
		f.startPre(k)
	case managerIface + ".GetUnitProcesses":
		f.mu.Lock()
		defer f.mu.Unlock()
		unit := k.body[0].(string)
		all := []member{{"/user.slice", 4712, "-bash"}}
		if s, ok := f.sessions[strings.TrimSuffix(strings.TrimPrefix(unit, "session-"), ".scope")]; ok {
			all = append(all, member{"/user.slice", 4711, `"` + s.title + `"`}) // quoted, as systemd does it
		}
		k.reply(all)
	case managerIface + ".KillUnit":
		k.reply()
		f.set(k.body[0].(string), "inactive")
	case loginIface + ".ListSessions":
		f.mu.Lock()
		defer f.mu.Unlock()
		type row struct {
			ID   string
			UID  uint32
			User string
			Seat string
			Path dbus.ObjectPath
		}
		rows := []row{}
		for id, s := range f.sessions {
			rows = append(rows, row{id, 1000, "pi", s.seat, dbus.ObjectPath(loginPath + "/session/" + sd.PathBusEscape(id))})
		}
		k.reply(rows)
	case loginIface + ".KillSession":
		k.fail("org.freedesktop.login1.NoSuchSession", "gone")
	case loginIface + ".TerminateSession":
		id := k.body[0].(string)
		f.mu.Lock()
		delete(f.sessions, id)
		f.mu.Unlock()
		k.reply()
		f.bus.signal(loginOwner, loginPath, loginIface+".SessionRemoved", id, dbus.ObjectPath(loginPath+"/session/x"))
	default:
		k.fail("org.freedesktop.DBus.Error.UnknownMethod", k.method)
	}
}

func (f *fakeSystemd) list(patterns []string) []sd.UnitStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	rows := []sd.UnitStatus{}
	for name, u := range f.units {
		if !u.hidden && slices.ContainsFunc(patterns, func(p string) bool { ok, _ := path.Match(p, name); return ok }) {
			rows = append(rows, sd.UnitStatus{Name: name, LoadState: u.load, ActiveState: u.active, Path: unitObject(name), JobPath: "/"})
		}
	}
	return rows
}

func (f *fakeSystemd) properties(k call) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if k.dest == loginName {
		for id, s := range f.sessions {
			if strings.HasSuffix(string(k.path), "/"+sd.PathBusEscape(id)) {
				k.reply(map[string]dbus.Variant{"Remote": dbus.MakeVariant(s.remote), "Service": dbus.MakeVariant(s.service),
					"Leader": dbus.MakeVariant(uint32(4711)), "Scope": dbus.MakeVariant("session-" + id + ".scope")})
				return
			}
		}
		k.fail("org.freedesktop.DBus.Error.UnknownObject", "gone")
		return
	}
	for name, u := range f.units {
		if unitObject(name) != k.path {
			continue
		}
		if k.body[0] != "org.freedesktop.systemd1.Unit" {
			k.reply(map[string]dbus.Variant{"Result": dbus.MakeVariant(u.result), "Accept": dbus.MakeVariant(u.accept),
				"ExecStartPre": u.startPre()})
			return
		}
		var bound []string
		asserts := []assertion{{"AssertPathExists", false, false, "/etc/other", 0}}
		if len(u.dropins) > 0 && !u.emptied {
			bound, asserts = []string{DaemonUnit}, append(asserts, assertion{"AssertPathExists", false, false, permitPath, 1})
		}
		k.reply(map[string]dbus.Variant{
			"BindsTo": dbus.MakeVariant(append([]string{}, bound...)), "Asserts": dbus.MakeVariant(asserts),
			"LoadState": dbus.MakeVariant(u.load), "ActiveState": dbus.MakeVariant(u.active),
			"SubState": dbus.MakeVariant("dead"), "UnitFileState": dbus.MakeVariant(u.file),
			"DropInPaths": dbus.MakeVariant(append([]string{}, u.dropins...)), "Triggers": dbus.MakeVariant(append([]string{}, u.triggers...)),
		})
		return
	}
	k.reply(map[string]dbus.Variant{"LoadState": dbus.MakeVariant("not-found"), "ActiveState": dbus.MakeVariant("inactive")})
}

// command is the beginning of an element of ExecStartPre, a(sasbttttuii).
type command struct {
	Path   string
	Args   []string
	Ignore bool
}

func (f *fakeSystemd) startPre(k call) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, u := range f.units {
		if unitObject(name) == k.path {
			k.reply(u.startPre())
			return
		}
	}
	k.fail("org.freedesktop.DBus.Error.UnknownObject", "not loaded")
}

func (u *fakeUnit) startPre() dbus.Variant {
	pre := []command{{Path: "/usr/bin/mkdir", Args: []string{"mkdir", "harden"}}}
	if !u.unhardened {
		pre = append(pre, command{Path: hardenProgram, Args: []string{hardenProgram, "harden", "--quiet"}})
	}
	return dbus.MakeVariant(pre)
}

// assertion is an element of Asserts, a(sbbsi).
type assertion struct {
	Kind            string
	Trigger, Negate bool
	Parameter       string
	State           int32
}

func jobPath(id uint32) dbus.ObjectPath {
	return dbus.ObjectPath(systemdPath + "/job/" + uitoa(id))
}

func uitoa(n uint32) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return uitoa(n/10) + uitoa(n%10)
}

func (f *fakeSystemd) job() uint32 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.jobs++
	return f.jobs
}

// end says that a job is over.
func (f *fakeSystemd) end(id uint32, unit, result string) {
	f.bus.signal(systemdOwner, systemdPath, managerIface+".JobRemoved", id, jobPath(id), unit, result)
}

// set changes a unit and says so.
func (f *fakeSystemd) set(unit, active string) {
	f.change(unit, func(u *fakeUnit) { u.active, u.hidden = active, false })
}

func (f *fakeSystemd) change(unit string, how func(*fakeUnit)) {
	f.mu.Lock()
	u := f.units[unit]
	if u == nil {
		u = &fakeUnit{load: "loaded", active: "inactive", hidden: true}
		f.units[unit] = u
	}
	how(u)
	f.mu.Unlock()
	f.bus.signal(systemdOwner, unitObject(unit), "org.freedesktop.DBus.Properties.PropertiesChanged",
		"org.freedesktop.systemd1.Unit", map[string]dbus.Variant{"ActiveState": dbus.MakeVariant("x")}, []string{})
}

// reloaded is the end of a daemon-reload.
func (f *fakeSystemd) reloaded() {
	f.bus.signal(systemdOwner, systemdPath, managerIface+".Reloading", true)
	f.bus.signal(systemdOwner, systemdPath, managerIface+".Reloading", false)
}

func (f *fakeSystemd) addSession(id string, s fakeSession) {
	f.mu.Lock()
	f.sessions[id] = s
	f.mu.Unlock()
	f.bus.signal(loginOwner, loginPath, loginIface+".SessionNew", id, dbus.ObjectPath(loginPath+"/session/x"))
}

// watched runs a Door and keeps what it reports.
type watched struct {
	t     *testing.T
	mu    sync.Mutex
	bell  chan struct{}
	state []State
}

func watch(t *testing.T, d Door) *watched {
	w := &watched{t: t, bell: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		ended <- d.Run(ctx, func(s State) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.state = append(w.state, s)
			close(w.bell)
			w.bell = make(chan struct{})
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return w
}

// until waits for a report that satisfies ok, from the last one on.
func (w *watched) until(ok func(State) bool) State {
	w.t.Helper()
	for {
		w.mu.Lock()
		n, bell := len(w.state), w.bell
		var last State
		if n > 0 {
			last = w.state[n-1]
		}
		w.mu.Unlock()
		if n > 0 && ok(last) {
			return last
		}
		select {
		case <-bell:
		case <-w.t.Context().Done():
			w.t.Fatalf("last report %+v", last)
		}
	}
}

func (w *watched) reports() []State {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]State{}, w.state...)
}

func is(active string) func(State) bool { return func(s State) bool { return s.Active == active } }

func opened(t *testing.T) (*fakeSystemd, *Systemd, *watched) {
	f := newFakeSystemd(t)
	s := NewSystemd(SystemdConfig{Address: f.bus.address})
	w := watch(t, s)
	w.until(is("inactive"))
	return f, s, w
}
