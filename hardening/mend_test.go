package hardening

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const guide = "etc/sshd_config.d/50-guide.conf"

// What the admin edits after a mending stays, and only what keyswitchd had put there goes.
func TestRestoreKeepsEdits(t *testing.T) {
	m := newMachine(t)
	m.write(guide, "Port 2222\nPrintMotd no\n")
	m.write("etc/sshd_config.d/60-other.conf", "Port 2223")
	m.mustHold()
	m.write(guide, m.read(guide)+"PrintLastLog no\n")
	said := strings.Join(m.mustRestore(), "\n")
	if got := m.read(guide); got != "Port 2222\nPrintMotd no\nPrintLastLog no\n" {
		t.Errorf("edited and restored:\n%s", got)
	}
	if got := m.read("etc/sshd_config.d/60-other.conf"); got != "Port 2223" {
		t.Errorf("restored:\n%s", got)
	}
	if !strings.Contains(said, "50-guide.conf: was edited meanwhile: the edits stay") || !strings.Contains(said, "00-keyswitchd.conf: removed") {
		t.Errorf("said:\n%s", said)
	}
	if _, err := ReadResult(m.o.ResultFile); err == nil {
		t.Error("the result of before is still there")
	}
	if there, err := Hardened(m.o); there || err != nil {
		t.Errorf("still hardened: %v, %v", there, err)
	}
	if again := m.mustRestore(); again != nil {
		t.Errorf("again: %q", again)
	}
}

// A file that is mended, edited and mended again goes back to the edited one.
func TestMendedTwice(t *testing.T) {
	m := newMachine(t)
	m.write(guide, "Port 2222\n")
	m.mustHold()
	m.write(guide, m.read(guide)+"Port 2223\n")
	r := m.mustHold()
	if len(r.Changes) != 1 || !strings.Contains(r.Changes[0], "50-guide.conf:3: commented out") {
		t.Errorf("changes %q", r.Changes)
	}
	m.mustRestore()
	if got := m.read(guide); got != "Port 2222\nPort 2223\n" {
		t.Errorf("restored:\n%s", got)
	}
	// The first state is kept for ever.
	var first record
	text, err := os.ReadFile(filepath.Join(m.o.Backup, firstFile))
	if err = errors.Join(err, json.Unmarshal(text, &first)); err != nil {
		t.Fatal(err)
	}
	if i := slices.IndexFunc(first.Files, func(s saved) bool { return s.Path == m.path(guide) }); i < 0 || string(first.Files[i].Content) != "Port 2222\n" {
		t.Errorf("first state: %+v", first)
	}
	for range keptChanges {
		m.write(guide, "Port 2222\n")
		m.mustHold()
		m.mustRestore()
	}
	kept, err := filepath.Glob(filepath.Join(m.o.Backup, changeFiles+"*"))
	if err != nil || len(kept) != keptChanges {
		t.Errorf("%d changes are kept, %v", len(kept), err)
	}
}

// Someone's own 00-keyswitchd.conf, with its mode, is put back too; a removed file stays away.
func TestRestoreOwnAndGone(t *testing.T) {
	m := newMachine(t)
	m.write(dropIn, "PrintMotd no\n")
	m.write(guide, "Port 2222\n")
	if err := os.Chmod(m.path(dropIn), 0o600); err != nil {
		t.Fatal(err)
	}
	m.mustHold()
	m.write(dropIn, "PermitRootLogin yes\n") // spoilt: not what to go back to
	m.mustHold()
	if err := os.Remove(m.path(guide)); err != nil {
		t.Fatal(err)
	}
	if said := strings.Join(m.mustRestore(), "\n"); !strings.Contains(said, "50-guide.conf: was removed meanwhile") {
		t.Errorf("said:\n%s", said)
	}
	info, err := os.Stat(m.path(dropIn))
	if err != nil || m.read(dropIn) != "PrintMotd no\n" || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v:\n%s", info, err, m.read(dropIn))
	}
}

