//go:build e2e

package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"keyswitchd/internal/status"
)

// The further doors of these tests: a service that listens, a socket whose service takes the connections, and one that makes a
// service for each. The ports say which is which.
const (
	portService = 7001
	portSocket  = 7002
	portEach    = 7003
)

// systemd takes $$ for a dollar.
var doorUnits = map[string]string{
	"e2e-door.service": `[Service]
ExecStart=/usr/bin/perl -MIO::Socket::INET -e '$$s = IO::Socket::INET->new(Listen => 5, LocalPort => 7001, ReuseAddr => 1) or die $$!; while ($$c = $$s->accept) { print $$c "door\n"; push @all, $$c }'
Restart=always
`,
	"e2e-one.socket": "[Socket]\nListenStream=7002\n[Install]\nWantedBy=sockets.target\n",
	"e2e-one.service": `[Service]
ExecStart=/usr/bin/perl -e 'open(S, "+<&=", 3) or die $$!; while (accept(C, S)) { syswrite(C, "one\n"); push @all, *C{IO}; sleep 1000 }'
`,
	"e2e-each.socket":   "[Socket]\nListenStream=7003\nAccept=yes\n",
	"e2e-each@.service": "[Service]\nExecStart=-/bin/cat\nStandardInput=socket\nKillMode=process\n",
	"e2e-slow.service": `[Service]
ExecStart=/usr/bin/perl -e '$$SIG{TERM} = "IGNORE"; sleep 1000 while 1'
ExecStop=/bin/sleep 1000
TimeoutStopSec=infinity
`,
	"e2e-bad.service": "[Service]\nExecStart=/bin/false\n",
}

// furtherDoors puts the units in place until the test ends.
func furtherDoors(t *testing.T) {
	t.Helper()
	t.Cleanup(func() { must(t, "systemctl", "daemon-reload") })
	for unit, text := range doorUnits {
		write(t, filepath.Join("/run/systemd/system", unit), text)
	}
	must(t, "systemctl", "daemon-reload")
	t.Cleanup(func() {
		run(t, "systemctl", "stop", "e2e-door.service", "e2e-one.socket", "e2e-one.service", "e2e-each.socket", "e2e-slow.service", "e2e-bad.service")
		run(t, "systemctl", "reset-failed")
	})
}

// armWith has the key guard further units until the test ends.
func armWith(t *testing.T, units ...string) {
	t.Helper()
	nameUnits(t, units...)
	must(t, "keyswitchd", "arm", "--yes", "--even-if-locked-out")
}

func nameUnits(t *testing.T, units ...string) {
	t.Helper()
	text := baseConfig
	if len(units) > 0 {
		text = fmt.Sprintf("units = [\"%s\"]\n", strings.Join(units, `", "`)) + text
	}
	if err := os.WriteFile(configFile, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// backToSSHAlone is how the other tests expect the machine.
func backToSSHAlone(t *testing.T) {
	t.Helper()
	turn(t, false)
	if !missing("/etc/systemd/system/ssh.service.d/50-keyswitchd.conf") { // disarmed, SSH runs without the key
		await(t, "SSH closed", silent(22))
	}
	armWith(t)
	await(t, "closed", shut())
}

// doors are the conditions of the three.
func doors(open bool) condition {
	return all(listener(portService, open), listener(portSocket, open), listener(portEach, open))
}

func isActive(unit, want string) condition {
	return func() error {
		if is := unitState(unit); is != want {
			return fmt.Errorf("%s is %s, want %s", unit, is, want)
		}
		return nil
	}
}

func connect(t *testing.T, port int) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return conn, bufio.NewReader(conn)
}

// cut reports whether the far end has gone.
func cut(t *testing.T, what string, in *bufio.Reader) {
	t.Helper()
	if rest, err := in.ReadString(0); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%s lives on: %q", what, rest)
	}
}

