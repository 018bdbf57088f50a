package override

import (
	"strings"
	"testing"

	"keyswitchd/internal/keyswitch"
)

// console is pi at the screen, on a text console.
func console(change func(*Caller)) Caller {
	c := Caller{Name: ":1.42", UID: 1000, PID: 4711, User: "pi", Session: "1", SessionUID: 1000, SessionUser: "pi",
		State: "active", Class: "user", Service: "login", Seat: "seat0", TTY: "tty1"}
	if change != nil {
		change(&c)
	}
	return c
}

// Who is at the machine. As logind of Debian 12 and 13 says it, where it was tried.
func TestOnSite(t *testing.T) {
	serial := func(tty string) func(*Caller) { return func(c *Caller) { c.Seat, c.TTY = "", tty } }
	for _, c := range []struct {
		name   string
		caller Caller
		reason string // "" is on site
	}{
		{"bad: nothing known", Caller{}, "no-session"},
		{"bad: root, and nothing else known", Caller{Name: ":1.1", PID: 1, User: "root"}, "no-session"},
		{"bad: root from cron or systemd-run", Caller{Name: ":1.1", UID: 0, PID: 7, User: "root"}, "no-session"},
		{"bad: a process that was moved out of its session", console(func(c *Caller) { *c = Caller{UID: 1000, PID: 7, User: "pi"} }), "no-session"},
		{"bad: over SSH", console(func(c *Caller) {
			c.Remote, c.RemoteHost, c.Service, c.Seat, c.TTY = true, "192.0.2.7", "sshd", "", "pts/0"
		}), "remote"},
		{"bad: over SSH, sudo", console(func(c *Caller) {
			c.UID, c.User, c.Remote, c.RemoteHost, c.Service, c.Seat, c.TTY = 0, "root", true, "192.0.2.7", "sshd", "", "pts/0"
		}), "remote"},
		{"bad: over SSH, with XDG_SEAT from ~/.pam_environment", console(func(c *Caller) { c.Remote, c.RemoteHost, c.Service = true, "192.0.2.7", "sshd" }), "remote"},
		{"bad: over SSH from a host that calls itself localhost, which logind takes for here", console(func(c *Caller) {
			c.RemoteHost, c.Service, c.Seat, c.TTY = "localhost", "sshd", "", "pts/0"
		}), "remote"},
		{"bad: over SSH, no host known", console(func(c *Caller) { c.Service, c.Seat, c.TTY = "sshd", "", "pts/0" }), "service"},
		{"bad: telnet", console(func(c *Caller) { c.Service, c.Seat, c.TTY = "remote", "", "pts/0" }), "service"},
		{"bad: su outside of any session, from afar", console(func(c *Caller) { c.Service, c.Seat, c.TTY = "su-l", "", "pts/0" }), "service"},
		{"bad: su there with XDG_SEAT", console(func(c *Caller) { c.Service, c.TTY = "su-l", "pts/0" }), "service"},
		{"bad: su there with XDG_SEAT and no terminal", console(func(c *Caller) { c.Service, c.TTY = "su-l", "" }), "service"},
		{"bad: sudo -i there", console(func(c *Caller) { c.UID, c.SessionUID, c.Service = 0, 0, "sudo-i" }), "service"},
		{"bad: run0", console(func(c *Caller) {
			c.UID, c.SessionUID, c.Class, c.Service, c.Seat, c.TTY = 0, 0, "background", "systemd-run0", "", ""
		}), "class"},
		{"bad: run0 of systemd 258", console(func(c *Caller) {
			c.UID, c.SessionUID, c.Class, c.Service, c.Seat, c.TTY = 0, 0, "user-light", "systemd-run0", "", "pts/1"
		}), "class"},
		{"bad: cron with pam_systemd", console(func(c *Caller) { c.Class, c.Service, c.Seat, c.TTY = "background", "cron", "", "" }), "class"},
		{"bad: the login screen", console(func(c *Caller) { c.Class, c.Service = "greeter", "lightdm-greeter" }), "class"},
		{"bad: the lock screen", console(func(c *Caller) { c.Class = "lock-screen" }), "class"},
		{"bad: the user's service manager", console(func(c *Caller) { c.Class, c.Service = "manager", "systemd-user" }), "class"},
		{"bad: xrdp", console(func(c *Caller) { c.Service, c.Seat, c.TTY = "xrdp-sesman", "", "" }), "service"},
		{"bad: machinectl shell", console(serial("pts/2")), "terminal"},
		{"bad: a pseudo-terminal with a seat", console(func(c *Caller) { c.TTY = "pts/2" }), "terminal"},
		{"bad: neither seat nor terminal", console(serial("")), "terminal"},
		{"bad: an old pseudo-terminal", console(serial("ttyp0")), "terminal"},
		{"bad: nearly a serial line", console(serial("ttyS")), "terminal"},
		{"bad: nearly a serial line", console(serial("ttyS0x")), "terminal"},
		{"bad: another virtual terminal is in front", console(func(c *Caller) { c.State = "online" }), "inactive"},
		{"bad: logged out, and something still runs", console(func(c *Caller) { c.State = "closing" }), "inactive"},
		{"bad: logging in", console(func(c *Caller) { c.State = "opening" }), "inactive"},
		{"bad: logind says nothing of the state", console(func(c *Caller) { c.State = "" }), "inactive"},
		{"bad: a stranger in pi's session", console(func(c *Caller) { c.UID, c.User = 1001, "eve" }), "other-user"},
		{"bad: a stranger in root's session", console(func(c *Caller) { c.UID, c.SessionUID, c.SessionUser = 1001, 0, "root" }), "other-user"},

		{"a text console", console(nil), ""},
		{"a text console, sudo", console(func(c *Caller) { c.UID, c.User = 0, "root" }), ""},
		{"root on a text console", console(func(c *Caller) { c.UID, c.SessionUID, c.Class = 0, 0, "user-early" }), ""},
		{"the desktop of Raspberry Pi OS", console(func(c *Caller) { c.Service, c.TTY = "lightdm-autologin", "" }), ""},
		{"GNOME", console(func(c *Caller) { c.Service, c.TTY = "gdm-password", "tty2" }), ""},
		{"a second seat", console(func(c *Caller) { c.Service, c.Seat, c.TTY = "lightdm", "seat1", "" }), ""},
		{"the UART of a Pi", console(serial("ttyAMA0")), ""},
		{"the mini UART of a Pi", console(serial("ttyS0")), ""},
		{"a USB gadget", console(serial("ttyGS0")), ""},
		{"a serial line, sudo", console(func(c *Caller) { c.UID, c.Seat, c.TTY = 0, "", "ttyAMA10" }), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := OnSite(c.caller)
			switch {
			case r == nil && c.reason != "":
				t.Errorf("%+v is on site, want refused: %s", c.caller, c.reason)
			case r != nil && r.Reason != c.reason:
				t.Errorf("refused: %s (%s), want %q", r.Reason, r.Text, c.reason)
			case r != nil && (r.Name != NotOnSite || r.Text == ""):
				t.Errorf("refused with %+v", r)
			}
		})
	}
}

// Who is refused reads from where the session comes, and what to do instead.
func TestAdvice(t *testing.T) {
	r := OnSite(console(func(c *Caller) { c.Remote, c.RemoteHost = true, "192.0.2.7" }))
	for mode, want := range map[keyswitch.OverrideMode]string{
		keyswitch.ForceOn: "turn the key on", keyswitch.ForceOff: "turn the key off", keyswitch.Auto: "end an override",
	} {
		text := r.onBus(mode).Error()
		if !strings.Contains(text, "192.0.2.7") || !strings.Contains(text, want) {
			t.Errorf("%s: %q does not say from where and %q", mode, text, want)
		}
	}
}

func TestBy(t *testing.T) {
	for want, c := range map[string]Caller{
		"pi":                         console(nil),
		"root, in the session of pi": console(func(c *Caller) { c.UID, c.User = 0, "root" }),
		"root":                       console(func(c *Caller) { c.UID, c.User, c.SessionUID = 0, "root", 0 }),
		"1001":                       {UID: 1001, User: "1001"},
	} {
		if got := c.By(); got != want {
			t.Errorf("%+v is %q, want %q", c, got, want)
		}
	}
}
