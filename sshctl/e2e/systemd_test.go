//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"keyswitchd/sshctl"
)

// These tests put sshctl alone in front of a real systemd, as root and with Debian's own units: no daemon, nothing armed.

// run runs a program of the guest to its end.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func systemctl(t *testing.T, args ...string) string {
	t.Helper()
	return run(t, "/usr/bin/systemctl", args...)
}

// follower runs a Door and waits for what it reports.
type follower struct {
	t    *testing.T
	door *sshctl.Systemd
	mu   sync.Mutex
	bell chan struct{}
	all  []sshctl.State
}

func follow(t *testing.T) *follower {
	f := &follower{t: t, door: sshctl.NewSystemd(sshctl.SystemdConfig{}), bell: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- f.door.Run(ctx, func(s sshctl.State) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.all = append(f.all, s)
			close(f.bell)
			f.bell = make(chan struct{})
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		if t.Failed() {
			for _, s := range f.all {
				t.Logf("reported %+v", s)
			}
		}
	})
	f.until(func(s sshctl.State) bool { return s.Err == nil })
	return f
}

func (f *follower) until(ok func(sshctl.State) bool) sshctl.State {
	f.t.Helper()
	for {
		f.mu.Lock()
		n, bell := len(f.all), f.bell
		var last sshctl.State
		if n > 0 {
			last = f.all[n-1]
		}
		f.mu.Unlock()
		if n > 0 && ok(last) {
			return last
		}
		select {
		case <-bell:
		case <-f.t.Context().Done():
			f.t.Fatalf("last report %+v", last)
		}
	}
}

// told reports whether any report since the first n satisfies ok, and how many there are.
func (f *follower) told(n int, ok func(sshctl.State) bool) (bool, int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.all[n:] {
		if ok(s) {
			return true, len(f.all)
		}
	}
	return false, len(f.all)
}

func closed(s sshctl.State) bool { return s.Closed && s.Active == "inactive" }
func open(s sshctl.State) bool   { return s.Open && s.Active == "active" }

// listening looks for port 22 without connecting to it.
func listening(t *testing.T) bool {
	for _, name := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); len(f) > 3 && strings.HasSuffix(f[1], ":0016") && f[3] == "0A" {
				return true
			}
		}
	}
	return false
}

