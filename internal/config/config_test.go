package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"keyswitchd/gpio"
	"keyswitchd/hardening"
)

func TestBad(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string // each is in the error
	}{
		{"bad key", "on-bot = \"follow\"\n", []string{"t.toml:1", "on-bot", "did you mean on-boot?"}},
		{"bad key in a table", "[gpio]\nkey = \"GPIO4\"\ndebounce = \"1ms\"\n", []string{"t.toml:3", "gpio.debounce", "no such key"}},
		{"bad table", "[gipo]\nkey = \"GPIO4\"\n", []string{"t.toml:1", "gipo"}},
		{"bad table for a key", "[gpio]\nport = 22\n", []string{"t.toml:2", "did you mean hardening.port?"}},
		{"bad table for a top key", "[gpio]\nsessions = \"keep\"\n", []string{"t.toml:2", "gpio.sessions", "sessions belongs at the top of the file"}},
		{"two bad keys", "a1 = 1\nb1 = 2\n", []string{"t.toml:1", "t.toml:2"}},
		{"bad syntax", "on-boot = \n", []string{"t.toml:1"}},
		{"bad duplicate", "max-on = \"1h\"\nmax-on = \"2h\"\n", []string{"t.toml:2", "max-on"}},
		{"bad choice", "on-boot = \"maybe\"\n", []string{"t.toml:1", "on-boot", "follow", "require-turn"}},
		{"bad kind", "[gpio]\n\nkey = 17\n", []string{"t.toml:3", "gpio.key", "in quotes"}},
		{"bad kind, number", "[hardening]\nport = \"22\"\n", []string{"t.toml:2", "hardening.port", "whole number"}},
		{"bad duration, no unit", "[gpio]\ndebounce-on = \"50\"\n", []string{"t.toml:2", "gpio.debounce-on", "unit", "50ms"}},
		{"bad duration, wrong unit", "[gpio]\ndebounce-on = \"50 millis\"\n", []string{"t.toml:2", "gpio.debounce-on", "50ms"}},
		{"bad duration, too short", "[gpio]\ndebounce-off = \"1us\"\n", []string{"t.toml:2", "out of range", "1ms"}},
		{"bad duration, too long", "[gpio]\ndebounce-off = \"1m\"\n", []string{"t.toml:2", "out of range", "5s"}},
		{"bad duration, negative", "max-on = \"-1h\"\n", []string{"t.toml:1", "out of range", "744h"}},
		{"bad grace", "grace = \"11m\"\n", []string{"t.toml:1", "grace", "10m"}},
		{"bad grace, negative", "grace = \"-1s\"\n", []string{"t.toml:1", "grace", "0s"}},
		{"bad unit, no suffix", "units = [\"cockpit\"]\n", []string{"t.toml:1", "units", `"cockpit"`, "cockpit.socket"}},
		{"bad unit, timer", "units = [\"a.timer\"]\n", []string{"t.toml:1", `"a.timer"`}},
		{"bad unit, template", "units = [\"a@.service\"]\n", []string{"t.toml:1", `"a@.service"`}},
		{"bad unit, path", "units = [\"../a.service\"]\n", []string{"t.toml:1", "units"}},
		{"bad unit, injection", "units = [\"a.service\\n[Service]\"]\n", []string{"t.toml:1", "units"}},
		{"bad unit, ssh", "units = [\"ssh.socket\"]\n", []string{"t.toml:1", "SSH itself"}},
		{"bad unit, ssh instance", "units = [\"sshd@1.service\"]\n", []string{"t.toml:1", "SSH itself"}},
		{"bad unit, needed", "units = [\"dbus.service\"]\n", []string{"t.toml:1", "dbus.service"}},
		{"bad unit, the console", "units = [\"getty@tty1.service\"]\n", []string{"t.toml:1", "console"}},
		{"bad unit, twice", "units = [\"a.service\", \"b.socket\", \"a.service\"]\n", []string{"t.toml:1", "twice"}},
		{"bad units, kind", "units = \"a.service\"\n", []string{"t.toml:1", "units", "a list"}},
		{"bad line, pin number", "[gpio]\nkey = \"GPIO40\"\n", []string{"t.toml:2", "gpio.key", "GPIO27"}},
		{"bad line, spelling", "[gpio]\nkey = \"gpio17\"\n", []string{"t.toml:2", `"GPIO17"`}},
		{"bad line, zero", "[gpio]\nkey = \"GPIO017\"\n", []string{"t.toml:2", `"GPIO17"`}},
		{"bad line, injection", "[gpio]\nkey = \"a\\nb\"\n", []string{"t.toml:2", "gpio.key"}},
		{"bad LED, same line", "[gpio]\nled = \"GPIO17\"\n", []string{"t.toml:2", "gpio.led", "key's line", "GPIO27"}},
		{"bad LED, path", "[gpio]\nled = \"sysfs:../../x\"\n", []string{"t.toml:2", "sysfs:ACT"}},
		{"bad second, the key's", "[gpio]\nsecond = \"GPIO17\"\n", []string{"t.toml:2", "gpio.second", "key's line", "GPIO22"}},
		{"bad second, the LED's", "[gpio]\nsecond = \"GPIO27\"\n", []string{"t.toml:1", "gpio.led", "opposite contact"}},
		{"bad second, pin number", "[gpio]\nsecond = \"GPIO40\"\n", []string{"t.toml:2", "gpio.second", "GPIO27"}},
		{"bad change-over", "[gpio]\nchange-over = \"9ms\"\n", []string{"t.toml:2", "out of range", "10ms"}},
		{"bad change-over, below a window", "[gpio]\nsecond = \"GPIO22\"\nchange-over = \"40ms\"\n", []string{"t.toml:3", "gpio.change-over", "debounce"}},
		{"bad pull", "[gpio]\npull = \"sideways\"\n", []string{"t.toml:2", "gpio.pull"}},
		{"bad pull, cut wire on", "[gpio]\nactive = \"high\"\n", []string{"t.toml:1", "gpio.pull", "cut wire"}},
		{"bad port", "[hardening]\nport = 80\n", []string{"t.toml:2", "hardening.port", "1024"}},
		{"bad port, large", "[hardening]\nport = 65536\n", []string{"t.toml:2", "hardening.port"}},
		{"bad user", "[hardening]\nallow-users = [\"pi\", \"a b\"]\n", []string{"t.toml:2", "hardening.allow-users"}},
		{"bad user, injection", "[hardening]\nallow-users = [\"pi\\nPermitRootLogin yes\"]\n", []string{"t.toml:2", "hardening.allow-users"}},
		{"bad exception", "[[hardening.match]]\ncriterion = \"all\"\npasswords = true\n", []string{"t.toml:1", "hardening.match", "set it in [hardening]"}},
		{"bad exception's key", "[[hardening.match]]\ncriterion = \"User a\"\nport = 22\n", []string{"t.toml:3", "no such key"}},
		{"bad exception's value", "[[hardening.match]]\ncriterion = \"User a\"\npasswords = 1\n", []string{"t.toml:3", "hardening.match.passwords", "true or false"}},
		{"bad duration in hardening", "[hardening]\nlogin-grace = \"30\"\n", []string{"t.toml:2", "hardening.login-grace"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, err := Parse("t.toml", []byte(c.text))
			if err == nil {
				t.Fatalf("accepted: %+v", cfg)
			}
			if !reflect.DeepEqual(cfg, Config{}) {
				t.Error("something of a bad file was used")
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("no %q in: %v", w, err)
				}
			}
		})
	}
}

