package status

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5/introspect"
)

var update = flag.Bool("update", false, "write the golden files anew; look at them before you commit")

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func at(d time.Duration) *time.Time { t := noon.Add(d); return &t }

// The states that a person meets, each with its golden text.
func samples() map[string]Status {
	verified := Hardening{Verified: true, At: at(-time.Hour)}
	return map[string]Status{
		"closed": {Running: true, Key: "off", SSH: "inactive", Unit: "ssh.service", Code: "key-off", Reason: "the key is off",
			Since: *at(-49 * time.Hour), LED: "dark", Override: "auto", Hardening: verified},
		"open": {Running: true, Key: "on", SSH: "active", Unit: "ssh.service", Open: true, Code: "key-on", Reason: "the key is on",
			Since: *at(-90 * time.Second), LED: "wink", Sessions: 2, Override: "auto", Expires: at(2*time.Hour + 30*time.Second), Hardening: verified},
		"refused": {Running: true, Key: "on", SSH: "failed", Unit: "ssh.service", Fault: true, Code: "hardening-refused",
			Reason: "the key is on, but the configuration of sshd is not what the policy wants: port is 22, 2222",
			Advice: "mend what it names", Since: *at(-time.Minute), LED: "fast-blink", LEDError: "gpio: GPIO27 is taken by led-test",
			Override:  "auto",
			Hardening: Hardening{At: at(-time.Second), Problems: []string{"port is 22, 2222", "and one more"}},
			Problems:  []string{"the configuration was not reloaded, the former one is in force: config: x:3: no such key"}},
		"grace": {Running: true, Key: "off", SSH: "inactive", Unit: "ssh.service", Code: "key-off", Reason: "the key is off",
			Since: *at(-4 * time.Second), LED: "slow-blink", Sessions: 1, SessionsEnd: at(6 * time.Second), Override: "auto", Hardening: verified,
			Units: []Unit{{"cockpit.socket", "inactive", true}}},
		"lockdown": {Running: true, Key: "on", SSH: "inactive", Unit: "ssh.service", Code: "lockdown", Reason: "SSH is locked down (by pi, session 1)",
			Advice: "keyswitchd auto, at the console, lets the key decide again", Since: *at(-time.Hour), LED: "dark", Override: "off",
			OverrideBy: "pi, session 1", Hardening: verified},
		"override": {Running: true, Key: "off", SSH: "active", Unit: "ssh.service", Open: true, Code: "override-on", Reason: "opened at the console",
			Since: *at(-26 * time.Minute), LED: "double-wink", Override: "on", OverrideBy: "pi, session 1", Expires: at(4 * time.Minute), Hardening: verified,
			Units: []Unit{{"cockpit.socket", "active", true}, {"wayvnc.service", "active", false}}},
		"dead": {Key: "unknown", SSH: "inactive", Unit: "ssh.service", LED: "unknown", Override: "auto", Code: "not-running",
			Reason: "keyswitchd is not running: it failed (signal)", Advice: "systemctl status keyswitchd says why"},
		"starting": {Running: true, Key: "on", SSH: "activating", Unit: "ssh.service", Code: "key-on", Reason: "the key is on", LED: "slow-blink",
			Override: "auto"},
	}
}

