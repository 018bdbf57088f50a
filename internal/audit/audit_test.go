package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keyswitchd/hardening"
	"keyswitchd/internal/lockout"
)

// made by libxcrypt's crypt(3), for "raspberry".
const (
	sha512Raspberry   = "$6$abcdefgh$4o4.L3tiGL1RD7BsjaaWYcCVs87zOlvZK7S6SXQETuFMA2ELLDwmf3YDHidZ3I4E/fXmmOOWhAJHUSMf.eA6c1"
	sha256Raspberry   = "$5$rounds=10000$abcdefgh$mVJNWKUfl5HM4u8uZIQU4Ma9.9fzSIUsG9xCKK7r2pB"
	md5Raspberry      = "$1$abcdefgh$Ypp3mcpy11lgzIqzzpMOs/"
	yescryptRaspberry = "$y$j9T$JnCpnDzoXQpI8pT8gVJ4H/$MgHmNBcoPv1vlTvAzEpA1ZOPEYMoPTRDeBDM.n43Vh6"
	bcryptRaspberry   = "$2b$05$abcdefghijklmnopqrstuufNcwg.LhweBejHk0Q4B2Xw5SAczk6Qm"
)

// machine is a tree in which everything is well, to be spoiled.
type machine struct {
	Machine
	t *testing.T
}

func newMachine(t *testing.T) *machine {
	m := &machine{t: t, Machine: Machine{Root: t.TempDir(), Now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), Policy: hardening.DefaultPolicy(),
		Holds:       func(context.Context) ([]string, error) { return nil, nil },
		LockedOut:   func() ([]lockout.Problem, error) { return nil, nil },
		Units:       func(context.Context) ([]Unit, error) { return []Unit{{Name: "ssh.service", Active: true}}, nil },
		Interlocked: func(context.Context, string) (bool, bool, error) { return true, true, nil },
		Addresses:   func() ([]netip.Addr, error) { return []netip.Addr{netip.MustParseAddr("192.0.2.7")}, nil },
	}}
	m.write("etc/passwd", fmt.Sprintf("root:x:0:0:root:/root:/bin/sh\nann:x:%d:1000:,,,:/home/ann:/bin/sh\nsvc:x:999:999::/:/usr/sbin/nologin\n", annUID()), 0o644)
	m.write("etc/group", "root:x:0:\nann:x:1000:\nsudo:x:27:ann\n", 0o644)
	m.write("etc/shadow", "root:*:20000:0:99999:7:::\nann:!:20000:0:99999:7:::\nsvc:!:20000::::::\n", 0o640)
	for _, unit := range []string{"ssh.service", "ssh.socket", "ssh@.service", "sshd@.service"} {
		m.write("etc/systemd/system/"+unit+".d/50-keyswitchd.conf", "the interlock of "+strings.Replace(unit, "sshd@", "ssh@", 1), 0o644)
		m.write("usr/lib/keyswitchd/interlock/"+strings.Replace(unit, "sshd@", "ssh@", 1)+".conf", "the interlock of "+strings.Replace(unit, "sshd@", "ssh@", 1), 0o644)
	}
	m.write("etc/ssh/sshd_config", "", 0o644)
	m.write("etc/ssh/ssh_host_ed25519_key.pub", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIkXcJTxDm5rcbkdUj+Sr6gXkHkfp7j7sbMc3VRcnYs3 root@pi\n", 0o644)
	m.write("etc/ssh/ssh_host_ed25519_key", "secret", 0o600)
	m.write("proc/net/tcp", tcpHeader, 0o644)
	m.write("var/lib/dpkg/status", "Package: openssh-client\nStatus: install ok installed\nVersion: 1:1.0\n\nPackage: openssh-server\nStatus: install ok installed\nVersion: 1:10.0p1-7\n", 0o644)
	m.write("etc/os-release", "NAME=Debian\nVERSION_CODENAME=trixie\n", 0o644)
	return m
}

func annUID() int {
	if uid := os.Getuid(); uid != 0 {
		return uid
	}
	return 1000
}

const tcpHeader = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"

func (m *machine) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) write(name, text string, mode os.FileMode) {
	m.t.Helper()
	path := filepath.Join(m.Root, name)
	m.must(os.MkdirAll(filepath.Dir(path), 0o755))
	m.must(os.WriteFile(path, []byte(text), mode))
	m.must(os.Chmod(path, mode))
}

