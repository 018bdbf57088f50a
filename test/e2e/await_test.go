//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"keyswitchd/internal/status"
)

// patience is how long a condition may take to come true. It is far beyond what the slowest machine needs: only a
// test that fails waits for so long.
const patience = 90 * time.Second

// condition is nil when it holds, else it says what is otherwise.
type condition func() error

func all(conditions ...condition) condition {
	return func() error {
		for _, c := range conditions {
			if err := c(); err != nil {
				return err
			}
		}
		return nil
	}
}

// await waits until c holds.
func await(t *testing.T, what string, c condition) {
	t.Helper()
	if err := waitFor(c); err != nil {
		t.Fatalf("%s: not within %s: %v", what, patience, err)
	}
}

func waitFor(c condition) error {
	for end := time.Now().Add(patience); ; time.Sleep(15 * time.Millisecond) {
		err := c()
		if err == nil || time.Now().After(end) {
			return err
		}
	}
}

// run runs a program to its end, and returns all it said and its exit code.
func run(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience) // also after the test, in clean-ups
	defer cancel()
	both, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() < 0) {
		t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, both)
	}
	if exit != nil {
		code = exit.ExitCode()
	}
	return string(both), code
}

// must is run of a program that has to end well.
func must(t *testing.T, args ...string) string {
	t.Helper()
	out, code := run(t, args...)
	if code != 0 {
		t.Fatalf("%s: exit code %d: %s", strings.Join(args, " "), code, out)
	}
	return out
}

// telephone keeps one connection to the bus, because making one for each question takes more than the question itself.
var telephone struct {
	mu   sync.Mutex
	conn *dbus.Conn
}

// ask asks the daemon on the bus, without a process of its own.
func ask() (status.Status, error) {
	telephone.mu.Lock()
	defer telephone.mu.Unlock()
	if telephone.conn == nil {
		conn, err := dbus.ConnectSystemBus()
		if err != nil {
			return status.Status{}, err
		}
		telephone.conn = conn
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	s, err := status.Ask(ctx, telephone.conn)
	if err != nil {
		telephone.conn.Close() // the next question is asked on a new one: this may be what was wrong
		telephone.conn = nil
	}
	return s, err
}

// statusIs asks and has the answer judged.
func statusIs(what string, right func(status.Status) bool) condition {
	return func() error {
		s, err := ask()
		if err != nil {
			return err
		}
		if !right(s) {
			return fmt.Errorf("the status is not %s but %+v", what, s)
		}
		return nil
	}
}

func codeIs(code string) condition {
	return statusIs(code, func(s status.Status) bool { return s.Code == code })
}

// opened: the key has opened SSH, and everything says so.
func opened() condition {
	return all(listens(22), ledIs(true), statusIs("open", func(s status.Status) bool {
		return s.Key == "on" && s.Open && s.SSH == "active" && s.LED == "solid" && s.Code == "key-on" && s.Hardening.Verified && !s.Fault
	}))
}

// shut: SSH is closed by the key, and everything says so.
func shut() condition {
	return all(silent(22), ledIs(false), statusIs("closed", closedByKey))
}

func closedByKey(s status.Status) bool {
	return s.Key == "off" && !s.Open && s.SSH == "inactive" && s.LED == "dark" && s.Code == "key-off" && s.Sessions == 0 && !s.Fault
}

// begin brings the machine to where every test begins and ends: armed, the daemon sound, the key off, SSH closed.
func begin(t *testing.T) {
	t.Helper()
	since := time.Now()
	t.Cleanup(func() {
		rest(t)
		if t.Failed() {
			out, _ := exec.Command("journalctl", "--no-pager", "-o", "short-precise", fmt.Sprintf("--since=@%d", since.Unix()),
				"-u", "keyswitchd", "-u", "ssh.service", "-u", "ssh.socket", "-u", "polkit", "-u", "dbus", "-u", "keyswitchd-end-sessions").CombinedOutput()
			t.Logf("the journal since the test began:\n%s", out)
		}
	})
	rest(t)
}

func rest(t *testing.T) {
	t.Helper()
	turn(t, false)
	if shut()() == nil {
		return
	}
	if waitFor(func() error {
		if err := shut()(); err == nil {
			return nil
		}
		state, err := exec.Command("systemctl", "is-active", "keyswitchd").Output()
		if err != nil && !bytes.Contains(state, []byte("activating")) {
			if out, err := exec.Command("systemctl", "restart", "keyswitchd").CombinedOutput(); err != nil {
				return fmt.Errorf("systemctl restart keyswitchd: %w: %s", err, out)
			}
		}
		return shut()()
	}) != nil {
		t.Errorf("the machine does not come to rest: %v", shut()())
	}
}

// configure puts a configuration in place of the base one until the test ends: keys from above the tables, and keys of
// the table gpio.
func configure(t *testing.T, top, gpio string) {
	t.Helper()
	t.Cleanup(func() { // after write's
		turn(t, false)
		must(t, "systemctl", "restart", "keyswitchd")
	})
	write(t, configFile, top+baseConfig+gpio)
}

// configureAndReload has the running daemon take the configuration in.
func configureAndReload(t *testing.T, top string) {
	t.Helper()
	configure(t, top, "")
	cursor := strings.TrimSpace(must(t, "journalctl", "-q", "-n", "0", "--show-cursor"))
	_, cursor, _ = strings.Cut(cursor, "cursor: ")
	must(t, "systemctl", "reload", "keyswitchd")
	await(t, "the configuration read", func() error {
		if out, _ := run(t, "journalctl", "-q", "-u", "keyswitchd", "--after-cursor="+cursor, "-g", "the configuration was (not )?reloaded"); out == "" {
			return errors.New("the journal does not say so")
		}
		return nil
	})
}

// write puts a file in place until the test ends; then it is as it was.
func write(t *testing.T, path, content string) {
	t.Helper()
	before, err := os.ReadFile(path)
	there := err == nil
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := os.Remove(path)
		if there {
			err = os.WriteFile(path, before, 0o644)
		}
		if err != nil && !os.IsNotExist(err) {
			t.Error(err)
		}
	})
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
