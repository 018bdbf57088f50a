//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"keyswitchd/internal/status"
)

// The main job: on, somebody logs in; off, the door is gone.
func TestTurnOpensAndCloses(t *testing.T) {
	begin(t)
	key := freshKey(t, "")
	told := listen(t)

	turn(t, true)
	await(t, "open", opened())
	if out, code := run(t, sshArgs(key, "id", "-un")...); code != 0 || out != "pi\n" {
		t.Errorf("ssh: exit code %d: %s", code, out)
	}
	// The login may still be seen as a session for a moment.
	await(t, "open, nobody logged in", opened())
	if out, code := run(t, "keyswitchd", "--status"); code != status.ExitOpen || !strings.HasPrefix(out, "SSH is OPEN: the key is on\n") {
		t.Errorf("--status: exit code %d, want %d: %s", code, status.ExitOpen, out)
	}
	s := asJSON(t, status.ExitOpen)
	if s["key"] != "on" || s["ssh"] != "active" || s["open"] != true || s["running"] != true || s["fault"] != false || s["led"] != "solid" ||
		s["sessions"] != 0. || s["override"] != "auto" || s["expires"] != nil || s["unit"] != "ssh.service" || s["code"] != "key-on" {
		t.Errorf("--status --json: %v", s)
	}
	if h := s["hardening"].(map[string]any); h["verified"] != true || h["at"] == nil || len(h["problems"].([]any)) != 0 {
		t.Errorf("hardening: %v", h)
	}

	turn(t, false)
	await(t, "closed", shut())
	if _, err := net.Dial("tcp", "127.0.0.1:22"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connecting: %v, want it refused", err)
	}
	if out, code := run(t, "keyswitchd", "--status"); code != status.ExitClosed || !strings.HasPrefix(out, "SSH is closed: the key is off\n") {
		t.Errorf("--status: exit code %d, want %d: %s", code, status.ExitClosed, out)
	}
	if s := asJSON(t, status.ExitClosed); s["key"] != "off" || s["ssh"] != "inactive" || s["open"] != false || s["led"] != "dark" {
		t.Errorf("--status --json: %v", s)
	}
	told.expect(t, "Key", "on", "off")
	told.expect(t, "Open", true, false)
	told.expect(t, "LED", "solid", "dark")
}

// Twenty turns in ten seconds, and twenty more in five: whatever became of those in between, the last one counts.
func TestManyTurnsEndRight(t *testing.T) {
	for _, turns := range []struct {
		name   string
		last   bool
		within time.Duration
	}{
		{"last on", true, 10 * time.Second},
		{"last off", false, 5 * time.Second},
	} {
		t.Run(turns.name, func(t *testing.T) {
			begin(t)
			tick := time.NewTicker(turns.within / 40)
			defer tick.Stop()
			for range 20 {
				for _, on := range []bool{!turns.last, turns.last} {
					<-tick.C
					turn(t, on)
				}
			}
			if turns.last {
				await(t, "open after the last turn", opened())
			} else {
				await(t, "closed after the last turn", shut())
			}
		})
	}
}

// asJSON is what a script gets.
func asJSON(t *testing.T, wantCode int) (s map[string]any) {
	t.Helper()
	out, code := run(t, "keyswitchd", "--status", "--json")
	if code != wantCode {
		t.Errorf("--status --json: exit code %d, want %d", code, wantCode)
	}
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		t.Fatalf("--status --json: %v: %s", err, out)
	}
	return s
}

// listener of the daemon's change signals.
type signals struct{ received chan *dbus.Signal }

func listen(t *testing.T) signals {
	t.Helper()
	conn, err := dbus.ConnectSystemBus()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	s := signals{make(chan *dbus.Signal, 1000)}
	conn.Signal(s.received)
	err = conn.AddMatchSignal(dbus.WithMatchObjectPath(status.Path), dbus.WithMatchInterface("org.freedesktop.DBus.Properties"),
		dbus.WithMatchMember("PropertiesChanged"), dbus.WithMatchArg(0, status.Interface))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// expect looks through what was received so far for values of a property, in this order.
func (s signals) expect(t *testing.T, property string, values ...any) {
	t.Helper()
	// What was received is kept for the next question.
	var all []*dbus.Signal
	for len(s.received) > 0 {
		all = append(all, <-s.received)
	}
	left := values
	var seen []any
	for _, signal := range all {
		s.received <- signal
		if signal.Path != status.Path || len(signal.Body) < 2 {
			continue // the bus tells us our own name, too
		}
		changed, _ := signal.Body[1].(map[string]dbus.Variant)
		v, ok := changed[property]
		if !ok {
			continue
		}
		seen = append(seen, v.Value())
		if len(left) > 0 && v.Value() == left[0] {
			left = left[1:]
		}
	}
	if len(left) > 0 {
		t.Errorf("signals: %s was %v, want %v in this order", property, seen, values)
	}
}
