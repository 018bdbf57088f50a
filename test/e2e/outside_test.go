//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"keyswitchd/internal/status"
)

// logInOnTerminal is logIn with a terminal at the far end, on which command runs.
func logInOnTerminal(t *testing.T, key, command string) *session {
	t.Helper()
	args := sshArgs(key, command)
	args = append([]string{args[0], "-tt"}, args[1:]...)
	return begun(t, exec.Command(args[0], args[1:]...))
}

// begun starts a program that stays, and waits for its first line.
func begun(t *testing.T, cmd *exec.Cmd) *session {
	t.Helper()
	s := &session{cmd: cmd, ended: make(chan struct{})}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if s.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	s.out = bufio.NewReader(out)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		cmd.Process.Wait() // not Wait, which would close the pipes under a reader
		close(s.ended)
	}()
	t.Cleanup(func() {
		s.in.Close()
		cmd.Process.Kill()
		<-s.ended
	})
	if line, err := s.out.ReadString('\n'); err != nil {
		t.Fatalf("%q, %v", line, err)
	}
	return s
}

// local is somebody at the screen and keyboard, as far as logind is concerned: a login session that sshd has nothing to do with.
func local(t *testing.T) *session {
	t.Helper()
	return begun(t, exec.Command("systemd-run", "-q", "--pipe", "--wait", "-p", "User=pi", "-p", "PAMName=login", "/bin/sh", "-c", "echo in; exec cat"))
}

// Everybody who came over SSH and has a terminal reads why and when; nobody else reads anything; a terminal that is stopped holds
// nothing up; those without a terminal are ended as well; and who is there stays.
func TestSessionsAreWarned(t *testing.T) {
	begin(t)
	key := freshKey(t, "")
	turn(t, true)
	await(t, "open", opened())
	configureAndReload(t, "grace = \"20s\"\n")
	here := local(t)
	reader := logInOnTerminal(t, key, "mesg n; stty -echo; echo in; exec cat")
	stopped := logInOnTerminal(t, key, "stty -echo ixon; echo in; exec cat")
	transfer := logIn(t, key)
	await(t, "three sessions", winking(3))
	if _, err := io.WriteString(stopped.in, "\x13"); err != nil { // Control-S
		t.Fatal(err)
	}
	turn(t, false)
	await(t, "closed", silent(22))
	var said bytes.Buffer
	for !strings.Contains(said.String(), "Save your work") {
		line, err := reader.out.ReadString('\n')
		said.WriteString(line)
		if err != nil {
			t.Fatalf("%v, after %q", err, &said)
		}
	}
	if got := said.String(); !contains(got, "SSH on this machine was closed: the key was turned off.", "This session ends in ", " seconds, at ") {
		t.Errorf("the warning: %q", got)
	}
	if strings.ContainsFunc(said.String(), func(r rune) bool { return r < ' ' && r != '\r' && r != '\n' || r > '~' }) {
		t.Errorf("the warning is not plain: %q", &said)
	}
	await(t, "all ended", all(reader.over, stopped.over, transfer.over, shut()))
	if err := here.over(); err == nil {
		t.Error("a session that has nothing to do with SSH was ended")
	} else if err := here.echo("still there"); err != nil {
		t.Errorf("a session that has nothing to do with SSH: %v", err)
	}
	journal := must(t, "journalctl", "-q", "-b", "-o", "cat", "-u", "keyswitchd-warn@closing.service", "-u", "keyswitchd-end-sessions.service")
	if !contains(journal, "of pi on /dev/pts/", "warned\n", "not warned: its output is stopped or full", "of pi: ", "ended 3 SSH sessions") {
		t.Errorf("the journal of the two units: %s", journal)
	}
}

// Only the two warnings there are can be started, and by nobody but root and keyswitchd.
func TestWarningsThatThereAreNot(t *testing.T) {
	begin(t)
	for _, word := range []string{"else", "closing\\x20expiring", ""} {
		if out, code := run(t, "keyswitchd", "warn-sessions", word); code != 64 {
			t.Errorf("warn-sessions %q: exit code %d: %s", word, code, out)
		}
	}
	if out, code := run(t, "systemctl", "start", "keyswitchd-warn@else.service"); code == 0 {
		t.Errorf("keyswitchd-warn@else.service: %s", out)
	}
	must(t, "systemctl", "start", "keyswitchd-warn@expiring.service")
	if out, code := run(t, "runuser", "-u", "pi", "--", "systemctl", "--no-ask-password", "start", "keyswitchd-warn@closing.service"); code == 0 {
		t.Errorf("pi warns: %s", out)
	}
	run(t, "systemctl", "reset-failed", "keyswitchd-warn@else.service")
}

