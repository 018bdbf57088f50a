package audit

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keyswitchd/internal/shellword"
)

const pemKey = "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n"

func (r Report) find(check, found string) (Finding, bool) {
	for _, f := range r.Findings {
		if f.Check == check && strings.Contains(f.Found, found) {
			return f, true
		}
	}
	return Finding{}, false
}

// A user's own systemd runs units under whatever names he likes, and a process may call itself anything.
func TestBorrowedNames(t *testing.T) {
	m := newMachine(t)
	m.Policy.Port = 10101
	m.write("proc/net/tcp", tcpHeader+listening("2775", "77")+listening("2775", "78"), 0o644)
	for pid, inode := range map[int]string{700: "77", 701: "78"} {
		dir := fmt.Sprintf("proc/%d/", pid)
		m.write(dir+"comm", map[int]string{700: "sshd\n", 701: "systemd\n"}[pid], 0o644)
		m.write(dir+"cgroup", "0::/user.slice/user-1000.slice/user@1000.service/app.slice/ssh.service\n", 0o644)
		m.link(dir+"fd/3", "socket:["+inode+"]")
	}
	r := m.Run(t.Context())
	for _, who := range []string{"sshd listens", "systemd listens"} {
		f, found := r.find("sockets", who)
		if !found || strings.Contains(f.Mend, "the key guards") || who == "sshd listens" && f.Severity != Critical {
			t.Errorf("%s: %+v", who, f)
		}
	}
	m.process(1, "systemd", "init.scope", "79")
	m.write("proc/net/tcp", tcpHeader+listening("2775", "79"), 0o644)
	if f, found := m.Run(t.Context()).find("sockets", "systemd"); !found || f.Severity != Info || !strings.Contains(f.Mend, "the key guards") {
		t.Errorf("ssh.socket: %+v", f)
	}
}

// What root is advised to type names files that others have named.
func TestHostileNames(t *testing.T) {
	m := newMachine(t)
	name := "id_a; chmod 0777 \x1b[2J'$(id)\n"
	m.write("home/ann/.ssh/"+name, pemKey, 0o644)
	m.write("home/ann/.ssh/id_huge", pemKey+strings.Repeat("A", privateKeyLimit), 0o644)
	m.write("etc/passwd-", pemKey, 0o644)
	m.link("home/ann/.ssh/id_link", filepath.Join(m.Root, "etc/passwd-"))
	r := m.Run(t.Context())
	f, found := r.find("keys", "can be read by others")
	if want := "runuser -u ann -- chmod 0600 " + printable(shellword.Quote("/home/ann/.ssh/"+name)); !found || f.Mend != want {
		t.Errorf("%+v; want %s", f, want)
	}
	for _, f := range r.Findings {
		if strings.ContainsAny(f.Found+f.Mend, "\x1b\n") || strings.Contains(f.Found, "id_link") || strings.Contains(f.Found, "id_huge") {
			t.Errorf("%+v", f)
		}
	}
	if !strings.Contains(fmt.Sprint(r.LeftOut), "the .ssh folders") {
		t.Errorf("left out: %v", r.LeftOut)
	}
}

// Nobody can make the audit last by what he puts into his home.
func TestHugeFolder(t *testing.T) {
	m := newMachine(t)
	m.must(os.MkdirAll(filepath.Join(m.Root, "home/ann/.ssh"), 0o700))
	for i := range entriesLimit + 1 {
		m.must(os.Symlink("x", filepath.Join(m.Root, fmt.Sprintf("home/ann/.ssh/id_%d", i))))
	}
	if r := m.Run(t.Context()); !strings.Contains(fmt.Sprint(r.LeftOut), "the .ssh folders") {
		t.Errorf("left out: %v", r.LeftOut)
	}
	count := 0
	for range lines(strings.Repeat("a\\\n", 1<<20) + "b") {
		count++
	}
	if count != 1 {
		t.Errorf("%d lines of one", count)
	}
}

func TestPrivateKey(t *testing.T) {
	openssh := func(base64 string) string {
		return "-----BEGIN OPENSSH PRIVATE KEY-----\n" + base64 + "\n-----END OPENSSH PRIVATE KEY-----\n"
	}
	for name, c := range map[string]struct {
		text        string
		key, locked bool
	}{
		"none":            {"hello", false, false},
		"a certificate":   {"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", false, false},
		"PEM":             {pemKey, true, false},
		"PEM, encrypted":  {strings.Replace(pemKey, "\nAAAA", "\nProc-Type: 4,ENCRYPTED\nDEK-Info: x\n\nAAAA", 1), true, true},
		"PKCS 8":          {strings.ReplaceAll(pemKey, "RSA PRIVATE", "ENCRYPTED PRIVATE"), true, true},
		"OpenSSH":         {openssh("b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ=="), true, false},
		"OpenSSH, locked": {openssh("b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0"), true, true},
		"OpenSSH, broken": {openssh("AAAA"), false, true},
	} {
		if key, locked := privateKey(c.text); key != c.key || key && locked != c.locked {
			t.Errorf("%s: key %v, locked %v", name, key, locked)
		}
	}
}

func TestJSONReadable(t *testing.T) {
	r := Report{Findings: []Finding{{"a", Info, "<b>", "c && d"}}}
	out, err := r.JSON()
	if err != nil || !strings.Contains(string(out), `"c && d"`) || !strings.Contains(string(out), `"<b>"`) || strings.HasSuffix(string(out), "\n") {
		t.Errorf("%s, %v", out, err)
	}
}
