package sshctl

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// pty makes a terminal and returns its master and its path.
func pty(t *testing.T) (master int, path string, device uint64) {
	t.Helper()
	master, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(master) })
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(master, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	return master, fmt.Sprintf("/dev/pts/%d", n), unix.Mkdev(ptsMajor, uint32(n))
}

func TestWriteTerminal(t *testing.T) {
	master, path, device := pty(t)
	me := uint32(os.Getuid())
	if err := writeTerminal(path, device, me, "one\ntwo\n"); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	n, err := unix.Read(master, buf)
	// The terminal itself adds another carriage return; in raw mode it doesn't.
	if got := strings.ReplaceAll(string(buf[:n]), "\r\r", "\r"); got != "\r\none\r\ntwo\r\n" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if err := writeTerminal(path, device, me+1, "x\n"); err == nil {
		t.Error("wrote to somebody else's terminal")
	}
	if err := writeTerminal(path, device+1, me, "x\n"); err == nil {
		t.Error("wrote to another terminal")
	}
	link := filepath.Join(t.TempDir(), "pts")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if err := writeTerminal(link, device, me, "x\n"); err == nil {
		t.Error("followed a link")
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeTerminal(file, device, me, "x\n"); err == nil {
		t.Error("wrote to a file")
	}
	if text, err := os.ReadFile(file); len(text) > 0 || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	if err := unix.Mkfifo(filepath.Join(t.TempDir(), "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Control-S, and a reader who doesn't read: neither holds anything up.
func TestStoppedTerminal(t *testing.T) {
	_, path, device := pty(t)
	slave, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(slave)
	if err := unix.IoctlSetInt(slave, unix.TCXONC, unix.TCOOFF); err != nil {
		t.Fatal(err)
	}
	if err := writeTerminal(path, device, uint32(os.Getuid()), "x\n"); err == nil || !strings.Contains(err.Error(), "stopped") {
		t.Errorf("stopped: %v", err)
	}
	if err := unix.IoctlSetInt(slave, unix.TCXONC, unix.TCOON); err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		if err = writeTerminal(path, device, uint32(os.Getuid()), strings.Repeat("x", 500)); err != nil {
			break
		}
	}
	if err == nil || !strings.Contains(err.Error(), "full") {
		t.Errorf("full: %v", err)
	}
}

func TestTerminalsOfASession(t *testing.T) {
	pts := func(n uint32) uint64 { return unix.Mkdev(ptsMajor, n) }
	type about struct {
		tty uint64
		uid uint32
	}
	processes := map[uint32]about{
		1: {0, 0},                      // sshd: pi [priv]
		2: {0, 1000},                   // sshd: pi@pts/3
		3: {pts(3), 1000},              // -bash
		4: {pts(3), 1000},              // vi
		5: {pts(3), 0},                 // sudo on the same terminal
		6: {pts(300), 1000},            // a pane of tmux
		7: {pts(9), 1001},              // somebody else's
		8: {unix.Mkdev(4, 1), 1000},    // tty1: the screen
		9: {unix.Mkdev(204, 64), 1000}, // a serial line
	}
	var members []member
	for pid := range processes {
		members = append(members, member{PID: pid})
	}
	tty := func(pid uint32) uint64 { return processes[pid].tty }
	owner := func(pid uint32) (uint32, bool) { p, ok := processes[pid]; return p.uid, ok }
	members = append(members, member{PID: 99}) // gone
	got := terminals(session{uid: 1000}, members, tty, owner)
	if want := []terminal{{pts(3), 1000}, {pts(300), 1000}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if path := got[1].path(); path != "/dev/pts/300" {
		t.Error(path)
	}
	if got := terminals(session{uid: -1}, members, tty, owner); len(got) != 4 { // whose they have to be is in each
		t.Errorf("without logind: %v", got)
	}
}

func TestParseTTY(t *testing.T) {
	for stat, want := range map[string]uint64{
		"7 (bash) S 6 7 7 34819 7 4194304":         unix.Mkdev(136, 3),
		"7 (a) 1 2 3 4 5) S 6 7 7 34819 7 4194304": unix.Mkdev(136, 3),
		"7 (x) S 6 7 7 1083436 7 0":                unix.Mkdev(136, 300), // 300 = 0x12c: 0x100 lies above the major number
		"7 (sshd) S 1 7 7 0 -1 4194304":            0,
		"":                                         0,
		"7 (x":                                     0,
	} {
		if got := parseTTY(stat); got != want {
			t.Errorf("%q: %d:%d, want %d:%d", stat, unix.Major(got), unix.Minor(got), unix.Major(want), unix.Minor(want))
		}
	}
}

// Nothing that a terminal takes for a command goes out, whoever wrote it.
func TestWarningIsPlain(t *testing.T) {
	for _, text := range []string{"\x1b[2J", "a\tb", "\a", "ü", "a\r", "\x9b"} {
		if _, err := WarnRemoteSessions(t.Context(), text); err == nil || !strings.Contains(err.Error(), "plain") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// With sessions of all kinds it is theirs alone that are looked at.
func TestFindMembers(t *testing.T) {
	f := newFakeSystemd(t)
	f.sessions["1"] = fakeSession{service: "login", seat: "seat0"}
	f.sessions["2"] = fakeSession{remote: true, service: "sshd", title: "sshd: pi [priv]"}
	sessions, members, err := findMembers(t.Context(), f.bus.address)
	if err != nil || len(sessions) != 1 || sessions[0].id != "2" || sessions[0].uid != 1000 || len(members[0]) != 2 {
		t.Errorf("%v, %v, %v", sessions, members, err)
	}
	f.bus.setOwner(loginName, "")
	sessions, _, err = findMembers(t.Context(), f.bus.address)
	if err != nil || len(sessions) != 0 {
		t.Errorf("without logind: %v, %v", sessions, err)
	}
}