func (f *follower) stop() {
	f.t.Helper()
	if err := f.door.Stop(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
	if listening(f.t) {
		f.t.Fatal("Stop returned and port 22 is open")
	}
	f.until(closed)
}

func (f *follower) start() {
	f.t.Helper()
	if err := f.door.Start(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
	if !listening(f.t) {
		f.t.Fatal("Start returned and port 22 is closed")
	}
	f.until(open)
}

func TestTurns(t *testing.T) {
	f := follow(t)
	for range 3 {
		f.stop()
		f.start()
	}
	systemctl(t, "stop", "ssh.service") // by hand: seen too
	f.until(closed)
	systemctl(t, "start", "ssh.service")
	f.until(open)
}

func TestManyTurnsAtOnce(t *testing.T) {
	f := follow(t)
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() { _ = f.door.Start(t.Context()) }) // a Stop cancels most of them
		if err := f.door.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	f.stop()
	f.start()
}

func TestInterlocked(t *testing.T) {
	f := follow(t)
	f.until(func(s sshctl.State) bool { return !s.Interlocked })
	f.stop() // no keyswitchd runs here for it to be bound to
	defer f.start()
	for unit, section := range map[string]string{sshctl.Service: "Service", sshctl.Socket: "Socket"} {
		dir := "/run/systemd/system/" + unit + ".d"
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		if err := os.WriteFile(dir+sshctl.DropIn, []byte("[Unit]\nAssertPathExists=/run/keyswitchd/permit\nBindsTo=keyswitchd.service\n"+
			"["+section+"]\nExecStartPre=/usr/sbin/keyswitchd harden --quiet\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	systemctl(t, "daemon-reload")
	f.until(func(s sshctl.State) bool { return s.Interlocked })
	d, err := sshctl.Look(t.Context())
	if err != nil || !d.Service.Interlocked || d.Service.ActiveState != "inactive" || d.Daemon.LoadState == "" {
		t.Errorf("Look: %+v, %v", d, err)
	}
	for _, unit := range []string{sshctl.Service, sshctl.Socket} {
		os.RemoveAll("/run/systemd/system/" + unit + ".d")
	}
	systemctl(t, "daemon-reload")
	f.until(func(s sshctl.State) bool { return !s.Interlocked })
}

func TestSocket(t *testing.T) {
	f := follow(t)
	f.stop()
	systemctl(t, "enable", "--runtime", "ssh.socket")
	defer func() {
		systemctl(t, "disable", "--runtime", "ssh.socket")
		f.until(func(s sshctl.State) bool { return s.Unit == sshctl.Service })
		f.start()
	}()
	f.until(func(s sshctl.State) bool { return s.Unit == sshctl.Socket })
	for range 2 {
		f.start()
		run(t, "/usr/bin/ssh-keyscan", "-T", "60", "-t", "ed25519", "127.0.0.1") // starts ssh.service
		if s := strings.TrimSpace(systemctl(t, "is-active", "ssh.service")); s != "active" {
			t.Fatalf("ssh.service is %s", s)
		}
		f.stop()
	}
}

func TestMasked(t *testing.T) {
	f := follow(t)
	f.stop()
	systemctl(t, "mask", "--runtime", "ssh.service")
	err := f.door.Start(t.Context())
	systemctl(t, "unmask", "--runtime", "ssh.service")
	if err == nil || !strings.Contains(err.Error(), "systemctl unmask ssh.service") {
		t.Errorf("got %v", err)
	}
	f.start()
}

func TestReexec(t *testing.T) {
	f := follow(t)
	for range 3 {
		cmd := exec.CommandContext(t.Context(), "/usr/bin/systemctl", "daemon-reexec")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		f.stop()
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		systemctl(t, "start", "ssh.service") // seen: subscribed again
		f.until(open)
	}
}

func TestBusRestarts(t *testing.T) {
	f := follow(t)
	_, n := f.told(0, open)
	systemctl(t, "restart", "dbus.service")
	f.until(open)
	if gone, _ := f.told(n, func(s sshctl.State) bool { return s.Active == "unknown" && !s.Closed && s.Err != nil }); !gone {
		t.Error("nobody noticed that the bus was away")
	}
	f.stop()
	f.start()
	systemctl(t, "restart", "systemd-logind.service")
}

// A user with no rule for it in polkit is told which file that rule is in.
func TestRefused(t *testing.T) {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("/home/pi", "e2e")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(filepath.Join(dir, "test"), self, 0o755)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "test"), "-test.run=^TestAsUser$", "-test.v")
	cmd.Dir = "/"
	cmd.Env = []string{"SSHCTL_AS_USER=1"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1000, Gid: 1000}}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS") {
		t.Fatalf("%v: %s", err, out)
	}
}

func TestAsUser(t *testing.T) {
	if os.Getenv("SSHCTL_AS_USER") == "" {
		return // run by the test above
	}
	f := follow(t)
	for name, err := range map[string]error{"Start": f.door.Start(t.Context()), "Stop": f.door.Stop(t.Context())} {
		if err == nil || !strings.Contains(err.Error(), sshctl.PolkitRule) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSessions(t *testing.T) {
	f := follow(t)
	dir := t.TempDir()
	run(t, "/usr/bin/ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", dir+"/id")
	pub, err := os.ReadFile(dir + "/id.pub")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("/home/pi/.ssh", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("/home/pi/.ssh/authorized_keys", pub, 0o644); err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll("/home/pi/.ssh")
	run(t, "/usr/bin/chown", "-R", "pi:pi", "/home/pi/.ssh")

	client := exec.CommandContext(t.Context(), "/usr/bin/ssh", "-F", "none", "-i", dir+"/id", "-o", "IdentitiesOnly=yes",
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "pi@127.0.0.1", "echo in; exec cat")
	stdin, err := client.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	out, err := client.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	client.Stderr = os.Stderr
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	defer client.Process.Kill()
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "in\n" {
		t.Fatalf("%q, %v", line, err)
	}
	f.until(func(s sshctl.State) bool { return s.Sessions == 1 })
	systemctl(t, "restart", "dbus.service") // logind doesn't come back by itself; the session must be found all the same
	n, err := sshctl.TerminateRemoteSessions(t.Context())
	if len(n) != 1 || err != nil {
		t.Errorf("ended %v, %v", n, err)
	}
	f.until(func(s sshctl.State) bool { return s.Err == nil && s.Sessions == 0 })
	if err := client.Wait(); err == nil {
		t.Error("the session ended well")
	}
}
