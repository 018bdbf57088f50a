package lockout

import (
	"crypto/dsa"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"keyswitchd/hardening"
)

// A machine is a tree in which everything is well, to be spoiled: the account pi may log in with the key in its file.
type machine struct {
	t        *testing.T
	root     string
	policy   hardening.Policy
	settings map[string][]string
	err      error
	own      []netip.Addr
}

const piKeys = "home/pi/.ssh/authorized_keys"

// pi's user id is the tester's, so that the files of the tree are its own; root can have any.
func piUID() int {
	if uid := os.Getuid(); uid != 0 {
		return uid
	}
	return 1000
}

func newMachine(t *testing.T) *machine {
	m := &machine{t: t, root: t.TempDir(), policy: hardening.DefaultPolicy(), settings: map[string][]string{"usepam": {"yes"}},
		own: []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("fe80::1%eth0")}}
	m.write("etc/passwd", fmt.Sprintf("root:x:0:0:root:/root:/bin/sh\nsync:x:4:65534::/bin:/bin/sync\npi:x:%d:1000:,,,:/home/pi:/bin/sh\n", piUID()), 0o644)
	m.write("etc/group", "root:x:0:\npi:x:1000:\nssh:x:50:pi\nempty:x:51:\n", 0o644)
	m.write("etc/shadow", "root:*:20000:0:99999:7:::\npi:$y$j9T$x$y:20000:0:99999:7:::\n", 0o600)
	m.write("etc/nsswitch.conf", "passwd: files systemd\ngroup: files systemd\n", 0o644)
	m.write("bin/sh", "#!", 0o755)
	m.write(piKeys, edKey(t)+" pi@home\n", 0o600)
	for _, dir := range []string{"home/pi", "home/pi/.ssh"} {
		m.own1(dir)
		m.chmod(dir, 0o700)
	}
	m.own1(piKeys)
	return m
}

func (m *machine) path(name string) string { return filepath.Join(m.root, name) }

func (m *machine) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// write keeps the owner of a file that is there.
func (m *machine) write(name, text string, mode os.FileMode) {
	m.t.Helper()
	m.must(os.MkdirAll(filepath.Dir(m.path(name)), 0o755))
	m.must(os.WriteFile(m.path(name), []byte(text), mode))
	m.chmod(name, mode)
}

func (m *machine) chmod(name string, mode os.FileMode) {
	m.t.Helper()
	m.must(os.Chmod(m.path(name), mode))
}

func (m *machine) own1(name string) {
	m.t.Helper()
	if os.Getuid() == 0 {
		m.must(os.Chown(m.path(name), piUID(), 1000))
	}
}

func (m *machine) remove(name string) {
	m.t.Helper()
	m.must(os.RemoveAll(m.path(name)))
}

func (m *machine) check() ([]Problem, error) {
	return Machine{Root: m.root, Now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC),
		Settings:  func(string) (map[string][]string, error) { return m.settings, m.err },
		Addresses: func() ([]netip.Addr, error) { return m.own, nil },
	}.Check(m.policy)
}

func keyLine(t *testing.T, key any) string {
	t.Helper()
	k, err := ssh.NewPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k)))
}

func edKey(t *testing.T) string {
	k, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return keyLine(t, k)
}

// rsaKey needs only a modulus of the right size: nobody will use it.
func rsaKey(t *testing.T, bits uint) string {
	n := new(big.Int).Lsh(big.NewInt(1), bits-1)
	return keyLine(t, &rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 65537})
}

func ecKey(t *testing.T) string {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return keyLine(t, k.Public())
}

func blobKey(kind string) string {
	blob := binary.BigEndian.AppendUint32(nil, uint32(len(kind)))
	blob = append(append(blob, kind...), 0, 0, 0, 1, 'x')
	return kind + " " + base64.StdEncoding.EncodeToString(blob)
}

