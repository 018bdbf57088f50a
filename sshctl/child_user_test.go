package sshctl

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// nobody is Debian's user for this (base-passwd), and what root runs the tests as a second time.
const nobody = 65534

// Nothing here may need root. nobody has no shell, so the tests that log in are left out.
func TestChildAsNobody(t *testing.T) {
	if os.Geteuid() != 0 {
		return // everything has just been tested as a normal user
	}
	dir, err := os.MkdirTemp("/tmp", "sshctl-nobody-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(dir, "test")
	if err := os.WriteFile(copied, self, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), copied, "-test.v",
		"-test.run=^TestChild(ListensWhenStartReturns|DiesByItself|PortInUse|Refusals|TurnsAtRandom|EndsWithItsRun)$")
	cmd.Dir = dir
	cmd.Env = []string{"TMPDIR=" + dir, "HOME=" + dir, "PATH=/usr/bin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Count(string(out), "--- PASS") < 6 {
		t.Fatalf("%v\n%s", err, out)
	}
}

// supervised makes this test program a supervisor that is killed by the test below.
const supervised = "SSHCTL_TEST_SUPERVISOR"

func TestChildSupervisor(t *testing.T) {
	if os.Getenv(supervised) == "" {
		return
	}
	l := newLab(t)
	l.run()
	l.start()
	os.Stdout.WriteString("up " + l.child.state().Active + " " + l.dir + "\n")
	io.Copy(io.Discard, os.Stdin) // for ever
}

// kill -9 of the supervisor closes SSH: sshd gets its parent's death signal.
func TestChildDiesWithItsSupervisor(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestChildSupervisor$")
	cmd.Env = append(os.Environ(), supervised+"=1")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	f := strings.Fields(line)
	if len(f) != 3 || f[1] != "active" {
		cmd.Process.Kill()
		t.Fatalf("supervisor says %q, %v", line, err)
	}
	defer os.RemoveAll(filepath.Dir(f[2]))
	listener := 0
	for _, s := range processes() {
		if s.parent == cmd.Process.Pid {
			listener = s.pid
		}
	}
	if listener == 0 {
		t.Fatal("the supervisor has no sshd")
	}
	cmd.Process.Kill()
	cmd.Wait()
	awaitExit(listener)
	_, _ = syscall.Wait4(listener, nil, 0, nil) // ours to reap if another test has made us a subreaper
}