// What can't be mended without a surprise is refused with its place, and nothing at all is changed.
func TestCantBeMended(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(m *machine) error
		want []string
	}{
		"a symbolic link": {func(m *machine) error {
			m.write("victim", "Port 2222\n")
			return os.Symlink(m.path("victim"), m.path(guide))
		}, []string{"50-guide.conf:1", "Port adds up", "is a symbolic link"}},
		"a hard link": {func(m *machine) error {
			m.write("victim", "Port 2222\n")
			return os.Link(m.path("victim"), m.path(guide))
		}, []string{"50-guide.conf:1", "2 names"}},
		"others can write it": {func(m *machine) error {
			m.write(guide, "#\nPort 2222\n")
			return os.Chmod(m.path(guide), 0o664)
		}, []string{"50-guide.conf:2", "others can write it"}},
		"a folder of others": {func(m *machine) error {
			err := errors.Join(os.Mkdir(m.path("more"), 0o755), os.Chmod(m.path("more"), 0o777))
			m.write("more/x.conf", "Port 2222\n")
			m.write(guide, "Include "+m.path("more")+"/*\n")
			return err
		}, []string{"50-guide.conf:1", "more: others can put files there"}},
		"a Match keyword": {func(m *machine) error {
			m.write(guide, "Match User bob\nPort 2222\n")
			return nil
		}, []string{"50-guide.conf", "line 2", "not allowed within a Match block"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.write("etc/sshd_config.d/40-port.conf", "Port 2224\n")
			if err := c.do(m); err != nil {
				t.Fatal(err)
			}
			m.mustRefuse(c.want...)
			if m.read("etc/sshd_config.d/40-port.conf") != "Port 2224\n" || m.read(dropIn) != "" {
				t.Error("something was changed")
			}
			if victim := m.read("victim"); victim != "" && victim != "Port 2222\n" {
				t.Errorf("the victim became:\n%s", victim)
			}
		})
	}
}

// Links that need no change are nobody's concern.
func TestHarmlessLinks(t *testing.T) {
	m := newMachine(t)
	m.write("elsewhere", "PasswordAuthentication yes\n")
	if err := os.Symlink(m.path("elsewhere"), m.path(guide)); err != nil {
		t.Fatal(err)
	}
	m.mustMend()
}