func TestLockedOut(t *testing.T) {
	for _, c := range []struct {
		name   string
		spoil  func(*machine)
		want   string // part of the first problem; "" for none
		unsure bool
	}{
		{"bad: no key file", func(m *machine) { m.remove(piKeys) }, "authorized_keys is not there", false},
		{"bad: an empty key file", func(m *machine) { m.write(piKeys, "# none yet\n\n", 0o600) }, "holds no key", false},
		{"bad: rubbish", func(m *machine) { m.write(piKeys, "\x00\xff\nssh-ed25519 AAAA\n", 0o600) }, "line 2: no key", false},
		{"bad: a private key", func(m *machine) { m.write(piKeys, "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk=\n", 0o600) }, "no key that OpenSSH accepts", false},
		{"bad: a directory", func(m *machine) { m.remove(piKeys); m.must(os.Mkdir(m.path(piKeys), 0o700)) }, "can't be read", false},
		{"bad: the type and the key differ", func(m *machine) { m.write(piKeys, strings.Replace(edKey(m.t), "ssh-ed25519", "ssh-rsa", 1), 0o600) }, "no key that OpenSSH accepts", false},
		{"bad: a DSA key", func(m *machine) {
			one := big.NewInt(3)
			m.write(piKeys, keyLine(m.t, &dsa.PublicKey{Parameters: dsa.Parameters{P: new(big.Int).Lsh(one, 1022), Q: one, G: one}, Y: one}), 0o600)
		}, "ssh-dss", false},
		{"bad: a broken key", func(m *machine) { m.write(piKeys, blobKey("ssh-ed25519"), 0o600) }, "no key that OpenSSH accepts", false},
		{"bad: a short RSA key", func(m *machine) { m.write(piKeys, rsaKey(m.t, 1024), 0o600) }, "1024 bits", false},
		{"bad: 2048 bits under strict", func(m *machine) { m.policy.Profile = hardening.Strict; m.write(piKeys, rsaKey(m.t, 2048), 0o600) }, "wants 3072", false},
		{"bad: ECDSA under strict", func(m *machine) { m.policy.Profile = hardening.Strict; m.write(piKeys, ecKey(m.t), 0o600) }, "admits no ecdsa", false},
		{"bad: expired", func(m *machine) { m.write(piKeys, `expiry-time="20261122" `+edKey(m.t), 0o600) }, "expired", false},
		{"bad: an expiry that is no time", func(m *machine) { m.write(piKeys, `expiry-time="soon" `+edKey(m.t), 0o600) }, "expired", false},
		{"bad: one command", func(m *machine) { m.write(piKeys, `restrict,command="/bin/backup \"x y\"" `+edKey(m.t), 0o600) }, "bound to one command", false},
		{"bad: the file for everybody", func(m *machine) { m.chmod(piKeys, 0o666) }, "written by everybody", false},
		{"bad: .ssh for a strange group", func(m *machine) {
			m.write("etc/group", "root:x:0:\npi:x:1000:eve\n", 0o644)
			m.group("home/pi/.ssh")
			m.chmod("home/pi/.ssh", 0o770)
		}, "written by its group", false},
		{"bad: home for everybody", func(m *machine) { m.chmod("home/pi", 0o777) }, "/home/pi can be written by everybody", false},
		{"bad: the file is another's", func(m *machine) { m.foreign(piKeys) }, "belongs to user id", false},
		{"bad: the file can't be read by pi", func(m *machine) { m.chmod(piKeys, 0o200) }, "", false}, // replaced below for testers that are not root
		{"bad: elsewhere, and not there", func(m *machine) { m.settings["authorizedkeysfile"] = []string{"/etc/ssh/keys/%u"} }, "/etc/ssh/keys/pi is not there", false},
		{"bad: AuthorizedKeysFile none", func(m *machine) { m.settings["authorizedkeysfile"] = []string{"none"} }, "AuthorizedKeysFile is none", false},
		{"bad: keys and passwords wanted, passwords off", func(m *machine) { m.settings["authenticationmethods"] = []string{"publickey,password"} }, "AuthenticationMethods", false},
		{"bad: the account expired", func(m *machine) { m.write("etc/shadow", "pi:$y$a:20000:0:99999:7::20000:\n", 0o600) }, "expired on 2024-10-04", false},
		{"bad: locked, and no PAM", func(m *machine) {
			m.settings["usepam"] = []string{"no"}
			m.write("etc/shadow", "pi:!$y$a:20000:0:99999:7:::\n", 0o600)
		}, "locked", false},
		{"bad: no shell program", func(m *machine) { m.remove("bin/sh") }, "is no program", false},
		{"bad: nologin", func(m *machine) {
			m.policy.AllowUsers = []string{"pi"}
			m.write("etc/passwd", fmt.Sprintf("pi:x:%d:1000::/home/pi:/usr/sbin/nologin\n", piUID()), 0o644)
		}, "ends every login", false},
		{"bad: nobody at all", func(m *machine) { m.write("etc/passwd", "sync:x:4:65534::/bin:/bin/sync\n", 0o644) }, "no account with a shell", false},
		{"bad: denied", func(m *machine) { m.policy.DenyUsers = []string{"pi"} }, "pi: denied by name", false},
		{"bad: denied elsewhere", func(m *machine) { m.settings["denygroups"] = []string{"s?h"} }, "denied by its group ssh", false},
		{"bad: another's AllowUsers", func(m *machine) { m.settings["allowusers"] = []string{"bob al*"} }, "not in sshd's AllowUsers", false},
		{"bad: only root, and root may not", func(m *machine) { m.policy.AllowUsers = []string{"root"} }, `root-login is "no"`, false},
		{"bad: allow-users has nobody", func(m *machine) { m.policy.AllowUsers = []string{"bob"} }, "pi: not in allow-users", false},
		{"bad: one of allow-users is nobody", func(m *machine) { m.policy.AllowUsers = []string{"pi", "bob"} }, `names "bob", and there is no such account`, false},
		{"bad: allowed and denied", func(m *machine) { m.policy.AllowUsers, m.policy.DenyUsers = []string{"pi"}, []string{"pi"} }, "denied by name", false},
		{"bad: the group is missing", func(m *machine) { m.policy.AllowGroups = []string{"ssh", "sshusers"} }, `names "sshusers", and there is no such group`, false},
		{"bad: the group is empty", func(m *machine) { m.policy.AllowGroups = []string{"ssh", "empty"} }, "nobody is in that group", false},
		{"bad: only the empty group", func(m *machine) { m.policy.AllowGroups = []string{"empty"} }, "none of the groups", false},
		{"bad: an address that isn't here", func(m *machine) { m.policy.Listen = []string{"192.0.2.7", "192.0.2.8"} }, "listen names 192.0.2.8", false},
		{"bad: the other interface", func(m *machine) { m.policy.Listen = []string{"fe80::1%wlan0"} }, "on another interface", false},
		{"bad: /etc/nologin", func(m *machine) { m.write("etc/nologin", "", 0o644) }, "only root may log in", false},
		{"bad: passwords on, and none set", func(m *machine) {
			m.policy.Passwords = true
			m.remove(piKeys)
			m.write("etc/shadow", "pi:!:20000:0:99999:7:::\n", 0o600)
		}, "no password works", false},
		{"unsure: accounts elsewhere", func(m *machine) {
			m.remove(piKeys)
			m.write("etc/nsswitch.conf", "passwd: files sss\n", 0o644)
		}, "accounts from sss are not known here", true},
		{"unsure: a name from elsewhere", func(m *machine) {
			m.policy.AllowUsers = []string{"pi", "bob"}
			m.write("etc/nsswitch.conf", "passwd: files ldap\n", 0o644)
		}, `names "bob"`, true},
		{"unsure: an exception", func(m *machine) {
			m.remove(piKeys)
			yes := true
			m.policy.Match = []hardening.Exception{{Criterion: "User pi", Passwords: &yes}}
		}, "may let somebody in", true},
		{"unsure: keys from a program", func(m *machine) {
			m.remove(piKeys)
			m.settings["authorizedkeyscommand"] = []string{"/usr/bin/sss_ssh_authorizedkeys"}
		}, "only /usr/bin/sss_ssh_authorizedkeys can tell", true},

		{"fine", func(*machine) {}, "", false},
		{"fine: CRLF, comments, options, no final newline", func(m *machine) {
			m.write(piKeys, "# keys\r\nrubbish\r\nfrom=\"192.0.2.0/24\",no-pty,expiry-time=\"20991231\" "+edKey(m.t), 0o600)
		}, "", false},
		{"fine: RSA that is long enough", func(m *machine) { m.write(piKeys, rsaKey(m.t, 2048), 0o600) }, "", false},
		{"fine: ECDSA", func(m *machine) { m.write(piKeys, ecKey(m.t), 0o600) }, "", false},
		{"fine: a type newer than the library", func(m *machine) { m.write(piKeys, blobKey("ssh-mldsa44-ed25519"), 0o600) }, "", false},
		{"fine: an authority", func(m *machine) { m.write(piKeys, `cert-authority,principals="pi" `+edKey(m.t), 0o600) }, "", false},
		{"fine: the second file", func(m *machine) {
			m.must(os.Rename(m.path(piKeys), m.path(piKeys+"2")))
		}, "", false},
		{"fine: root's own file elsewhere", func(m *machine) {
			m.settings["authorizedkeysfile"] = []string{".ssh/authorized_keys", "/etc/ssh/keys/%u"}
			m.remove(piKeys)
			m.write("etc/ssh/keys/pi", edKey(m.t), 0o644)
		}, "", false},
		{"fine: a group of one's own", func(m *machine) { m.chmod("home/pi", 0o770); m.group("home/pi") }, "", false},
		{"fine: locked password, by PAM", func(m *machine) { m.write("etc/shadow", "pi:!:20000:0:99999:7:::\n", 0o600) }, "", false},
		{"fine: by group", func(m *machine) { m.policy.AllowGroups = []string{"ssh"} }, "", false},
		{"fine: expires later", func(m *machine) { m.write("etc/shadow", "pi:$y$a:20000:0:99999:7::25000:\n", 0o600) }, "", false},
		{"fine: passwords on", func(m *machine) { m.policy.Passwords = true; m.remove(piKeys) }, "", false},
		{"fine: addresses", func(m *machine) { m.policy.Listen = []string{"192.0.2.7", "fe80::1%eth0", "::", "127.0.0.2"} }, "", false},
		{"fine: methods", func(m *machine) { m.settings["authenticationmethods"] = []string{"publickey,password publickey"} }, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			c.spoil(m)
			if c.name == "bad: the file can't be read by pi" {
				c.want = "closed to its owner"
				if os.Getuid() != 0 {
					c.want = "can't be read"
				}
			}
			got, err := m.check()
			if err != nil {
				t.Fatal(err)
			}
			if c.want == "" {
				if len(got) > 0 {
					t.Errorf("problems where there are none: %v", got)
				}
				return
			}
			if len(got) == 0 {
				t.Fatalf("nothing found; want %q", c.want)
			}
			if !strings.Contains(got[0].What, c.want) || got[0].Unsure != c.unsure || got[0].Do == "" {
				t.Errorf("unsure %v, want %v: %s\nwant %q", got[0].Unsure, c.unsure, got[0], c.want)
			}
		})
	}
}