// The reference file says what an empty file means, key by key.
func TestReference(t *testing.T) {
	empty, err := Parse("empty", nil)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := Parse("reference.toml", Reference)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*Config{&empty, &ref} {
		c.KeyAt, c.SecondAt, c.LEDAt = "", "", ""
	}
	normal := func(c *Config) {
		if len(c.Policy.Listen)+len(c.Policy.AllowUsers)+len(c.Policy.DenyUsers)+len(c.Policy.AllowGroups) == 0 {
			c.Policy.Listen, c.Policy.AllowUsers, c.Policy.DenyUsers, c.Policy.AllowGroups = nil, nil, nil, nil
		}
	}
	normal(&ref)
	if !reflect.DeepEqual(ref, empty) {
		t.Errorf("the reference file says\n%+v, the defaults are\n%+v", ref, empty)
	}
	// A '#' with no blank after it makes a line an example.
	example := regexp.MustCompile(`(?m)^#([^ \n])`).ReplaceAll(Reference, []byte("$1"))
	full, err := Parse("reference.toml", example)
	if err != nil || len(full.Policy.Match) != 1 || *full.Policy.Match[0].TCPForwarding != hardening.ForwardLocal {
		t.Errorf("the examples: %+v, %v", full.Policy.Match, err)
	}
	at := positions(example)
	for key := range keys() {
		if at[key] == 0 {
			t.Errorf("the reference file does not show %s", key)
		}
	}
	want := gpio.KeyConfig{Line: "GPIO17", Pull: gpio.PullUp, ActiveLow: true, DebounceOn: 50 * time.Millisecond, DebounceOff: 50 * time.Millisecond}
	if ref.Grace != 10*time.Second || ref.Units != nil {
		t.Errorf("grace %s, units %q", ref.Grace, ref.Units)
	}
	if ref.Key != want {
		t.Errorf("key %+v, want %+v", ref.Key, want)
	}
	if !reflect.DeepEqual(ref.Policy, func() hardening.Policy { p := hardening.DefaultPolicy(); return p }()) {
		t.Errorf("policy %+v, want the default", ref.Policy)
	}
}