func TestText(t *testing.T) {
	t.Setenv("TZ", "UTC")
	time.Local = time.UTC
	for name, s := range samples() {
		var b strings.Builder
		if err := s.Write(&b, noon); err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", name+".txt")
		if *update {
			if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if b.String() != string(want) {
			t.Errorf("%s: got\n%s\nwant\n%s", name, b.String(), want)
		}
	}
}

func TestExit(t *testing.T) {
	want := map[string]int{"closed": 3, "open": 0, "refused": 1, "dead": 4, "starting": 3, "grace": 3, "lockdown": 3, "override": 0}
	for name, s := range samples() {
		if got := s.Exit(); got != want[name] {
			t.Errorf("%s: exit code %d, want %d", name, got, want[name])
		}
	}
}

func TestLine(t *testing.T) {
	want := map[string]string{
		"closed": "SSH closed: the key is off", "open": "SSH open: the key is on", "starting": "SSH activating: the key is on",
	}
	for name, w := range want {
		if got := samples()[name].Line(); got != w {
			t.Errorf("%s: %q, want %q", name, got, w)
		}
	}
}

// The JSON is a promise: these names, with these kinds of values, and lists that are never null.
func TestJSON(t *testing.T) {
	for name, s := range samples() {
		data, err := s.JSON()
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := json.Unmarshal(data, &got); err != nil {
			t.Fatal(err)
		}
		for _, field := range []string{"running", "key", "ssh", "unit", "open", "fault", "code", "reason", "since", "led", "sessions",
			"override", "override_by", "expires", "sessions_end", "units", "hardening", "problems"} {
			if _, ok := got[field]; !ok {
				t.Errorf("%s: no %s in %s", name, field, data)
			}
		}
		hardening, _ := got["hardening"].(map[string]any)
		for what, v := range map[string]any{"problems": got["problems"], "units": got["units"], "hardening.problems": hardening["problems"]} {
			if _, ok := v.([]any); !ok {
				t.Errorf("%s: %s is %v, want a list", name, what, v)
			}
		}
	}
}

// What goes onto the bus comes back from it.
func TestProperties(t *testing.T) {
	for name, s := range samples() {
		s.Running = true // only a daemon answers
		got, err := fromProps(toProps(s))
		if err != nil {
			t.Fatal(err)
		}
		a, _ := s.JSON()
		b, _ := got.JSON()
		var x, y map[string]any
		if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
			t.Fatal("not JSON")
		}
		delete(x, "since")
		delete(y, "since")
		if hx, hy := x["hardening"].(map[string]any), y["hardening"].(map[string]any); (hx["at"] == nil) != (hy["at"] == nil) {
			t.Errorf("%s: hardening.at %v, want %v", name, hy["at"], hx["at"])
		}
		delete(x["hardening"].(map[string]any), "at")
		delete(y["hardening"].(map[string]any), "at")
		for _, name := range []string{"expires", "sessions_end"} {
			delete(x, name)
			delete(y, name)
		}
		if !reflect.DeepEqual(x, y) {
			t.Errorf("%s: got %v, want %v", name, y, x)
		}
		if !s.Since.IsZero() && !got.Since.Equal(s.Since) || s.Expires != nil && !got.Expires.Equal(*s.Expires) ||
			s.SessionsEnd != nil && !got.SessionsEnd.Equal(*s.SessionsEnd) {
			t.Errorf("%s: times %v %v %v, want %v %v %v", name, got.Since, got.Expires, got.SessionsEnd, s.Since, s.Expires, s.SessionsEnd)
		}
	}
	props := toProps(Status{})
	delete(props, "Open")
	if _, err := fromProps(props); err == nil {
		t.Error("an answer without Open was taken for an answer")
	}
}

// Every property is in the description that busctl shows, and none can be set.
func TestObject(t *testing.T) {
	b := NewBus(nil)
	b.Publish(samples()["open"])
	o := object{b}
	all, err := o.GetAll(Interface)
	if err != nil {
		t.Fatal(err)
	}
	described := b.introspection()
	for name, v := range all {
		i := slices.IndexFunc(described, func(p introspect.Property) bool { return p.Name == name })
		if i < 0 || described[i].Type != v.Signature().String() || described[i].Access != "read" {
			t.Errorf("%s is not described as it is", name)
		}
		if one, err := o.Get(Interface, name); err != nil || !reflect.DeepEqual(one, v) {
			t.Errorf("%s: %v, %v", name, one, err)
		}
		if err := o.Set(Interface, name, v); err == nil {
			t.Errorf("%s can be set", name)
		}
	}
	if _, err := o.Get(Interface, "Password"); err == nil {
		t.Error("an unknown property has a value")
	}
	if _, err := o.GetAll("org.example"); err == nil {
		t.Error("an unknown interface has properties")
	}
}