// Where one command is enough, that is the advice.
func TestAdvice(t *testing.T) {
	m := newMachine(t)
	m.chmod("home/pi", 0o777)
	got, err := m.check()
	if err != nil || len(got) != 1 || got[0].Do != "chmod go-w /home/pi" {
		t.Errorf("%v %v", got, err)
	}
	m.chmod("home/pi", 0o755)
	m.remove(piKeys)
	got, err = m.check()
	if err != nil || len(got) != 1 || !strings.Contains(got[0].Do, "ssh-copy-id pi@") {
		t.Errorf("%v %v", got, err)
	}
}

// group gives a file to pi's group 1000, where only root can; for others it is their own group that /etc/group gets.
func (m *machine) group(name string) {
	m.t.Helper()
	if os.Getuid() == 0 {
		return // own1 did
	}
	gid := os.Getgid()
	text, err := os.ReadFile(m.path("etc/group"))
	m.must(err)
	m.write("etc/group", strings.ReplaceAll(string(text), "pi:x:1000:", fmt.Sprintf("pi:x:%d:", gid)), 0o644)
	m.write("etc/passwd", fmt.Sprintf("pi:x:%d:%d:,,,:/home/pi:/bin/sh\n", piUID(), gid), 0o644)
}

// foreign makes the file somebody else's: by giving it away, or, without the right to, by giving pi another id.
func (m *machine) foreign(name string) {
	m.t.Helper()
	if os.Getuid() == 0 {
		m.must(os.Chown(m.path(name), 4242, 4242))
		return
	}
	m.write("etc/passwd", fmt.Sprintf("pi:x:%d:1000:,,,:/home/pi:/bin/sh\n", piUID()+1), 0o644)
}

