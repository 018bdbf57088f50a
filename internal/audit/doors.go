package audit

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// door is a unit that lets somebody in by another way than ssh.service.
type door struct {
	unit     string
	what     string
	severity Severity
	mend     string // "" for the usual: disable it
}

// doorsKnown are units of Debian, of Raspberry Pi OS and of their makers.
var doorsKnown = [...]door{
	{"dropbear.service", "another SSH server (Dropbear)", Critical, ""},
	{"dropbear.socket", "another SSH server (Dropbear)", Critical, ""},
	{"tinysshd.socket", "another SSH server (TinySSH)", Critical, ""},
	{"telnet.socket", "telnet, which sends passwords in the clear", Critical, ""},
	{"telnetd.service", "telnet, which sends passwords in the clear", Critical, ""},
	{"inetd.service", "inetd, which may start telnet and others", Warning, ""},
	{"openbsd-inetd.service", "inetd, which may start telnet and others", Warning, ""},
	{"inetutils-inetd.service", "inetd, which may start telnet and others", Warning, ""},
	{"xinetd.service", "xinetd, which may start telnet and others", Warning, ""},
	{"rsh.socket", "rsh", Critical, ""},
	{"rlogin.socket", "rlogin", Critical, ""},
	{"rexec.socket", "rexec", Critical, ""},
	{"vncserver-x11-serviced.service", "VNC: the screen and the keyboard, over the network", Critical, ""},
	{"vncserver-virtuald.service", "VNC: a desktop over the network", Critical, ""},
	{"wayvnc.service", "VNC: the screen and the keyboard, over the network", Critical, ""},
	{"x11vnc.service", "VNC: the screen and the keyboard, over the network", Critical, ""},
	{"tigervncserver@.service", "VNC: a desktop over the network", Critical, ""},
	{"xrdp.service", "RDP: a desktop over the network", Critical, ""},
	{"gnome-remote-desktop.service", "RDP: a desktop over the network", Critical, ""},
	{"cockpit.socket", "Cockpit: a terminal in the browser", Critical, ""},
	{"webmin.service", "Webmin: a terminal in the browser", Critical, ""},
	{"shellinabox.service", "a terminal in the browser", Critical, ""},
	{"ttyd.service", "a terminal in the browser", Critical, ""},
	{"teamviewerd.service", "TeamViewer", Critical, ""},
	{"anydesk.service", "AnyDesk", Critical, ""},
	{"rustdesk.service", "RustDesk", Critical, ""},
	{"nxserver.service", "NoMachine", Critical, ""},
	{"tailscaled.service", "Tailscale, which has an SSH server of its own if `tailscale set --ssh` was given", Warning, "tailscale set --ssh=false"},
	{"cloudflared.service", "a Cloudflare tunnel: what listens on this machine only may be reachable from outside", Warning, ""},
	{"sshd-unix-local.socket", "sshd on a local socket (systemd 256 and newer make it by themselves); who uses it is already here", Info, "systemctl mask --now sshd-unix-local.socket"},
	{"sshd-vsock.socket", "sshd for the host of a virtual machine", Warning, "systemctl mask --now sshd-vsock.socket"},
	{"sshswitch.service", "SSH is enabled at boot if a file named ssh lies on the boot partition; with the interlock it does not start without the key all the same", Info, ""},
	{"serial-getty@.service", "a login on the serial line, for whoever is at the pins", Info, ""},
}

// otherDoors: the key guards OpenSSH, and what units in keyswitchd.toml names.
func otherDoors(_ context.Context, m *Machine, n notes) {
	for _, d := range doorsKnown {
		active, enabled := m.unit(d.unit)
		if !active && !enabled {
			continue
		}
		state := "runs"
		if !active {
			state = "starts at boot"
		}
		mend := d.mend
		if mend == "" {
			mend = "systemctl disable --now " + d.unit
		}
		severity := d.severity
		if d.unit == "sshswitch.service" && !m.armed {
			severity = Warning
		}
		if m.armed && m.guards(n, d.unit) {
			n.add(Info, "nothing, if it is meant to open with SSH", "%s: %s; the same key guards it", d.unit, d.what)
			continue
		}
		n.add(severity, mend, "%s %s: %s", d.unit, state, d.what)
	}
	if active, enabled := m.unit("ssh.socket"); (active || enabled) && !m.armed {
		n.add(Warning, "keyswitchd arm", "ssh.socket starts sshd for each connection, and no key guards it")
	}
	for _, flag := range []string{"/boot/ssh", "/boot/ssh.txt", "/boot/firmware/ssh", "/boot/firmware/ssh.txt"} {
		if exists(m.path(flag)) {
			n.add(Warning, "rm "+flag, "%s is there: Raspberry Pi OS enables SSH at the next boot", flag)
		}
	}
	connect(m, n)
}

// guards reports whether the interlock is on a unit (units in keyswitchd.toml): the one that this keyswitchd brings, and it alone.
func (m *Machine) guards(n notes, unit string) bool {
	kind := unit[strings.LastIndexByte(unit, '.'):]
	want := m.textOrLeave(n, "/usr/lib/keyswitchd/interlock/other"+kind+".conf")
	if want == "" || m.textOrLeave(n, "/etc/systemd/system/"+unit+".d/"+dropIn) != want {
		return false
	}
	for _, name := range m.names(n, "/etc/systemd/system/"+unit+".d") {
		if name != dropIn && strings.HasSuffix(name, ".conf") {
			otherDropIn(m, n, "/etc/systemd/system/"+unit+".d/"+name)
		}
	}
	return true
}

// connect looks for Raspberry Pi Connect, which runs in the users' own systemd.
func connect(m *Machine, n notes) {
	places := []string{"/etc/systemd/user"}
	for _, a := range m.book.Accounts {
		if a.Person() && a.Home != "" && a.Home != "/" {
			places = append(places, filepath.Join(a.Home, ".config/systemd/user"))
		}
	}
	var found []string
	closed := false
	for _, dir := range places {
		wants, err := entries(m.path(dir))
		closed = closed || errors.Is(err, fs.ErrPermission)
		for _, w := range wants {
			if !strings.HasSuffix(w.Name(), ".wants") {
				continue
			}
			for _, unit := range m.names(n, dir+"/"+w.Name()) {
				if strings.HasPrefix(unit, "rpi-connect") {
					found = append(found, dir+"/"+w.Name()+"/"+unit)
				}
			}
		}
	}
	if closed {
		n.left("whether Raspberry Pi Connect is on for other accounts: %s", needs())
	}
	slices.Sort(found)
	switch {
	case len(found) > 0:
		n.add(Critical, "rpi-connect off, for each user; or apt remove rpi-connect rpi-connect-lite",
			"Raspberry Pi Connect is on (%s): the screen and a shell, by way of the maker's servers", strings.Join(found, ", "))
	case exists(m.path("/usr/bin/rpi-connect")):
		n.add(Info, "apt remove rpi-connect rpi-connect-lite", "Raspberry Pi Connect is installed, and not on")
	}
}
