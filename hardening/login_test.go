package hardening

import (
	"bufio"
	"context"
	"net"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"testing"
)

// freePort is a loopback port that was free a moment ago; sshd can't be asked to pick one.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// startSSHD runs the real sshd in the foreground until the test ends, and returns when it listens.
func startSSHD(t *testing.T, config string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, DefaultSSHD, "-D", "-e", "-f", config)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		cmd.Wait() // killed: that is its error
	})
	var said strings.Builder
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		said.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), "Server listening on") {
			go func() { // ends with the pipe, which ends with sshd
				for lines.Scan() {
				}
			}()
			return
		}
	}
	t.Fatalf("sshd doesn't listen:\n%s", said.String())
}

// A real client logs in to a real sshd under each profile; without the key it doesn't, and a password isn't
// even offered.
func TestLogin(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	for _, profile := range []Profile{Standard, Strict} {
		t.Run(string(profile), func(t *testing.T) {
			m := newMachine(t)
			port := freePort(t)
			o := Options{Policy: DefaultPolicy(), Standalone: true, ConfigFile: m.path("etc/alone"), ResultFile: m.path("run/result.json")}
			o.Policy.Port = port
			o.Policy.Listen = []string{"127.0.0.1"}
			o.Policy.AllowUsers = []string{me.Username}
			o.Policy.RootLogin = RootKeysOnly
			o.Policy.Profile = profile
			o.Extra = []string{
				"HostKey " + m.path("etc/ssh_host_ed25519_key"),
				"AuthorizedKeysFile " + m.path("etc/authorized_keys"),
				"PidFile none",
				"UsePAM no",
			}
			r, err := Harden(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := Harden(t.Context(), o); err != nil || !again.At.Equal(r.At) {
				t.Errorf("again: %+v, %v", again, err)
			}
			writeHostKey(t, m.path("etc/id"))
			m.write("etc/authorized_keys", m.read("etc/id.pub"))
			startSSHD(t, o.ConfigFile)
			ssh := func(options ...string) (string, error) {
				args := append([]string{"-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes",
					"-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-p", strconv.Itoa(port)}, options...)
				out, err := exec.CommandContext(t.Context(), DefaultSSH, append(args, me.Username+"@127.0.0.1", "echo", "in$((40+2))")...).CombinedOutput()
				return string(out), err
			}
			if out, err := ssh("-i", m.path("etc/id")); err != nil || !strings.Contains(out, "in42") {
				t.Errorf("with the key: %v\n%s", err, out)
			}
			if out, err := ssh("-o", "PubkeyAuthentication=no"); err == nil || !strings.Contains(out, "Permission denied (publickey).") {
				t.Errorf("without: %v\n%s", err, out)
			}
			if out, err := ssh("-i", m.path("etc/id"), "-o", "KexAlgorithms=ecdh-sha2-nistp256"); err == nil || !strings.Contains(out, "no matching key exchange method") {
				t.Errorf("weak key exchange: %v\n%s", err, out)
			}
			if out, err := ssh("-i", m.path("etc/id"), "-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:9"); err == nil {
				t.Errorf("forwarding: %s", out)
			}
		})
	}
}

func TestStandaloneExtra(t *testing.T) {
	m := newMachine(t)
	m.o.Standalone = true
	m.o.ConfigFile = m.path("etc/alone")
	for _, line := range []string{
		"PasswordAuthentication yes", "port 1", "Match all", "Include /x", "HostKey a\nPort 2", "PidFile", "# x",
		"ChallengeResponseAuthentication yes", "\"Port\" 2", "=Port 2", "HostKey \"x",
	} {
		m.o.Extra = []string{line}
		m.mustRefuse("extra line")
		if _, err := os.Stat(m.o.ConfigFile); err == nil {
			t.Fatalf("%q: written", line)
		}
	}
	m.o.Standalone = false
	m.mustRefuse("stand-alone")
}
