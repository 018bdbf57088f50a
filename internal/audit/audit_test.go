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
