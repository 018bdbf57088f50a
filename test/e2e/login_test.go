//go:build e2e

package e2e

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// freshKey makes a key pair that admits to pi's account until the test ends.
func freshKey(t *testing.T, passphrase string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "id")
	must(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", path)
	public, err := os.ReadFile(path + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	const home = "/home/pi/.ssh"
	must(t, "install", "-d", "-m", "0700", "-o", "pi", "-g", "pi", home)
	write(t, home+"/authorized_keys", string(public))
	must(t, "chown", "pi:pi", home+"/authorized_keys")
	return path
}

// sshArgs is the command line of a login with one key and nothing from anybody's files.
func sshArgs(key string, command ...string) []string {
	return append([]string{"ssh", "-F", "none", "-i", key, "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no",
		"-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "pi@127.0.0.1"}, command...)
}

// session is somebody who is logged in.
type session struct {
	cmd   *exec.Cmd
	out   *bufio.Reader
	in    io.WriteCloser
	ended chan struct{} // closed when ssh has ended
}

// logIn logs in and stays: what is said comes back, line by line.
func logIn(t *testing.T, key string) *session {
	t.Helper()
	args := sshArgs(key, "cat")
	s := &session{cmd: exec.Command(args[0], args[1:]...), ended: make(chan struct{})}
	s.cmd.Stderr = os.Stderr
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	s.out = bufio.NewReader(out)
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		s.cmd.Process.Wait() // not Wait, which would close the pipes under a reader
		close(s.ended)
	}()
	t.Cleanup(func() {
		s.in.Close()
		s.cmd.Process.Kill() // may have ended long ago
		<-s.ended
	})
	if err := s.echo("first"); err != nil {
		t.Fatalf("logging in: %v", err)
	}
	return s
}

// echo says something to the far end and hears it back, if the session lives.
func (s *session) echo(word string) error {
	if _, err := fmt.Fprintln(s.in, word); err != nil {
		return err
	}
	back, err := s.out.ReadString('\n')
	if err == nil && strings.TrimSpace(back) != word {
		err = fmt.Errorf("said %q, heard %q", word, back)
	}
	return err
}

func (s *session) over() error {
	select {
	case <-s.ended:
		return nil
	default:
		return fmt.Errorf("the session lives")
	}
}
