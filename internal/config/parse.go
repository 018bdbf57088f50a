package config

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"keyswitchd/gpio"
	"keyswitchd/hardening"
)

// The file as it is written. Durations are strings here, so that "50" without a unit can be answered
// with what would be right.
type file struct {
	OnBoot    string           `toml:"on-boot"`
	MaxOn     string           `toml:"max-on"`
	Sessions  string           `toml:"sessions"`
	Grace     string           `toml:"grace"`
	Units     []string         `toml:"units"`
	GPIO      fileGPIO         `toml:"gpio"`
	Hardening hardening.Policy `toml:"hardening"`
}

type fileGPIO struct {
	Key         string `toml:"key"`
	Pull        string `toml:"pull"`
	Active      string `toml:"active"`
	DebounceOn  string `toml:"debounce-on"`
	DebounceOff string `toml:"debounce-off"`
	Second      string `toml:"second"`
	ChangeOver  string `toml:"change-over"`
	LED         string `toml:"led"`
	LEDActive   string `toml:"led-active"`
}

func defaults() file {
	return file{
		OnBoot: "follow", MaxOn: "none", Sessions: "end", Grace: "10s",
		GPIO: fileGPIO{
			Key: "GPIO17", Pull: "up", Active: "low", DebounceOn: "50ms", DebounceOff: "50ms",
			Second: "none", ChangeOver: "500ms",
			LED: "GPIO27", LEDActive: "high",
		},
		Hardening: hardening.DefaultPolicy(),
	}
}

// Bounds of the debounce windows. Below 1 ms a mechanical contact isn't debounced; above 5 s the person
// at the key thinks that it is broken.
const (
	minDebounce = time.Millisecond
	maxDebounce = 5 * time.Second
)

// Bounds of change-over. A key that takes longer is broken, or somebody plays with it.
const (
	minChangeOver = 10 * time.Millisecond
	maxChangeOver = 10 * time.Second
)

// Bounds of max-on. A shorter time can't be a login, a longer one isn't a limit.
const (
	minMaxOn = time.Minute
	maxMaxOn = 31 * 24 * time.Hour
)

// maxGrace bounds grace: who is inside may work on behind a key that was turned off, so it is for saving a file, not for staying.
const maxGrace = 10 * time.Minute

// Parse checks data, which errors call name. On any error the Config is the zero value, which opens
// nothing.
func Parse(name string, data []byte) (Config, error) {
	raw := defaults()
	dec := toml.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&raw); err != nil {
		return Config{}, explain(name, data, err)
	}
	c := checker{name: name, at: positions(data)}
	cfg := c.check(raw)
	if len(c.errs) > 0 {
		return Config{}, errors.Join(c.errs...)
	}
	return cfg, nil
}

type checker struct {
	name string
	at   map[string]int
	errs []error
}

func (c *checker) bad(key, format string, args ...any) {
	c.errs = append(c.errs, &Error{File: c.name, Line: lineOf(c.at, key), Key: key, Msg: fmt.Sprintf(format, args...)})
}

func (c *checker) where(key string) string {
	if line := lineOf(c.at, key); line > 0 {
		return fmt.Sprintf("%s:%d", c.name, line)
	}
	return c.name
}

func (c *checker) check(raw file) Config {
	cfg := Config{
		RequireTurn: c.choice("on-boot", raw.OnBoot, "require-turn", "follow"),
		EndSessions: c.choice("sessions", raw.Sessions, "end", "keep"),
		Grace:       c.duration("grace", raw.Grace, 0, maxGrace, `"10s"`),
		Units:       c.units("units", raw.Units),
		Policy:      raw.Hardening,
		KeyAt:       c.where("gpio.key"),
		SecondAt:    c.where("gpio.second"),
		LEDAt:       c.where("gpio.led"),
	}
	if raw.MaxOn != "none" {
		cfg.MaxOn = c.duration("max-on", raw.MaxOn, minMaxOn, maxMaxOn, `"8h" or "none"`)
	}
	g := raw.GPIO
	cfg.Key = gpio.KeyConfig{
		Line:        c.line("gpio.key", g.Key),
		ActiveLow:   c.choice("gpio.active", g.Active, "low", "high"),
		DebounceOn:  c.duration("gpio.debounce-on", g.DebounceOn, minDebounce, maxDebounce, `"50ms"`),
		DebounceOff: c.duration("gpio.debounce-off", g.DebounceOff, minDebounce, maxDebounce, `"50ms"`),
	}
	switch g.Pull {
	case "up":
		cfg.Key.Pull = gpio.PullUp
	case "down":
		cfg.Key.Pull = gpio.PullDown
	case "none":
		cfg.Key.Pull = gpio.PullNone
	default:
		c.bad("gpio.pull", `%q is none of "up", "down", "none"`, g.Pull)
	}
	// With the pull towards the active level, a cut wire would read as "on": the one fault that a
	// wiring must never have.
	if (g.Pull == "up" && g.Active == "high") || (g.Pull == "down" && g.Active == "low") {
		c.bad("gpio.pull", `pull %q with active %q makes a cut wire read as "on"; use pull %q, or wire the contact to the other side`,
			g.Pull, g.Active, map[string]string{"up": "down", "down": "up"}[g.Pull])
	}
	c.second(&cfg.Key, g)
	cfg.LED = gpio.LEDConfig{Name: c.led(g.LED), ActiveLow: c.choice("gpio.led-active", g.LEDActive, "low", "high")}
	if g.LED == g.Key {
		c.bad("gpio.led", "%s is the key's line already (gpio.key); the LED needs a line of its own, such as GPIO27, or \"none\"", g.LED)
	}
	if err := cfg.Policy.Validate(); err != nil {
		c.policy(err)
	}
	return cfg
}

