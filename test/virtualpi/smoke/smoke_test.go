//go:build inside

package smoke

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const lines = "/sys/devices/platform/gpio-sim.0/gpiochip0"

// TestMain keeps these tests off any other machine: they would stop its ssh.
func TestMain(m *testing.M) {
	if os.Getenv("VIRTUALPI") != "1" {
		fmt.Fprintln(os.Stderr, "smoke: these tests run inside a virtual Pi only; see the package comment")
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// sh runs a program and returns its output, both streams.
func sh(t *testing.T, args ...string) (string, error) {
	t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	return string(out), err
}

func TestSystemdIsUp(t *testing.T) {
	if out, err := sh(t, "systemctl", "is-system-running"); err != nil {
		failed, _ := sh(t, "systemctl", "--failed")
		t.Errorf("%v: %s%s", err, out, failed)
	}
	for _, unit := range []string{"dbus.socket", "systemd-logind.service"} {
		if out, err := sh(t, "systemctl", "is-active", unit); err != nil {
			t.Errorf("%s: %s", unit, out)
		}
	}
}

// polkit must be started by the bus when it is first asked, and must refuse a normal user.
func TestPolkitDecides(t *testing.T) {
	if out, err := sh(t, "systemctl", "start", "polkit.service"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, err := sh(t, "setpriv", "--reuid=pi", "--regid=pi", "--clear-groups", "busctl", "call", "org.freedesktop.systemd1",
		"/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", "StartUnit", "ss", "ssh.service", "replace")
	if err == nil || !strings.Contains(out, "nteractive authentication required") && !strings.Contains(out, "denied") {
		t.Errorf("a normal user starts a unit: %v: %s", err, out)
	}
}

func TestEdgesArrive(t *testing.T) {
	pull := filepath.Join(lines, "sim_gpio22", "pull")
	mon := exec.Command("gpiomon", "--num-events=2", "--edges=both", "GPIO22")
	if out, err := sh(t, "gpiomon", "--version"); err != nil || strings.Contains(out, " v1.") {
		mon = exec.Command("gpiomon", "--num-events=2", "gpiochip0", "22") // bookworm's gpiod 1
	}
	out, err := mon.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := mon.Start(); err != nil {
		t.Fatal(err)
	}
	// A toggle before the request is lost, so go on until both edges have been seen.
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			level := "pull-up"
			if i%2 == 1 {
				level = "pull-down"
			}
			if err := os.WriteFile(pull, []byte(level), 0); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	n := 0
	for s := bufio.NewScanner(out); s.Scan(); n++ {
		t.Log(s.Text())
	}
	close(stop)
	<-stopped
	if err := mon.Wait(); err != nil || n < 2 {
		t.Errorf("%d edges, %v", n, err)
	}
}

// A real login with a key, over loopback, and its session in logind.
func TestSSHLogin(t *testing.T) {
	if out, err := sh(t, "systemctl", "restart", "ssh.service"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	key := filepath.Join(t.TempDir(), "key")
	if out, err := sh(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("/home/pi/.ssh", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("/home/pi/.ssh/authorized_keys", public, 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := sh(t, "ssh", "-i", key, "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
		"pi@127.0.0.1", "id -un; loginctl --no-legend")
	if err != nil || !strings.Contains(out, "pi\n") {
		t.Errorf("%v: %s", err, out)
	}
	if strings.Count(out, " pi ") == 0 {
		t.Errorf("no session of pi in logind: %s", out)
	}
	if out, err := sh(t, "systemctl", "stop", "ssh.service"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if c, err := net.Dial("tcp", "127.0.0.1:22"); err == nil {
		c.Close()
		t.Error("the port is open after a stop")
	}
}

func TestInsideIsLikeGoTestPromises(t *testing.T) {
	if _, err := os.Stat("doc.go"); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile("written", nil, 0o644); err == nil {
		t.Error("the tree of the host can be written")
	}
	if os.Getenv("VIRTUALPI") != "1" || os.Geteuid() != 0 {
		t.Errorf("VIRTUALPI=%q, uid %d", os.Getenv("VIRTUALPI"), os.Geteuid())
	}
	if _, err := os.Stat("/usr/sbin/keyswitchd"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the bare image has keyswitchd: %v", err)
	}
}