func TestCannotBeJudged(t *testing.T) {
	for name, spoil := range map[string]func(*machine){
		"bad: no passwd":    func(m *machine) { m.remove("etc/passwd") },
		"bad: a directory":  func(m *machine) { m.remove("etc/group"); m.must(os.Mkdir(m.path("etc/group"), 0o755)) },
		"bad: sshd's files": func(m *machine) { m.err = errors.New("line 3: what is this") },
	} {
		m := newMachine(t)
		spoil(m)
		if got, err := m.check(); err == nil {
			t.Errorf("%s: no error, but %v", name, got)
		}
	}
}

// A way in for root by one command is a way in only where the policy wants no other.
func TestForcedCommandsOnly(t *testing.T) {
	m := newMachine(t)
	m.policy.RootLogin = hardening.RootForcedCommands
	m.policy.AllowUsers = []string{"root"}
	m.write("root/.ssh/authorized_keys", edKey(t), 0o600)
	m.chmod("root", 0o700)
	rootless := os.Getuid() != 0
	if rootless { // the files are the tester's, which for root's account is somebody else's
		m.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n", 0o644)
	}
	got, err := m.check()
	if err != nil || len(got) == 0 {
		t.Fatalf("%v %v: a key without a command counts", got, err)
	}
	m.write("root/.ssh/authorized_keys", `command="/bin/backup" `+edKey(t), 0o600)
	if got, err = m.check(); err != nil || len(got) > 0 && !rootless {
		t.Errorf("%v %v", got, err)
	}
}