// The key opens and closes further doors; without it nobody opens them; and with the daemon they go.
func TestFurtherDoors(t *testing.T) {
	begin(t)
	furtherDoors(t)
	t.Cleanup(func() { backToSSHAlone(t) })
	must(t, "systemctl", "start", "e2e-door.service", "e2e-each.socket") // as they are before arming
	armWith(t, "e2e-door.service", "e2e-one.socket", "e2e-each.socket")
	await(t, "closed, the further doors too", all(shut(), doors(false)))
	for _, unit := range []string{"e2e-door.service", "e2e-one.socket", "e2e-one.service", "e2e-each.socket", "e2e-each@1.service"} {
		out, code := run(t, "systemctl", "start", unit)
		if code == 0 || !strings.Contains(out, "Assertion failed") {
			t.Errorf("systemctl start %s with the key off: exit code %d: %s", unit, code, out)
		}
	}
	await(t, "closed as before", all(shut(), doors(false)))

	turn(t, true)
	await(t, "open, the further doors too", all(opened(), doors(true), statusIs("open with units", func(s status.Status) bool {
		return !s.Fault && slices.Contains(s.Units, status.Unit{Name: "e2e-door.service", Active: "active", Guarded: true}) &&
			slices.Contains(s.Units, status.Unit{Name: "e2e-one.service", Active: "inactive", Guarded: true}) && len(s.Units) == 4
	})))
	_, first := connect(t, portService)
	_, second := connect(t, portSocket)
	third, each := connect(t, portEach)
	fmt.Fprintln(third, "each")
	for _, in := range []*bufio.Reader{first, second, each} {
		if line, err := in.ReadString('\n'); err != nil {
			t.Errorf("%q, %v", line, err)
		}
	}
	await(t, "the socket's service runs", isActive("e2e-one.service", "active"))
	turn(t, false)
	await(t, "closed", all(shut(), doors(false), isActive("e2e-one.service", "inactive")))
	cut(t, "the service's connection", first)
	cut(t, "the connection through the socket", second)
	cut(t, "the connection of its own service", each)
	if out := must(t, "systemctl", "list-units", "--no-legend", "--state=active", "e2e-*"); out != "" {
		t.Errorf("left: %s", out)
	}

	turn(t, true)
	await(t, "open again", all(opened(), doors(true)))
	for _, unit := range []string{"e2e-door.service", "e2e-each.socket"} { // who stops one by hand means it
		must(t, "systemctl", "stop", unit)
		must(t, "systemctl", "start", unit)
	}
	pids := []int{daemonPID(t), mainPID(t, "e2e-door.service")}
	_, each = connect(t, portEach)
	kill(t, pids[0], syscall.SIGKILL)
	await(t, "the daemon and the door gone", all(gone(pids[0]), gone(pids[1])))
	cut(t, "a connection whose guard is dead", each)
	await(t, "open again by a new daemon", all(opened(), doors(true)))
}

// With the daemon dead for good every door is closed and can't be opened.
func TestFurtherDoorsWithoutTheDaemon(t *testing.T) {
	begin(t)
	furtherDoors(t)
	t.Cleanup(func() { backToSSHAlone(t) })
	armWith(t, "e2e-door.service", "e2e-one.socket", "e2e-each.socket")
	dropIn(t, "keyswitchd.service", "[Service]\nRestart=no\n")
	await(t, "closed", shut())
	turn(t, true)
	await(t, "open", all(opened(), doors(true)))
	kill(t, daemonPID(t), syscall.SIGKILL)
	await(t, "closed", all(silent(22), doors(false)))
	for _, unit := range []string{"e2e-door.service", "e2e-one.socket", "e2e-each.socket"} {
		run(t, "systemctl", "start", "--job-mode=ignore-dependencies", unit)
	}
	if err := doors(false)(); err != nil {
		t.Error(err)
	}
}

// One that doesn't end and one that doesn't start hold up neither SSH nor the daemon.
func TestFurtherDoorsThatMisbehave(t *testing.T) {
	begin(t)
	furtherDoors(t)
	t.Cleanup(func() { backToSSHAlone(t) })
	armWith(t, "e2e-slow.service", "e2e-bad.service")
	await(t, "closed", shut())
	daemon := daemonPID(t)
	turn(t, true)
	await(t, "open", all(opened(), isActive("e2e-slow.service", "active"), statusIs("open with a problem", func(s status.Status) bool {
		return slices.ContainsFunc(s.Problems, func(p string) bool { return strings.Contains(p, "e2e-bad.service") })
	})))
	slow := mainPID(t, "e2e-slow.service")
	turn(t, false)
	await(t, "the port closed", silent(22))
	if err := gone(slow)(); err == nil {
		t.Error("SSH was closed after the unit that takes its time")
	}
	await(t, "closed", all(shut(), gone(slow)))
	if now := daemonPID(t); now != daemon {
		t.Errorf("the daemon had to end: %d, was %d", now, daemon)
	}
}