// sshdSays adds to sshd's configuration until the test ends.
func sshdSays(t *testing.T, text string) {
	t.Helper()
	write(t, "/etc/ssh/sshd_config.d/10-e2e.conf", text)
}

// cutAtOnce: a session that logind doesn't know is ended by the end of ssh.service itself, also with sessions = "keep", because it is
// in its control group.
func cutAtOnce(t *testing.T, key string) {
	t.Helper()
	turn(t, true)
	await(t, "open", opened())
	plain, terminal := logIn(t, key), logInOnTerminal(t, key, "echo in; exec cat")
	if s, err := ask(); err != nil || s.Sessions != 0 {
		t.Errorf("logind knows of a session: %+v, %v", s, err)
	}
	turn(t, false)
	await(t, "closed", shut())
	await(t, "ended", all(plain.over, terminal.over))
}

// Without PAM there are no sessions for logind.
func TestSessionsWithoutPAM(t *testing.T) {
	begin(t)
	key := freshKey(t, "")
	// pi has no password, and without PAM sshd takes "!" for a locked account.
	hash := strings.Split(must(t, "getent", "shadow", "pi"), ":")[1]
	t.Cleanup(func() { must(t, "usermod", "-p", hash, "pi") })
	must(t, "usermod", "-p", "*", "pi")
	sshdSays(t, "UsePAM no\n")
	configureAndReload(t, "sessions = \"keep\"\n")
	cutAtOnce(t, key)
}

// logind was away when they logged in.
func TestSessionsThatLogindHasMissed(t *testing.T) {
	begin(t)
	key := freshKey(t, "")
	maskLogind(t)
	cutAtOnce(t, key)
}

func maskLogind(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		must(t, "systemctl", "unmask", "--runtime", "systemd-logind.service")
		must(t, "systemctl", "start", "systemd-logind.service")
	})
	must(t, "systemctl", "mask", "--runtime", "--now", "systemd-logind.service")
}

// logind knew them when they logged in, and is gone for good when they have to leave.
func TestSessionsWhoseLogindIsGone(t *testing.T) {
	begin(t)
	key := freshKey(t, "")
	turn(t, true)
	await(t, "open", opened())
	here := local(t)
	configureAndReload(t, "grace = \"0s\"\n")
	s := logIn(t, key)
	await(t, "one session", winking(1))
	maskLogind(t)
	turn(t, false)
	await(t, "closed", silent(22))
	await(t, "the session ended", s.over)
	if err := here.echo("still there"); err != nil {
		t.Errorf("a session that has nothing to do with SSH: %v", err)
	}
	await(t, "closed", shut())
}

// PAM's word for sshd may be another (OpenSSH 9.8 and newer): the sessions are SSH's all the same.
func TestSessionsOfAnotherPAMService(t *testing.T) {
	begin(t)
	key := freshKey(t, "")
	rules, err := os.ReadFile("/etc/pam.d/sshd")
	if err != nil {
		t.Fatal(err)
	}
	write(t, "/etc/pam.d/e2e", string(rules))
	service := "sshd"
	if out, _ := run(t, "sshd", "-T"); strings.Contains(out, "pamservicename") { // bookworm's has no such word
		service = "e2e"
		sshdSays(t, "PAMServiceName e2e\n")
	}
	turn(t, true)
	await(t, "open", opened())
	s := logIn(t, key)
	id := strings.Fields(must(t, "loginctl", "list-sessions", "--no-legend"))[0]
	if is := strings.TrimSpace(must(t, "loginctl", "show-session", "--value", "-p", "Service", id)); is != service {
		t.Errorf("logind has the service %s, want %s", is, service)
	}
	await(t, "one session", winking(1))
	turn(t, false)
	await(t, "closed", shut())
	await(t, "the session ended", s.over)
}

// A bus that is restarted takes logind off the bus, with all its sessions.
func TestSessionsAfterARestartOfTheBus(t *testing.T) {
	begin(t)
	key := freshKey(t, "")
	turn(t, true)
	await(t, "open", opened())
	configureAndReload(t, "grace = \"0s\"\n")
	s := logIn(t, key)
	await(t, "one session", winking(1))
	must(t, "systemctl", "restart", "dbus.service")
	await(t, "one session still", statusIs("open with a session", func(s status.Status) bool { return s.Open && s.Sessions == 1 }))
	turn(t, false)
	await(t, "closed", shut())
	await(t, "the session ended", s.over)
	if out, code := run(t, "loginctl", "list-sessions"); code != 0 {
		t.Errorf("logind: %s", fmt.Sprint(out))
	}
}
