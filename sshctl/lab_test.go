package sshctl

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const sshd = "/usr/sbin/sshd"

// lab is a Child with a real sshd on loopback, and what is needed to log in to it.
type lab struct {
	t     *testing.T
	dir   string
	port  int
	child *Child
	watch *watched
	log   *safeBuffer
}

type safeBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

func freePort(t *testing.T) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func newLab(t *testing.T) *lab {
	l := &lab{t: t, dir: t.TempDir(), port: freePort(t), log: new(safeBuffer)}
	for _, key := range []string{"host", "user"} {
		out, err := exec.Command("/usr/bin/ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(l.dir, key)).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	l.write("sshd_config", fmt.Sprintf(`ListenAddress 127.0.0.1
Port %d
HostKey %s/host
AuthorizedKeysFile %s/user.pub
StrictModes no
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
`, l.port, l.dir, l.dir))
	l.child = NewChild(ChildConfig{SSHD: sshd, ConfigFile: filepath.Join(l.dir, "sshd_config"), Log: l.log, Prepare: runDir})
	return l
}

// runDir makes what root's sshd wants and a container has not; systemd makes it with RuntimeDirectory=.
func runDir(context.Context) error {
	if os.Geteuid() != 0 {
		return nil
	}
	return os.MkdirAll("/run/sshd", 0o755)
}

func (l *lab) write(name, text string) {
	if err := os.WriteFile(filepath.Join(l.dir, name), []byte(text), 0o644); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) run() {
	l.watch = watch(l.t, l.child)
	l.watch.until(is("inactive"))
}

func (l *lab) start() {
	l.t.Helper()
	if err := l.child.Start(l.t.Context()); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) stop() {
	l.t.Helper()
	if err := l.child.Stop(l.t.Context()); err != nil {
		l.t.Fatal(err)
	}
}

// ssh makes a client that runs command on the other side.
func (l *lab) ssh(command string) *exec.Cmd {
	u, err := user.Current()
	if err != nil {
		l.t.Fatal(err)
	}
	return exec.CommandContext(l.t.Context(), "/usr/bin/ssh", "-F", "none", "-i", filepath.Join(l.dir, "user"), "-p", strconv.Itoa(l.port),
		"-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
		u.Username+"@127.0.0.1", command)
}

func (l *lab) dial() (net.Conn, error) {
	return net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(l.port)))
}

// half opens a connection that is not logged in, and reads the server's greeting.
func (l *lab) half() (net.Conn, *bufio.Reader) {
	l.t.Helper()
	c, err := l.dial()
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { c.Close() })
	in := bufio.NewReader(c)
	if line, err := in.ReadString('\n'); err != nil || !strings.HasPrefix(line, "SSH-2.0-") {
		l.t.Fatalf("greeting %q, %v", line, err)
	}
	if _, err := io.WriteString(c, "SSH-2.0-test\r\n"); err != nil {
		l.t.Fatal(err)
	}
	return c, in
}

// session opens a logged-in session that lasts until it's ended, and waits until it is there.
func (l *lab) session() *exec.Cmd {
	l.t.Helper()
	cmd := l.ssh("echo in; exec cat")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	var complaint safeBuffer
	cmd.Stderr = &complaint
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { stdin.Close(); cmd.Process.Kill(); cmd.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "in\n" {
		l.t.Fatalf("session says %q, %v, %s; sshd: %s", line, err, complaint.String(), l.log.String())
	}
	return cmd
}