func TestFull(t *testing.T) {
	cfg, err := Parse("t.toml", []byte(`
on-boot = "require-turn"
max-on = "90m"
sessions = "keep"
grace = "0s"
units = ["cockpit.socket", "vncserver@1.service"]
[gpio]
key = "GPIO5"
pull = "down"
active = "high"
debounce-on = "200ms"
debounce-off = "20ms"
second = "GPIO6"
change-over = "1s"
led = "sysfs:ACT"
led-active = "low"
[hardening]
port = 10101
allow-users = ["sshuser"]
`))
	if err != nil {
		t.Fatal(err)
	}
	if !cfg.RequireTurn || cfg.MaxOn != 90*time.Minute || cfg.EndSessions || cfg.Grace != 0 || cfg.KeyAt != "t.toml:8" ||
		!slices.Equal(cfg.Units, []string{"cockpit.socket", "vncserver@1.service"}) {
		t.Errorf("got %+v", cfg)
	}
	if want := (gpio.KeyConfig{Line: "GPIO5", Pull: gpio.PullDown, DebounceOn: 200 * time.Millisecond, DebounceOff: 20 * time.Millisecond,
		Second: "GPIO6", ChangeOver: time.Second}); cfg.Key != want {
		t.Errorf("key %+v, want %+v", cfg.Key, want)
	}
	if want := (gpio.LEDConfig{Name: "sysfs:ACT", ActiveLow: true}); cfg.LED != want {
		t.Errorf("LED %+v, want %+v", cfg.LED, want)
	}
	if cfg.Policy.Port != 10101 || len(cfg.Policy.AllowUsers) != 1 {
		t.Errorf("policy %+v", cfg.Policy)
	}
}

func TestLoadRefuses(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	write := func(name string, mode os.FileMode, data []byte) {
		if err := os.WriteFile(path(name), data, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path(name), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("good", 0o644, []byte("max-on = \"1h\"\n"))
	write("shared", 0o664, nil)
	write("world", 0o646, nil)
	write("huge", 0o644, make([]byte, maxFileSize+1))
	if err := os.Mkdir(path("dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(path("fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path("good")); err != nil {
		t.Errorf("good: %v", err)
	}
	for name, want := range map[string]string{
		"missing": "no such file", "shared": "chmod go-w", "world": "chmod go-w", "huge": "larger than",
		"dir": "directory", "fifo": "FIFO",
	} {
		_, err := Load(path(name))
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path(name)) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
	if cfg, err := LoadIfPresent(path("missing")); err != nil || cfg.Key.Line != "GPIO17" {
		t.Errorf("missing: got %+v, %v; want the defaults", cfg, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Reference)
	f.Add([]byte("[gpio]\nkey = 17\n"))
	f.Add([]byte("a.b.c = [1, {x = 2}]\n[[t]]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := Parse("f", data)
		if err != nil && !reflect.DeepEqual(cfg, Config{}) {
			t.Error("something of a bad file was used")
		}
	})
}
