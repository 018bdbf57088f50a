//go:build virtualpi

package faults

import "strings"

// stopped stops units and starts them again with the undoing.
func stopped(units string) func(*site) error {
	return func(s *site) error {
		s.later(func() error { return systemctl("start " + units) })
		return systemctl("stop " + units)
	}
}

// withoutLogind: logind does not come back to a new bus by itself.
func withoutBus(do func(*site) error) func(*site) error {
	return func(s *site) error {
		s.later(func() error { return systemctl("restart systemd-logind.service") })
		s.later(func() error { return systemctl("start dbus.socket dbus.service") })
		return do(s)
	}
}

// maskedAndStopped: what is started on demand has to be masked to stay away.
func maskedAndStopped(unit string) func(*site) error {
	return func(s *site) error {
		s.later(func() error { return systemctl("start " + unit) })
		s.later(func() error { return systemctl("unmask --runtime " + unit) })
		return systemctl("mask --runtime --now " + unit)
	}
}

var busFaults = section{Title: "What systemd and the key stand on", Faults: []fault{
	{Name: "D-Bus stopped", On: true, Do: withoutBus(stopped("dbus.socket dbus.service")), Effect: stays, Code: "not-running", LED: "slow-blink", OffCode: "not-running"},
	{Name: "D-Bus killed", On: true, Do: withoutBus(killed("dbus.service")), Effect: stays, Code: "key-on", LED: "solid", Again: "opens"},
	{Name: "D-Bus restarted", On: true, Do: withoutBus(command("systemctl restart dbus.service")), Effect: stays, Code: "key-on", LED: "solid", Again: "opens"},
	{Name: "D-Bus restarted, and the key turned off at that moment", On: true, Off: true, Do: withoutBus(and(command("systemctl --no-block restart dbus.service"), keyTurnedOff)),
		Effect: closes, Code: "key-off", LED: "dark"},
	{Name: "polkit stopped, and masked", On: true, Do: maskedAndStopped("polkit.service"), Effect: stays, Code: "key-on", LED: "solid"},
	{Name: "polkit killed", On: true, Do: killed("polkit.service"), Effect: stays, Code: "key-on", LED: "solid", Again: "opens"},
	{Name: "polkit restarted", On: true, Do: command("systemctl restart polkit.service"), Effect: stays, Code: "key-on", LED: "solid", Again: "opens"},
	{Name: "keyswitchd's polkit rule deleted", On: true, Do: func(s *site) error { return s.hide("/usr/share/polkit-1/rules.d/50-keyswitchd.rules") },
		Effect: stays, Code: "key-on", LED: "solid"},
	{Name: "keyswitchd's D-Bus policy deleted, and keyswitchd restarted", On: true, Do: func(s *site) error {
		reload := strings.Fields("busctl call org.freedesktop.DBus /org/freedesktop/DBus org.freedesktop.DBus ReloadConfig")
		s.later(func() error { return systemctl("restart keyswitchd.service") })
		s.later(func() error { return run(reload...) })
		if err := s.hide("/usr/share/dbus-1/system.d/org.keyswitchd1.conf"); err != nil {
			return err
		}
		if err := run(reload...); err != nil {
			return err
		}
		return systemctl("restart keyswitchd.service")
	}, Effect: reopens, Code: "not-running", LED: "solid", OffCode: "not-running"},
	{Name: "logind stopped, and masked", On: true, Do: maskedAndStopped("systemd-logind.service"), Effect: stays, Code: "key-on", LED: "solid", Again: "opens"},
	{Name: "logind killed", On: true, Do: killed("systemd-logind.service"), Effect: stays, Code: "key-on", LED: "solid", Again: "opens"},
	{Name: "logind restarted", On: true, Do: command("systemctl restart systemd-logind.service"), Effect: stays, Code: "key-on", LED: "solid", Again: "opens"},
	{Name: "journald stopped", On: true, Do: stopped("systemd-journald.socket systemd-journald-dev-log.socket systemd-journald.service"), Effect: stays, Code: "key-on", LED: "solid", Again: "opens"},
	{Name: "journald killed", On: true, Do: killed("systemd-journald.service"), Effect: stays, Code: "key-on", LED: "solid", Again: "opens"},
	{Name: "journald restarted", On: true, Do: command("systemctl restart systemd-journald.service"), Effect: stays, Code: "key-on", LED: "solid", Again: "opens"},
}}

var systemdFaults = section{Title: "systemd", Faults: []fault{
	{Name: "`systemctl daemon-reexec`", On: true, Do: command("systemctl daemon-reexec"), Effect: stays, Code: "key-on", LED: "solid", Again: "opens"},
	{Name: "`systemctl daemon-reexec`, and the key turned off during it", On: true, Off: true, Do: and(func(*site) error {
		return run("systemd-run", "--quiet", "--no-block", "systemctl", "daemon-reexec")
	}, keyTurnedOff), Effect: closes, Code: "key-off", LED: "dark"},
	{Name: "`systemctl daemon-reload`", On: true, Do: command("systemctl daemon-reload"), Effect: stays, Code: "key-on", LED: "solid", Again: "opens"},
	{Name: "`systemctl isolate multi-user.target`", On: true, Do: command("systemctl isolate multi-user.target"), Effect: stays, Code: "key-on", LED: "solid", Again: "opens"},
	{Name: "`systemctl isolate multi-user.target` with the key off", Do: command("systemctl isolate multi-user.target"), Effect: never, Code: "key-off", LED: "dark",
		Note: "ssh.service, which is part of it, is refused"},
	{Name: "`systemctl isolate rescue.target`", On: true, Do: func(s *site) error {
		s.later(func() error { return systemctl("isolate multi-user.target") })
		return systemctl("isolate rescue.target")
	}, Effect: closes, Code: "not-running", LED: "dark", Recover: byItself, Note: "keyswitchd is stopped with everything else"},
}}