// second checks the opposite contact. Without one, change-over counts for nothing.
func (c *checker) second(key *gpio.KeyConfig, g fileGPIO) {
	changeOver := c.duration("gpio.change-over", g.ChangeOver, minChangeOver, maxChangeOver, `"500ms"`)
	if g.Second == "none" {
		return
	}
	key.Second, key.ChangeOver = c.line("gpio.second", g.Second), changeOver
	if g.Second == g.Key {
		c.bad("gpio.second", "%s is the key's line already (gpio.key); the opposite contact needs a line of its own, such as GPIO22, or \"none\"", g.Second)
	}
	if g.LED == g.Second {
		c.bad("gpio.led", "%s is the line of the opposite contact already (gpio.second); the LED needs a line of its own, such as GPIO27, or \"none\"", g.LED)
	}
	// Within a shorter time a good key would be a fault each time it bounces.
	if least := max(key.DebounceOn, key.DebounceOff); changeOver > 0 && changeOver < least {
		c.bad("gpio.change-over", "%s is shorter than a debounce window (%s); a turn of the key would count as a fault", changeOver, least)
	}
}

// choice reports whether v is yes. Anything but yes and no is an error.
func (c *checker) choice(key, v, yes, no string) bool {
	if v != yes && v != no {
		c.bad(key, "%q is neither %q nor %q", v, yes, no)
	}
	return v == yes
}

func (c *checker) duration(key, v string, least, most time.Duration, example string) time.Duration {
	d, err := time.ParseDuration(v)
	switch {
	case err != nil:
		c.bad(key, "%q is not a time; write a number with its unit (ms, s, m, h), such as %s", v, example)
	case d < least || d > most:
		c.bad(key, "%s is out of range; from %s to %s, such as %s", v, plain(least), plain(most), example)
	default:
		return d
	}
	return 0
}

// plain drops the zero parts of a round duration: 744h0m0s is 744h.
func plain(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// A line name as the kernel has it (gpio-line-names in the device tree). Slashes and white space never
// occur in one.
var lineName = regexp.MustCompile(`^[A-Za-z0-9_.:+-]{1,31}$`)

// headerLine matches the names on the 40-pin header; of these only 0..27 exist.
var headerLine = regexp.MustCompile(`^(?i:gpio) ?_?-?([0-9]+)$`)

func (c *checker) line(key, v string) string {
	if m := headerLine.FindStringSubmatch(v); m != nil {
		if n, err := strconv.Atoi(m[1]); err != nil || n > 27 {
			c.bad(key, "%s is not on the 40-pin header, which has GPIO0 to GPIO27; write the GPIO number, not the pin number (GPIO17 is pin 11)", v)
		} else if want := fmt.Sprintf("GPIO%d", n); v != want {
			c.bad(key, "%q: line names are written as the kernel has them: %q", v, want)
		}
		return v
	}
	if !lineName.MatchString(v) {
		c.bad(key, `%q can't be the name of a GPIO line; write it as "GPIO17" (gpioinfo lists the names)`, v)
	}
	return v
}

func (c *checker) led(v string) string {
	if v == "none" {
		return v
	}
	name, isSysfs := strings.CutPrefix(v, "sysfs:")
	if !isSysfs {
		return c.line("gpio.led", v)
	}
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00\n") {
		c.bad("gpio.led", `%q names no kernel LED; write "sysfs:" and a name from /sys/class/leds, such as "sysfs:ACT"`, v)
	}
	return v
}

// policy files hardening's errors under their lines.
func (c *checker) policy(err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			c.policy(e)
		}
		return
	}
	var key *hardening.KeyError
	if errors.As(err, &key) {
		c.bad("hardening."+key.Key, "%s", key.Msg)
		return
	}
	c.bad("hardening", "%s", err)
}