func TestExceptions(t *testing.T) {
	m := newMachine(t)
	yes, local := true, ForwardLocal
	m.o.Policy.Match = []Exception{
		{Criterion: "User backup Address 192.168.1.0/24", TCPForwarding: &local},
		{Criterion: "LocalPort 10022 User nobody", Passwords: &yes, TCPForwarding: &local},
	}
	m.write(guide, "Match User backup\nAllowTcpForwarding yes\nX11Forwarding yes\n")
	m.mustMend("50-guide.conf:2: commented out", "50-guide.conf:3: commented out")
	if err := m.o.fill(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		c    Connection
		want string
	}{
		{Connection{User: "backup", Host: "x", Addr: "192.168.1.7", LAddr: "::1", LPort: 10022}, "local"},
		{Connection{User: "backup", Host: "x", Addr: "192.168.2.7", LAddr: "::1", LPort: 10022}, "no"},
		{Connection{User: "other", Host: "x", Addr: "192.168.1.7", LAddr: "::1", LPort: 10022}, "no"},
		{Connection{User: "nobody", Host: "x", Addr: "192.168.2.7", LAddr: "::1", LPort: 10022}, "local"},
	} {
		e, err := m.o.ask(t.Context(), []string{"-T", "-f", m.o.ConfigFile, "-C", c.c.Spec()})
		if err != nil || e["allowtcpforwarding"][0] != c.want {
			t.Errorf("%s: %q, %v, want %s", c.c.Spec(), e["allowtcpforwarding"], err, c.want)
		}
	}
	for name, e := range map[string]Exception{
		"an injection":      {Criterion: "User a\nPermitRootLogin yes", Passwords: &yes},
		"a comment":         {Criterion: "User a # b", Passwords: &yes},
		"quotes":            {Criterion: "User \"a b\"", Passwords: &yes},
		"everyone":          {Criterion: "all", Passwords: &yes},
		"a host name":       {Criterion: "Host x.example", Passwords: &yes},
		"no criterion":      {Criterion: "", Passwords: &yes},
		"no value":          {Criterion: "User", Passwords: &yes},
		"an address":        {Criterion: "Address 10.0.0.1/8", Passwords: &yes},
		"nothing":           {Criterion: "User a"},
		"an unknown word":   {Criterion: "Exec /bin/true", Passwords: &yes},
		"a forbidden value": {Criterion: "User root", RootLogin: func() *RootLogin { r := RootLogin("yes"); return &r }()},
	} {
		p := DefaultPolicy()
		p.Match = []Exception{e}
		var key *KeyError
		if err := p.Validate(); !errors.As(err, &key) || key.Key != "match" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestListenAddresses(t *testing.T) {
	m := newMachine(t)
	own := []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	m.o.addresses = func() ([]netip.Addr, error) { return own, nil }
	m.o.Policy.Listen = []string{"192.0.2.1", "fe80::1%lo"}
	m.mustRefuse("listen: this machine has none of 192.0.2.1, fe80::1%lo now; SSH starts when one of them is there")
	own = append(own, netip.MustParseAddr("192.0.2.1"))
	if r := m.mustHold(); len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "does not have fe80::1%lo now") {
		t.Errorf("warnings %q", r.Warnings)
	}
	own = append(own, netip.MustParseAddr("fe80::1%lo"))
	r := m.mustHold()
	kept, err := ReadResult(m.o.ResultFile)
	if len(r.Warnings) != 0 || err != nil || len(kept.Warnings) != 0 || m.runs.Load() != 0 {
		t.Errorf("warnings %q, kept %q, %v, %d programs", r.Warnings, kept.Warnings, err, m.runs.Load())
	}
	m.o.Warnings = []string{"look out"}
	if r := m.mustHold(); !slices.Equal(r.Warnings, m.o.Warnings) || m.runs.Load() != 0 {
		t.Errorf("warnings %q, %d programs", r.Warnings, m.runs.Load())
	}
	if list, err := ownAddresses(); err != nil || !slices.Contains(list, netip.MustParseAddr("127.0.0.1")) {
		t.Errorf("%v, %v", list, err)
	}
}

// A Match block that asks for the local port makes `sshd -T` without -C an error; that is no reason to refuse.
func TestMatchLocalPort(t *testing.T) {
	m := newMachine(t)
	m.write(guide, "Match LocalPort 2222\nForceCommand /bin/true\nMatch Group root,!nogroup\nBanner none\nMatch RDomain x* Host *.example\nBanner none\n")
	m.mustMend()
}

func TestPlan(t *testing.T) {
	m := newMachine(t)
	m.write(guide, "Port 2222\n")
	changes, err := Plan(t.Context(), m.o)
	if err != nil || len(changes) != 2 || !changes[0].Absent || string(changes[1].Before) != "Port 2222\n" || !strings.HasSuffix(string(changes[1].After), "\n#keyswitchd# Port 2222\n") {
		t.Errorf("%+v, %v", changes, err)
	}
	if m.read(guide) != "Port 2222\n" || m.read(dropIn) != "" {
		t.Error("planning has changed something")
	}
	m.mustHold()
	if changes, err := Plan(t.Context(), m.o); err != nil || len(changes) != 0 {
		t.Errorf("%+v, %v", changes, err)
	}
}

// Somebody replaces a file between the plan and its change: theirs stays.
func TestReplacedMeanwhile(t *testing.T) {
	m := newMachine(t)
	m.write(guide, "Port 2222\n")
	if err := m.o.fill(); err != nil {
		t.Fatal(err)
	}
	changes, err := Plan(context.Background(), m.o)
	if err != nil {
		t.Fatal(err)
	}
	m.write(guide, "Port 2223\n")
	if _, err := apply(changes, m.o.DropIn); err == nil || !strings.Contains(err.Error(), "was changed meanwhile by somebody else") {
		t.Errorf("%v", err)
	}
	if m.read(guide) != "Port 2223\n" || m.read(dropIn) != "" {
		t.Errorf("%s\n%s", m.read(guide), m.read(dropIn))
	}
}

// The guide's DisallowUsers denies from then on.
func TestDisallowUsersDenies(t *testing.T) {
	m := newMachine(t)
	m.o.Policy.DenyUsers = []string{"eve"}
	m.write(guide, "DisallowUsers bob, carol\nMatch Address 10.0.0.0/8\n\tDisallowUsers dave\n")
	m.mustMend("50-guide.conf:1: replaced", "50-guide.conf:3: replaced")
	if err := m.o.fill(); err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]string{"192.0.2.1": "eve bob carol", "10.1.1.1": "dave eve"} {
		c := Connection{User: "root", Host: "h", Addr: addr, LAddr: "::1", LPort: 10022}
		e, err := m.o.ask(t.Context(), []string{"-T", "-f", m.o.ConfigFile, "-C", c.Spec()})
		if got := strings.Join(e["denyusers"], " "); err != nil || got != want {
			t.Errorf("from %s: %q, %v, want %q", addr, got, err, want)
		}
	}
}
