//go:build sshds

package hardening

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"keyswitchd/hardening"
	"keyswitchd/test/sshds"
)

// stock is what matters of Debian's sshd_config, but for PAM, whose own configuration the trees lack.
const stock = `Include /etc/ssh/sshd_config.d/*.conf
HostKey /etc/ssh/ssh_host_ed25519_key
HostKey /etc/ssh/ssh_host_rsa_key
KbdInteractiveAuthentication no
UsePAM no
X11Forwarding yes
PrintMotd no
AcceptEnv LANG LC_*
Subsystem sftp internal-sftp
`

// serve hardens the tree that it runs in and becomes its sshd: "serve PROFILE PORT".
func serve(args []string) error {
	port, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	authorized, err := os.ReadFile("/mnt/id.pub")
	if err != nil {
		return err
	}
	const ssh = "/home/pi/.ssh"
	err = errors.Join(os.WriteFile(mainFile, []byte(stock), 0o644),
		os.Mkdir(ssh, 0o755), os.WriteFile(ssh+"/authorized_keys", authorized, 0o644))
	for _, kind := range []string{"ed25519", "rsa"} {
		name := "ssh_host_" + kind + "_key"
		key, e := os.ReadFile("/mnt/" + name)
		err = errors.Join(err, e, os.WriteFile("/etc/ssh/"+name, key, 0o600))
	}
	if err != nil {
		return err
	}
	o := hardening.Options{Policy: hardening.DefaultPolicy()}
	o.Policy.Profile = hardening.Profile(args[1])
	o.Policy.Port = port
	o.Policy.Listen = []string{"127.0.0.1"}
	if _, err := hardening.Harden(context.Background(), o); err != nil {
		return err
	}
	return syscall.Exec(hardening.DefaultSSHD, []string{hardening.DefaultSSHD, "-D", "-e"}, []string{"PATH=/usr/sbin:/usr/bin", "LC_ALL=C"})
}

// server is a hardened sshd on 127.0.0.1 of this machine, until the test ends.
type server struct {
	port string
	said *said
}

// start serves a profile from a tree. It returns when sshd listens.
func start(t *testing.T, tree *sshds.Tree, work string, profile hardening.Profile) server {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(free.Addr().String())
	if err := errors.Join(err, free.Close()); err != nil {
		t.Fatal(err)
	}
	cmd := tree.Command(t.Context(), work, "serve", string(profile), port)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := server{port, &said{done: make(chan struct{})}}
	listens := make(chan bool, 1)
	go func() {
		defer close(s.said.done)
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			s.said.text.WriteString(lines.Text() + "\n")
			if strings.HasPrefix(lines.Text(), "Server listening on 127.0.0.1 ") {
				listens <- true
			}
		}
		close(listens)
	}()
	t.Cleanup(func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		<-s.said.done
		cmd.Wait() // "signal: killed"
		if t.Failed() {
			t.Logf("sshd of %s said:\n%s", tree.Suite, s.said.text.String())
		}
	})
	if !<-listens {
		<-s.said.done
		t.Fatalf("sshd of %s does not listen:\n%s", tree.Suite, s.said.text.String())
	}
	return s
}

// said is what an sshd said, complete when done is closed.
type said struct {
	text strings.Builder
	done chan struct{}
}

// openTrees opens all releases for the time of the test.
func openTrees(t *testing.T) []*sshds.Tree {
	t.Helper()
	var list []*sshds.Tree
	for _, suite := range sshds.Suites() {
		tree, err := sshds.Open(t.Context(), suite)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { tree.Close() })
		list = append(list, tree)
	}
	return list
}

// keys makes the host keys and the user's key that all servers share.
func keys(t *testing.T, tree *sshds.Tree) (work string) {
	t.Helper()
	work = t.TempDir()
	for name, args := range map[string][]string{
		"id":                   {"-t", "ed25519"},
		"ssh_host_ed25519_key": {"-t", "ed25519"},
		"ssh_host_rsa_key":     {"-t", "rsa", "-b", "3072"},
	} {
		args = append(args, "-q", "-N", "", "-C", "", "-f", "/mnt/"+name)
		if out, err := tree.Command(t.Context(), work, "/usr/bin/ssh-keygen", args...).CombinedOutput(); err != nil {
			t.Fatalf("ssh-keygen: %v\n%s", err, out)
		}
	}
	return work
}

// know writes the server's keys to the file known beside the others.
func know(t *testing.T, work string, s server) string {
	t.Helper()
	var text strings.Builder
	for _, kind := range []string{"ed25519", "rsa"} {
		key, err := os.ReadFile(filepath.Join(work, "ssh_host_"+kind+"_key.pub"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&text, "[127.0.0.1]:%s %s", s.port, key)
	}
	name := "known-" + s.port
	if err := os.WriteFile(filepath.Join(work, name), []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return "/mnt/" + name
}
