//go:build virtualpi

package vm

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func boot(t *testing.T, cfg Config) *Machine {
	t.Helper()
	cfg.Log = t.Output()
	m, err := Boot(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// must runs a program that has to succeed, and returns its output.
func must(t *testing.T, m *Machine, args ...string) string {
	t.Helper()
	r, err := m.Run(t.Context(), args...)
	if err != nil || r.Code != 0 {
		t.Fatalf("%q: %v, %+v", args, err, r)
	}
	return r.Stdout
}

func TestRunning(t *testing.T) {
	m := boot(t, Config{})
	t.Run("bad: no such program", func(t *testing.T) {
		if r, err := m.Run(t.Context(), "/nonexistent"); err == nil {
			t.Errorf("%+v", r)
		}
	})
	t.Run("bad: no such user", func(t *testing.T) {
		c := m.Command("/bin/true")
		c.User = "nobody-knows"
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Wait(t.Context()); err == nil {
			t.Error("no error")
		}
	})
	t.Run("exit codes", func(t *testing.T) {
		for script, want := range map[string]int{"exit 7": 7, "kill -9 $$": 137, "true": 0} {
			if r, err := m.Run(t.Context(), "/bin/sh", "-c", script); err != nil || r.Code != want {
				t.Errorf("%s: %v, %+v", script, err, r)
			}
		}
	})
	t.Run("both outputs, input, user, directory", func(t *testing.T) {
		var stdout, stderr bytes.Buffer
		c := m.Command("/bin/sh", "-c", "id -un; pwd; cat; echo problem >&2")
		c.User, c.Dir, c.Stdin, c.Stdout, c.Stderr = "pi", "/home/pi", strings.NewReader("input\n"), &stdout, &stderr
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		code, err := c.Wait(t.Context())
		if err != nil || code != 0 || stdout.String() != "pi\n/home/pi\ninput\n" || stderr.String() != "problem\n" {
			t.Errorf("%d, %v, %q, %q", code, err, &stdout, &stderr)
		}
	})
	t.Run("many at once, megabytes", func(t *testing.T) {
		var all sync.WaitGroup
		for i := range 6 {
			all.Go(func() {
				var stdout bytes.Buffer
				c := m.Command("/bin/cat")
				in := bytes.Repeat([]byte{byte('a' + i), 0, '\n', 0x03, 0x11, 0x13}, 100_000)
				c.Stdin, c.Stdout = bytes.NewReader(in), &stdout
				if err := c.Start(); err != nil {
					t.Error(err)
					return
				}
				if _, err := c.Wait(t.Context()); err != nil || !bytes.Equal(stdout.Bytes(), in) {
					t.Errorf("%d bytes of %d came back, %v", stdout.Len(), len(in), err)
				}
			})
		}
		all.Wait()
	})
	t.Run("the end of the context kills", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		out, in, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		defer in.Close()
		c := m.Command("/bin/sh", "-c", "echo begun; exec sleep 1000")
		c.Stdout = in
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		cancel()
		if _, err := c.Wait(ctx); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if r, err := m.Run(t.Context(), "pgrep", "sleep"); err != nil || r.Code != 1 {
			t.Errorf("it lives: %v, %+v", err, r)
		}
	})
	t.Run("the key and the LED", func(t *testing.T) {
		for position, want := range map[bool]string{true: "pull-down\n", false: "pull-up\n"} {
			if err := m.SetKey(t.Context(), position); err != nil {
				t.Fatal(err)
			}
			if b, err := m.ReadFile(t.Context(), keyLine); err != nil || string(b) != want {
				t.Errorf("%q, %v", b, err)
			}
		}
		if lit, err := m.LED(t.Context()); err != nil || lit {
			t.Errorf("LED: %t, %v", lit, err)
		}
	})
	t.Run("bad: files", func(t *testing.T) {
		if _, err := m.ReadFile(t.Context(), "/nonexistent"); err == nil {
			t.Error("read")
		}
		if err := m.WriteFile(t.Context(), "/nonexistent/file", nil, 0o644); err == nil {
			t.Error("written")
		}
	})
}

func TestPower(t *testing.T) {
	tree := t.TempDir()
	file := filepath.Join(tree, "etc", "installed")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("new\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	m := boot(t, Config{Install: []string{tree}})
	if got := must(t, m, "stat", "-c", "%u:%g %a", "/etc/installed"); got != "0:0 640\n" {
		t.Errorf("installed as %q", got)
	}
	must(t, m, "/bin/sh", "-c", "echo mine > /etc/installed; sync; echo lost > /root/unsynced")

	waiting := m.Command("/bin/sleep", "1000")
	if err := waiting.Start(); err != nil {
		t.Fatal(err)
	}
	m.Kill()
	if _, err := waiting.Wait(t.Context()); !errors.Is(err, ErrGone) {
		t.Errorf("what ran during the power cut: %v", err)
	}
	if _, err := m.Run(t.Context(), "/bin/true"); !errors.Is(err, ErrGone) {
		t.Errorf("run while off: %v", err)
	}
	m.SetBootKey(KeyOn)
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := must(t, m, "cat", "/etc/installed"); got != "mine\n" {
		t.Errorf("after a power cut: %q", got)
	}
	if r, err := m.Run(t.Context(), "cat", "/root/unsynced"); err != nil || strings.Contains(r.Stdout, "lost") {
		t.Errorf("what was never written to the disk survived the power cut: %v, %+v", err, r)
	}
	if b, err := m.ReadFile(t.Context(), keyLine); err != nil || string(b) != "pull-down\n" {
		t.Errorf("booted with the key on: %q, %v", b, err)
	}

	before := must(t, m, "cat", "/proc/sys/kernel/random/boot_id")
	if err := m.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := must(t, m, "cat", "/proc/sys/kernel/random/boot_id"); after == before {
		t.Error("it did not reboot")
	}
	must(t, m, "touch", "/root/kept")
	if err := m.PowerOff(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	must(t, m, "ls", "/root/kept")
}

func TestMachinesDontShareTheirDisks(t *testing.T) {
	a, b := boot(t, Config{}), boot(t, Config{})
	must(t, a, "/bin/sh", "-c", "echo a > /etc/which; rm /usr/bin/gpioinfo; sync")
	if r, err := b.Run(t.Context(), "cat", "/etc/which", "/usr/bin/gpioinfo"); err != nil || strings.HasPrefix(r.Stdout, "a\n") || strings.Contains(r.Stderr, "gpioinfo") {
		t.Errorf("the other machine sees it: %v, %s", err, r.Stderr)
	}
}

func TestABootThatFailsIsExplained(t *testing.T) {
	tests := []struct{ name, init, want string }{
		{"bad: nothing to start", "/nonexistent", "starting /sbin/init: no such file"},
		{"bad: process 1 ends", "/bin/false", "Kernel panic"},
		{"bad: hangs", "/bin/cat", "did not finish booting within 20s"}, // reads the console, which never says anything
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tree := t.TempDir()
			if err := os.MkdirAll(filepath.Join(tree, "usr", "sbin"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(tt.init, filepath.Join(tree, "usr", "sbin", "init")); err != nil {
				t.Fatal(err)
			}
			m, err := Boot(t.Context(), Config{Install: []string{tree}, BootTimeout: 20 * time.Second, Log: t.Output()})
			if err == nil {
				m.Close()
				t.Fatal("it booted")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q in it", err, tt.want)
			}
		})
	}
}

// helperVariable makes the test binary a process that boots a machine and waits to be killed.
const helperVariable = "VIRTUALPI_TEST_HELPER"

func TestMain(t *testing.M) {
	if os.Getenv(helperVariable) == "" {
		os.Exit(t.Run())
	}
	m, err := Boot(context.Background(), Config{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(m.process.started.Pid)
	select {}
}

func TestKillingTheProcessLeavesNothing(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	helper := exec.Command(self)
	helper.Env = append(os.Environ(), helperVariable+"=1")
	helper.Stderr = t.Output()
	out, err := helper.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := helper.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	kernel, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	all := append(descendants(t, kernel), kernel)
	if len(all) < 10 {
		t.Errorf("the machine has only %d processes here; does the search for them work?", len(all))
	}
	var ends []*os.File
	for _, pid := range all {
		fd, err := unix.PidfdOpen(pid, 0)
		if err == nil { // else it has ended
			ends = append(ends, os.NewFile(uintptr(fd), fmt.Sprint("process ", pid)))
		}
	}
	if err := helper.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	helper.Wait()
	for _, end := range ends {
		awaitEnd(t, end)
	}
	for _, dir := range []string{"/dev/shm", os.TempDir()} {
		left, err := filepath.Glob(filepath.Join(dir, "virtualpi-overlay-*"))
		if err != nil || len(left) != 0 {
			t.Errorf("left: %q, %v", left, err)
		}
	}
}

// descendants returns the processes that began below pid.
func descendants(t *testing.T, pid int) []int {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	family := []int{pid}
	for grown := true; grown; {
		grown = false
		for _, path := range stats {
			b, err := os.ReadFile(path)
			if err != nil {
				continue // it has ended
			}
			id, err := strconv.Atoi(strings.Split(path, "/")[2])
			if err != nil {
				t.Fatal(err)
			}
			after := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
			parent, err := strconv.Atoi(after[1])
			if err != nil {
				t.Fatal(err)
			}
			if slices.Contains(family, parent) && !slices.Contains(family, id) {
				family, grown = append(family, id), true
			}
		}
	}
	return family[1:]
}
