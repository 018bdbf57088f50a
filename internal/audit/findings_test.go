package audit

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"keyswitchd/hardening"
	"keyswitchd/internal/lockout"
)

func TestFindings(t *testing.T) {
	for _, c := range []struct {
		name     string
		spoil    func(*machine)
		check    string
		severity Severity
		want     string
	}{
		{"bad: the policy doesn't hold", func(m *machine) {
			m.Holds = func(context.Context) ([]string, error) { return []string{"/etc/ssh/x.conf:2: Port"}, nil }
		}, "policy", Critical, "x.conf:2"},
		{"bad: sshd can't be asked", func(m *machine) {
			m.Holds = func(context.Context) ([]string, error) { return nil, errors.New("no sshd") }
		}, "policy", Critical, "no sshd"},
		{"bad: passwords", func(m *machine) { m.Policy.Passwords = true }, "choices", Warning, "passwords are admitted"},
		{"bad: root login", func(m *machine) { m.Policy.RootLogin = hardening.RootKeysOnly }, "choices", Warning, "root may log in"},
		{"bad: an exception", func(m *machine) {
			yes := true
			m.Policy.Match = []hardening.Exception{{Criterion: "User backup", Passwords: &yes}}
		}, "choices", Warning, "User backup"},
		{"bad: anybody", func(*machine) {}, "choices", Info, "every account that has a key"},
		{"bad: locked out", func(m *machine) {
			m.LockedOut = func() ([]lockout.Problem, error) {
				return []lockout.Problem{{What: "nobody can", Do: "this"}}, nil
			}
		}, "lockout", Warning, "nobody can"},

		{"bad: not armed", func(m *machine) { m.remove("etc/systemd/system") }, "interlock", Critical, "no key guards SSH"},
		{"bad: one unit is left out", func(m *machine) { m.remove("etc/systemd/system/ssh.socket.d") }, "interlock", Critical, "no key guards SSH"},
		{"bad: an edited interlock", func(m *machine) { m.append("etc/systemd/system/ssh.service.d/50-keyswitchd.conf", "x") }, "interlock", Critical, "is not the interlock"},
		{"bad: a later drop-in", func(m *machine) {
			m.write("etc/systemd/system/ssh.service.d/99-mine.conf", "[Service]\n# x\nKillMode = process\n", 0o644)
		}, "interlock", Warning, "99-mine.conf:3 changes"},
		{"bad: not loaded", func(m *machine) {
			m.Interlocked = func(_ context.Context, u string) (bool, bool, error) { return true, u != "ssh.socket", nil }
		}, "interlock", Critical, "has not loaded the interlock of ssh.socket"},

		{"bad: dropbear runs", func(m *machine) { m.units(Unit{Name: "dropbear.service", Active: true}) }, "doors", Critical, "dropbear.service runs"},
		{"bad: telnet is enabled", func(m *machine) { m.link("etc/systemd/system/sockets.target.wants/telnet.socket", "/x") }, "doors", Critical, "telnet.socket starts at boot"},
		{"bad: VNC", func(m *machine) { m.units(Unit{Name: "wayvnc.service", Enabled: true}) }, "doors", Critical, "wayvnc.service"},
		{"bad: wanted by a package", func(m *machine) {
			m.link("usr/lib/systemd/system/sockets.target.wants/cockpit.socket", "../cockpit.socket")
		}, "doors", Critical, "cockpit.socket starts at boot"},
		{"guarded by the same key", func(m *machine) {
			m.link("usr/lib/systemd/system/sockets.target.wants/cockpit.socket", "../cockpit.socket")
			m.write("usr/lib/keyswitchd/interlock/other.socket.conf", "[Unit]\n", 0o644)
			m.write("etc/systemd/system/cockpit.socket.d/50-keyswitchd.conf", "[Unit]\n", 0o644)
		}, "doors", Info, "cockpit.socket: Cockpit: a terminal in the browser; the same key guards it"},
		{"bad: guarded, but edited", func(m *machine) {
			m.link("usr/lib/systemd/system/sockets.target.wants/cockpit.socket", "../cockpit.socket")
			m.write("usr/lib/keyswitchd/interlock/other.socket.conf", "[Unit]\n", 0o644)
			m.write("etc/systemd/system/cockpit.socket.d/50-keyswitchd.conf", "", 0o644)
		}, "doors", Critical, "cockpit.socket starts at boot"},
		{"bad: guarded, and loosened", func(m *machine) {
			m.units(Unit{Name: "wayvnc.service", Enabled: true})
			m.write("usr/lib/keyswitchd/interlock/other.service.conf", "[Unit]\n", 0o644)
			m.write("etc/systemd/system/wayvnc.service.d/50-keyswitchd.conf", "[Unit]\n", 0o644)
			m.write("etc/systemd/system/wayvnc.service.d/99-mine.conf", "[Unit]\nAssertPathExists=\n", 0o644)
		}, "doors", Warning, "99-mine.conf:2 changes"},
		{"bad: an instance at boot", func(m *machine) {
			m.link("etc/systemd/system/multi-user.target.wants/tigervncserver@:1.service", "/x")
		}, "doors", Critical, "tigervncserver@.service starts at boot"},
		{"bad: an instance", func(m *machine) { m.units(Unit{Name: "serial-getty@ttyAMA0.service", Active: true}) }, "doors", Info, "serial line"},
		{"bad: sshswitch", func(m *machine) { m.units(Unit{Name: "sshswitch.service", Enabled: true}) }, "doors", Info, "sshswitch.service"},
		{"bad: sshswitch, not armed", func(m *machine) {
			m.remove("etc/systemd/system/ssh.service.d")
			m.units(Unit{Name: "sshswitch.service", Enabled: true})
		}, "doors", Warning, "sshswitch.service"},
		{"bad: unix-local", func(m *machine) { m.units(Unit{Name: "sshd-unix-local.socket", Active: true}) }, "doors", Info, "local socket"},
		{"bad: ssh.socket, not armed", func(m *machine) {
			m.remove("etc/systemd/system/ssh.service.d")
			m.units(Unit{Name: "ssh.socket", Enabled: true})
		}, "doors", Warning, "no key guards it"},
		{"bad: the file ssh", func(m *machine) { m.write("boot/firmware/ssh", "", 0o755) }, "doors", Warning, "/boot/firmware/ssh is there"},
		{"bad: rpi-connect, by ann", func(m *machine) {
			m.link("home/ann/.config/systemd/user/default.target.wants/rpi-connect.service", "/usr/lib/systemd/user/rpi-connect.service")
		}, "doors", Critical, "Connect is on (/home/ann"},
		{"bad: rpi-connect, installed", func(m *machine) { m.write("usr/bin/rpi-connect", "", 0o755) }, "doors", Info, "installed"},

		{"bad: a unit that starts ssh", func(m *machine) {
			m.write("etc/systemd/system/helpful.service", "[Service]\nExecStart=/bin/sh -c \\\n  'systemctl start ssh'\n", 0o644)
		}, "enablers", Warning, "helpful.service:2 would switch SSH on"},
		{"bad: its own sshd", func(m *machine) {
			m.write("lib/systemd/system/second.service", "ExecStart=/usr/sbin/sshd -p 2222\n", 0o644)
		}, "enablers", Critical, "second.service:1"},
		{"bad: upholds", func(m *machine) {
			m.write("usr/lib/systemd/system/up.target", "[Unit]\nUpholds=ssh.service x.service\n", 0o644)
		}, "enablers", Warning, "pulls SSH in"},
		{"bad: cron", func(m *machine) { m.write("etc/cron.d/x", "# y\n* * * * * root service ssh restart\n", 0o644) }, "enablers", Warning, "/etc/cron.d/x:2"},
		{"bad: inetd", func(m *machine) {
			m.write("etc/inetd.conf", "telnet stream tcp nowait root /usr/sbin/telnetd telnetd\n", 0o644)
		}, "enablers", Warning, "inetd.conf:1"},

		{"bad: a second sshd listens", func(m *machine) {
			m.append("proc/net/tcp", listening("08AE", "77"))
			m.process(9, "sshd", "second.service", "77")
		}, "sockets", Critical, "sshd (second.service) listens on tcp 0.0.0.0:2222"},
		{"bad: sshd on another port", func(m *machine) {
			m.append("proc/net/tcp", listening("08AE", "77"))
			m.process(9, "sshd", "ssh.service", "77")
		}, "sockets", Warning, "0.0.0.0:2222"},
		{"bad: sshd, not armed", func(m *machine) {
			m.remove("etc/systemd/system/ssh.service.d")
			m.append("proc/net/tcp", listening("0016", "77"))
			m.process(9, "sshd", "ssh.service", "77")
		}, "sockets", Critical, "0.0.0.0:22"},
		{"fine: the guarded sshd", func(m *machine) {
			m.append("proc/net/tcp", listening("0016", "77"))
			m.process(9, "sshd", "ssh.service", "77")
		}, "sockets", Info, "0.0.0.0:22"},
		{"fine: a web server", func(m *machine) {
			m.append("proc/net/tcp", listening("0050", "78"))
			m.process(9, "nginx", "nginx.service", "78")
		}, "sockets", Info, "nginx (nginx.service) listens on tcp 0.0.0.0:80"},
		{"fine: the kernel", func(m *machine) { m.append("proc/net/tcp", listening("0801", "79")) }, "sockets", Info, "the kernel, or a program that can't be seen from here, listens on tcp 0.0.0.0:2049"},

		{"bad: IPv6", func(m *machine) {
			m.Addresses = func() ([]netip.Addr, error) { return []netip.Addr{netip.MustParseAddr("2001:db8::7")}, nil }
		}, "ipv6", Warning, "2001:db8::7"},
		{"fine: IPv6 with a filter", func(m *machine) {
			m.Addresses = func() ([]netip.Addr, error) { return []netip.Addr{netip.MustParseAddr("2001:db8::7")}, nil }
			m.units(Unit{Name: "ufw.service", Enabled: true})
		}, "ipv6", Info, "a packet filter is set up"},
		{"fine: IPv6, and sshd elsewhere", func(m *machine) {
			m.Addresses = func() ([]netip.Addr, error) { return []netip.Addr{netip.MustParseAddr("2001:db8::7")}, nil }
			m.Policy.Listen = []string{"192.0.2.7"}
		}, "ipv6", Info, "sshd does not listen there"},

		{"bad: an empty password", func(m *machine) { m.write("etc/shadow", "ann::1:0:9:7:::\n", 0o640) }, "passwords", Critical, "ann has an empty password"},
		{"bad: raspberry", func(m *machine) { m.write("etc/shadow", "ann:"+yescryptRaspberry+":1:0:9:7:::\n", 0o640) }, "passwords", Critical, "everybody tries"},
		{"bad: md5", func(m *machine) { m.write("etc/shadow", "ann:"+md5Raspberry+":1:0:9:7:::\n", 0o640) }, "passwords", Warning, "quickly guessed ($1$)"},
		{"bad: root's password", func(m *machine) {
			m.write("etc/shadow", "root:$2b$05$abcdefghijklmnopqrstuu0123456789012345678901234567890:1:0:9:7:::\n", 0o640)
		}, "passwords", Warning, "root has a password"},

		{"bad: a second root", func(m *machine) { m.append("etc/passwd", "toor:x:0:0::/root:/bin/sh\n") }, "accounts", Critical, "toor is root"},
		{"bad: docker", func(m *machine) { m.append("etc/group", "docker:x:99:ann\n") }, "accounts", Warning, "ann is in the group docker"},
		{"bad: pi", func(m *machine) { m.append("etc/passwd", "pi:x:1001:1001::/home/pi:/bin/bash\n") }, "accounts", Info, "the account pi"},
		{"bad: autologin", func(m *machine) {
			m.write("etc/systemd/system/getty@tty1.service.d/autologin.conf", "[Service]\nExecStart=-/sbin/agetty --autologin ann --noclear %I $TERM\n", 0o644)
		}, "accounts", Info, "without a password"},

		{"bad: NOPASSWD", func(m *machine) {
			m.write("etc/sudoers", "Defaults env_reset\n@includedir /etc/sudoers.d\n", 0o440)
			m.write("etc/sudoers.d/010_pi-nopasswd", "ann ALL=(ALL) NOPASSWD: ALL\n", 0o440)
		}, "sudo", Warning, "010_pi-nopasswd:1 lets ann"},
		{"bad: NOPASSWD by group, old include, continued", func(m *machine) {
			m.write("etc/sudoers", "#includedir sudoers.d\n", 0o440)
			m.write("etc/sudoers.d/x", "%sudo ALL=(ALL:ALL) \\\n  NOPASSWD: ALL # handy\n", 0o440)
		}, "sudo", Warning, "/etc/sudoers.d/x:1 lets ann"},
		{"bad: by alias", func(m *machine) {
			m.write("etc/sudoers", "User_Alias ADMINS = bob, ann : OTHERS = eve\nADMINS ALL = NOPASSWD: /bin/sh\n", 0o440)
		}, "sudo", Warning, "lets ann"},
		{"bad: Defaults", func(m *machine) { m.write("etc/sudoers", "Defaults:ann !authenticate\n", 0o440) }, "sudo", Warning, "lets ann"},

		{"bad: keys that others can write", func(m *machine) { m.write("home/ann/.ssh/authorized_keys", "ssh-ed25519 AAAA x\n", 0o666) }, "keys", Warning, "sshd ignores it"},
		{"fine: keys", func(m *machine) {
			m.write("home/ann/.ssh/authorized_keys", "# x\nssh-ed25519 AAAA x\nssh-rsa AAAA y\n", 0o600)
		}, "keys", Info, "holds 2 keys to the account ann"},
		{"bad: a private key for all", func(m *machine) { m.write("home/ann/.ssh/id_rsa", pemKey, 0o644) }, "keys", Warning, "can be read by others"},
		{"bad: a private key without a passphrase", func(m *machine) { m.write("home/ann/.ssh/id_rsa", pemKey, 0o600) }, "keys", Info, "has no passphrase"},
		{"bad: no host keys", func(m *machine) { m.remove("etc/ssh/ssh_host_ed25519_key.pub") }, "host-keys", Warning, "no host keys"},
		{"bad: a broken host key", func(m *machine) { m.write("etc/ssh/ssh_host_rsa_key.pub", "ssh-rsa what\n", 0o644) }, "host-keys", Warning, "holds no key"},
		{"bad: a private host key for all", func(m *machine) { m.write("etc/ssh/ssh_host_ed25519_key", "", 0o640) }, "host-keys", Critical, "can be read by others"},
		{"bad: moduli", func(m *machine) {
			m.write("etc/ssh/moduli", "# t\n20240101000000 2 6 100 2047 2 ABC\n20240101000000 2 6 100 4095 2 ABC\n", 0o644)
		}, "moduli", Info, "1 groups"},
		{"bad: sshd_config for all", func(m *machine) { m.write("etc/ssh/sshd_config", "", 0o666) }, "files", Critical, "/etc/ssh/sshd_config can be written"},
		{"bad: shadow for all", func(m *machine) { m.write("etc/shadow", "", 0o644) }, "files", Warning, "/etc/shadow can be read"},

		{"bad: regreSSHion", func(m *machine) { m.openssh("1:9.2p1-2+deb12u2") }, "openssh", Critical, "regreSSHion"},
		{"bad: regreSSHion, not Debian's", func(m *machine) { m.openssh("1:9.6p1-3ubuntu13") }, "openssh", Critical, "regreSSHion"},
		{"bad: Terrapin", func(m *machine) { m.openssh("1:8.4p1-5+deb11u1") }, "openssh", Warning, "Terrapin"},
		{"bad: an old release", func(m *machine) { m.write("etc/os-release", "VERSION_CODENAME=\"bullseye\"\n", 0o644) }, "openssh", Warning, "ended on 2026-08-31"},
		{"bad: replaced", func(m *machine) { m.link("proc/9/exe", "/usr/sbin/sshd (deleted)") }, "openssh", Warning, "replaced by an update"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			c.spoil(m)
			r := m.Run(t.Context())
			for _, f := range r.Findings {
				if f.Check == c.check && f.Severity == c.severity && strings.Contains(f.Found, c.want) && f.Mend != "" {
					return
				}
			}
			t.Errorf("not found: %s %s %q among\n%+v", c.check, c.severity, c.want, r.Findings)
		})
	}
}