func TestOwnAddresses(t *testing.T) {
	own, err := Addresses()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range own {
		if a.IsLinkLocalUnicast() && a.Is6() && a.Zone() == "" || a.Is4In6() {
			t.Errorf("%s", a)
		}
	}
}

// FuzzLine: whatever stands in authorized_keys, it is judged, and only ParseAuthorizedKey's keys or plain new ones pass.
func FuzzLine(f *testing.F) {
	c := check{Machine: Machine{Now: time.Now()}, policy: hardening.DefaultPolicy()}
	c.algorithms, c.rsaBits = c.policy.Profile.UserKeys()
	for _, s := range []string{"", "ssh-ed25519 AAAA", "command=\"", "a=\"b\\\"c\" ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQ==", blobKey("ssh-ed25519"), blobKey("ssh-mldsa44-ed25519"), "\x00 \xff", "cert-authority,"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		_ = c.lines(line, false)
		_ = c.lines(line, true)
	})
}

func BenchmarkCheck(b *testing.B) {
	m := Machine{Root: "/", Now: time.Now(), Settings: func(string) (map[string][]string, error) { return nil, nil }, Addresses: Addresses}
	p := hardening.DefaultPolicy()
	p.Listen = []string{"127.0.0.1"}
	for b.Loop() {
		if _, err := m.Check(p); err != nil {
			b.Fatal(err)
		}
	}
}