func (m *machine) append(name, text string) {
	m.t.Helper()
	old, err := os.ReadFile(filepath.Join(m.Root, name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		m.t.Fatal(err)
	}
	m.write(name, string(old)+text, 0o644)
}

func (m *machine) remove(name string) {
	m.t.Helper()
	m.must(os.RemoveAll(filepath.Join(m.Root, name)))
}

func (m *machine) link(name, to string) {
	m.t.Helper()
	path := filepath.Join(m.Root, name)
	m.must(os.MkdirAll(filepath.Dir(path), 0o755))
	m.must(os.Symlink(to, path))
}

// process makes one that holds a socket.
func (m *machine) process(pid int, comm, unit, inode string) {
	m.t.Helper()
	dir := fmt.Sprintf("proc/%d/", pid)
	m.write(dir+"comm", comm+"\n", 0o644)
	m.write(dir+"cgroup", "0::/system.slice/"+unit+"\n", 0o644)
	m.link(dir+"fd/3", "socket:["+inode+"]")
	m.link(dir+"fd/0", "/dev/null")
}

func (m *machine) units(units ...Unit) {
	m.Units = func(context.Context) ([]Unit, error) { return units, nil }
}

func listening(port string, inode string) string {
	return fmt.Sprintf("   0: 00000000:%s 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 %s 1 0 100 0 0 10 0\n", port, inode)
}

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
		{"bad: a private key for all", func(m *machine) { m.write("home/ann/.ssh/id_rsa", "x", 0o644) }, "keys", Warning, "can be read by others"},
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

func (m *machine) openssh(version string) {
	m.write("var/lib/dpkg/status", "Package: openssh-server\nStatus: install ok installed\nVersion: "+version+"\n", 0o644)
}

// A machine on which all is well has nothing above info, and nothing left out.
func TestAllIsWell(t *testing.T) {
	m := newMachine(t)
	r := m.Run(t.Context())
	if r.Exit() != 0 || len(r.LeftOut) > 0 || len(r.Checks) != len(checks()) {
		t.Errorf("exit %d, left out %v, checks %v, findings %+v", r.Exit(), r.LeftOut, r.Checks, r.Findings)
	}
	for _, version := range []string{"1:9.2p1-2+deb12u3", "1:9.2p1-2+deb12u10", "1:8.4p1-5+deb11u3x"} {
		m.openssh(version)
		for _, f := range m.Run(t.Context()).Findings {
			if strings.Contains(f.Found, "regreSSHion") {
				t.Errorf("%s: %s", version, f.Found)
			}
		}
	}
}

func TestMaskedIsShut(t *testing.T) {
	m := newMachine(t)
	m.link("etc/systemd/system/sockets.target.wants/telnet.socket", "/usr/lib/systemd/system/telnet.socket")
	m.link("etc/systemd/system/telnet.socket", "/dev/null")
	for _, f := range m.Run(t.Context()).Findings {
		if f.Check == "doors" {
			t.Errorf("%+v", f)
		}
	}
}

// Those who may not log in don't count for sudo.
func TestSudoOfThoseWhoMayNot(t *testing.T) {
	m := newMachine(t)
	m.write("etc/sudoers", "ann ALL=NOPASSWD: ALL\nsvc ALL=NOPASSWD: ALL\nroot ALL=NOPASSWD: ALL\n", 0o440)
	m.Policy.DenyUsers = []string{"ann"}
	for _, f := range m.Run(t.Context()).Findings {
		if f.Check == "sudo" {
			t.Errorf("%+v", f)
		}
	}
}

func TestNeverASilentPass(t *testing.T) {
	for name, spoil := range map[string]func(*machine){
		"bad: no root":             func(m *machine) { m.Holds = nil },
		"bad: no policy":           func(m *machine) { m.PolicyErr = errors.New("line 3") },
		"bad: no bus":              func(m *machine) { m.Units = func(context.Context) ([]Unit, error) { return nil, errors.New("no bus") } },
		"bad: nobody asks":         func(m *machine) { m.Units, m.Addresses, m.Interlocked, m.LockedOut = nil, nil, nil, nil },
		"bad: no shadow":           func(m *machine) { m.remove("etc/shadow") },
		"bad: no passwd":           func(m *machine) { m.remove("etc/passwd") },
		"bad: LDAP":                func(m *machine) { m.write("etc/nsswitch.conf", "passwd: files ldap\n", 0o644) },
		"bad: no /proc":            func(m *machine) { m.remove("proc") },
		"bad: an unknown hash":     func(m *machine) { m.write("etc/shadow", "ann:$gy$j9T$a$b:1::::::\n", 0o640) },
		"bad: a hash without end":  func(m *machine) { m.write("etc/shadow", "ann:$6$rounds=999999999$a$b:1::::::\n", 0o640) },
		"bad: a huge yescrypt":     func(m *machine) { m.write("etc/shadow", "ann:$y$jzz$a$b:1::::::\n", 0o640) },
		"bad: sudoers in a loop":   func(m *machine) { m.write("etc/sudoers", "@include /etc/sudoers\n", 0o440) },
		"bad: not Debian's":        func(m *machine) { m.remove("var/lib/dpkg/status") },
		"bad: sudoers is a folder": func(m *machine) { m.must(os.MkdirAll(filepath.Join(m.Root, "etc/sudoers"), 0o755)) },
	} {
		m := newMachine(t)
		spoil(m)
		if r := m.Run(t.Context()); len(r.LeftOut) == 0 || r.Exit() == 0 {
			t.Errorf("%s: exit %d, nothing left out", name, r.Exit())
		}
	}
	m := newMachine(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r := m.Run(ctx); len(r.LeftOut) != len(checks()) || r.Exit() != ExitIncomplete {
		t.Errorf("out of time: %+v", r)
	}
}

func TestHashes(t *testing.T) {
	for _, hash := range []string{sha512Raspberry, sha256Raspberry, md5Raspberry, yescryptRaspberry, bcryptRaspberry} {
		if right, known := matches(hash, "raspberry"); !right || !known {
			t.Errorf("%s: %v, %v", hash, right, known)
		}
		if right, known := matches(hash, "blackberry"); right || !known {
			t.Errorf("%s: another password: %v, %v", hash, right, known)
		}
	}
	for _, hash := range []string{"", "$", "$$", "$6$", "$y$", "$y$$$$", "$2b$", "$2b$99$x", "$1$", "abeI39UDXGcO6", "$6$rounds=x$a$b", "$7$CU..../....2Q9obwLhin8qvQl6sisAO/$Z"} {
		if right, _ := matches(hash, "raspberry"); right {
			t.Errorf("%q matches", hash)
		}
	}
}

func FuzzHash(f *testing.F) {
	for _, h := range []string{sha256Raspberry, md5Raspberry, bcryptRaspberry, "$y$j9T$a$b", "$6$rounds=1$$", ""} {
		f.Add(h)
	}
	f.Fuzz(func(t *testing.T, hash string) {
		if strings.HasPrefix(hash, "$y$") || strings.Contains(hash, "rounds=") || strings.HasPrefix(hash, "$2") {
			return // each is right and slow
		}
		_, _ = matches(hash, "raspberry")
	})
}

func TestAddress(t *testing.T) {
	for text, want := range map[string]string{
		"0100007F:0016":                         "127.0.0.1:22",
		"00000000000000000000000000000000:1F90": "[::]:8080",
		"B80D0120000000000000000007000000:0016": "[2001:db8::7]:22",
		"0000000000000000FFFF0000070200C0:0016": "192.0.2.7:22",
	} {
		if at, ok := parseAddress(text); !ok || at.String() != want {
			t.Errorf("%s: %s %v, want %s", text, at, ok, want)
		}
	}
	for _, bad := range []string{"", ":", "01:16", "0100007F", "0100007F:99999", "x:y"} {
		if at, ok := parseAddress(bad); ok {
			t.Errorf("%q: %s", bad, at)
		}
	}
}

func TestReport(t *testing.T) {
	r := Report{Checks: []string{"a", "b"}, Findings: []Finding{{"doors", Critical, "a door", "shut it"}, {"doors", Info, "a window", ""}}, LeftOut: []LeftOut{{"b", "that needs root"}}}
	var b strings.Builder
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	const want = `CRITICAL
  doors      a door
             do: shut it
INFO
  doors      a window
LEFT OUT (not a pass)
  b          that needs root

2 checks: 1 critical, 0 warnings, 1 worth knowing, 1 left out
`
	if b.String() != want {
		t.Errorf("it says\n%s\nwant\n%s", b.String(), want)
	}
	out, err := r.JSON()
	var back struct {
		Findings []struct{ Check, Severity, Found, Mend string }
		LeftOut  []LeftOut `json:"left_out"`
	}
	if err != nil || json.Unmarshal(out, &back) != nil || back.Findings[0].Severity != "critical" || len(back.LeftOut) != 1 {
		t.Errorf("%v: %s", err, out)
	}
}