// arm follows the list, and disarm puts everything back.
func TestFurtherDoorsCanChange(t *testing.T) {
	begin(t)
	furtherDoors(t)
	before, err := lookAround()
	if err != nil {
		t.Fatal(err)
	}
	same := func(what string, ignore ...string) {
		t.Helper()
		after, err := lookAround()
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range append(ignore, configFile) {
			delete(after, name)
			after[name] = before[name]
		}
		if diff := before.diff(after); diff != "" {
			t.Errorf("%s:\n%s", what, diff)
		}
	}
	t.Cleanup(func() { backToSSHAlone(t) })
	must(t, "systemctl", "start", "e2e-door.service", "e2e-each.socket")
	armWith(t, "e2e-door.service", "e2e-each.socket")
	await(t, "closed", all(shut(), doors(false)))

	must(t, "systemctl", "start", "e2e-one.socket")
	for units, why := range map[string]string{
		"nowhere.service":    "no such unit",
		"e2e-one.service":    "e2e-one.socket starts it",
		"sshd.service":       "SSH itself",
		"dbus.socket":        "dbus.socket",
		"getty@tty1.service": "console",
	} {
		nameUnits(t, "e2e-door.service", units)
		if out, code := run(t, "keyswitchd", "arm", "--yes", "--even-if-locked-out"); code == 0 || !strings.Contains(out, why) {
			t.Errorf("arming with %s: exit code %d: %s", units, code, out)
		}
	}
	must(t, "systemctl", "stop", "e2e-one.socket")
	if err := os.WriteFile("/etc/systemd/user/e2e-user.service", []byte("[Service]\nExecStart=/bin/true\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	nameUnits(t, "e2e-user.service")
	out, code := run(t, "keyswitchd", "arm", "--yes", "--even-if-locked-out")
	os.Remove("/etc/systemd/user/e2e-user.service")
	if code == 0 || !strings.Contains(out, "user managers") {
		t.Errorf("arming with a unit of the user managers: exit code %d: %s", code, out)
	}
	await(t, "closed as before", all(shut(), doors(false)))

	armWith(t, "e2e-one.socket", "e2e-door.service") // one is gone, one is new
	await(t, "what is gone runs as before, the others don't", all(shut(), silent(portService), silent(portSocket), listens(portEach)))
	turn(t, true)
	await(t, "open", all(opened(), listens(portService), listens(portSocket)))
	turn(t, false)
	await(t, "closed", all(shut(), silent(portService), silent(portSocket), listens(portEach)))
	armWith(t)
	await(t, "SSH alone", all(shut(), listens(portService), silent(portSocket), listens(portEach)))
	same("with no further units", "/var/lib/keyswitchd/armed.json")

	armWith(t, "e2e-door.service", "e2e-one.socket", "e2e-each.socket")
	await(t, "closed", all(shut(), doors(false)))
	must(t, "keyswitchd", "disarm")
	await(t, "as before", all(listens(portService), silent(portSocket), listens(portEach)))
	for _, left := range []string{"/etc/systemd/system/e2e-*", "/etc/polkit-1/rules.d/*keyswitchd*", "/etc/systemd/system/ssh*.d/50-keyswitchd.conf"} {
		if found, err := filepath.Glob(left); len(found) > 0 || err != nil {
			t.Errorf("left: %q, %v", found, err)
		}
	}
}

// An enabled socket must not make a circle of the boot: systemd would leave something out to break it.
func TestNoCircleAtBoot(t *testing.T) {
	begin(t)
	furtherDoors(t)
	t.Cleanup(func() {
		run(t, "systemctl", "disable", "--runtime", "e2e-one.socket", "ssh.socket")
		backToSSHAlone(t)
	})
	must(t, "systemctl", "enable", "--runtime", "e2e-one.socket", "ssh.socket")
	armWith(t, "e2e-one.socket")
	if out, _ := run(t, "systemd-analyze", "verify", "--man=no", "default.target"); strings.Contains(out, "cycle") {
		t.Error(out)
	}
}

// unitState is systemctl's one word.
func unitState(unit string) string {
	out, err := inspect("is-active", unit)
	if err != nil && out == "" {
		return err.Error()
	}
	return out
}

func inspect(verb, unit string) (string, error) {
	out, err := exec.Command("systemctl", verb, unit).Output() // the exit code says the same as the word
	return strings.TrimSpace(string(out)), err
}
