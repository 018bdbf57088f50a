package gpio

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var pairKey = KeyConfig{Line: "GPIO17", Second: "GPIO22", ActiveLow: true, DebounceOn: 50 * time.Millisecond, DebounceOff: 20 * time.Millisecond,
	ChangeOver: 500 * time.Millisecond}

func TestKeyWithTwoContacts(t *testing.T) {
	const (
		ms         = time.Millisecond
		bothOpen   = "fault gpio: GPIO17 and GPIO22: both contacts were open for longer than 500ms: the wire of GPIO17, that of GPIO22, or the one from both contacts to ground"
		bothClosed = "fault gpio: GPIO17 and GPIO22: both contacts were closed for longer than 500ms: the wire of GPIO17 or that of GPIO22 is shorted to ground"
	)
	for _, tc := range []struct {
		name string
		tell func(s *story)
	}{
		{"a turn takes the debounce time, the other way the contact's own", func(s *story) {
			s.expect(time.Second, "20ms off")
			s.TurnOver(On, 100*ms, ms, 2*ms) // closes at 1.1, still at 1.103
			s.expect(2*time.Second, "1.153s on")
			s.TurnOver(Off, 100*ms, ms, 2*ms) // opens at 2, still at 2.003
			s.expect(3*time.Second, "2.023s off")
			s.expect(time.Hour)
		}},
		{"bad: the second wire cut while off", func(s *story) {
			s.expect(time.Second, "20ms off")
			s.SetWire(SecondContact, Cut)
			s.expect(2*time.Second, "1.5s "+bothOpen)
			s.Turn(On) // reads as it should
			s.expect(3 * time.Second)
			s.SetWire(SecondContact, Whole)
			s.expect(4 * time.Second)
			s.Turn(Off)
			s.expect(5*time.Second, "4.02s off")
			s.Turn(On)
			s.expect(6*time.Second, "5.05s on")
		}},
		{"bad: the key's line shorted while off", func(s *story) {
			s.expect(time.Second, "20ms off")
			s.SetWire(KeyContact, Shorted)
			s.expect(2*time.Second, "1.5s "+bothClosed)
			s.SetWire(KeyContact, Whole)
			s.expect(3*time.Second, "2.02s off")
		}},
		{"bad: the key's wire cut while on closes as a turn does", func(s *story) {
			s.Turn(On)
			s.expect(time.Second, "50ms on")
			s.SetWire(KeyContact, Cut)
			s.expect(2*time.Second, "1.02s off", "1.5s "+bothOpen)
			s.SetWire(KeyContact, Whole)
			s.expect(3 * time.Second)
		}},
		{"bad: the second line shorted while on closes within the change-over time", func(s *story) {
			s.Turn(On)
			s.expect(time.Second, "50ms on")
			s.SetWire(SecondContact, Shorted)
			s.expect(2*time.Second, "1.5s "+bothClosed)
			s.SetWire(SecondContact, Whole)
			s.expect(time.Hour)
			s.Turn(Off)
			s.expect(2*time.Hour, "1h0m0.02s off")
		}},
		{"bad: both shorted, as by one staple through the cable", func(s *story) {
			s.Turn(On)
			s.expect(time.Second, "50ms on")
			s.SetWire(SecondContact, Shorted)
			s.SetWire(KeyContact, Shorted)
			s.expect(2*time.Second, "1.5s "+bothClosed)
			s.Turn(Off)
			s.expect(3 * time.Second)
		}},
		{"bad: the plug pulled while on, and put in again", func(s *story) {
			s.Turn(On)
			s.expect(time.Second, "50ms on")
			s.SetWire(SecondContact, Cut)
			s.SetWire(KeyContact, Cut)
			s.expect(2*time.Second, "1.02s off", "1.5s "+bothOpen)
			s.SetWire(KeyContact, Whole)
			s.SetWire(SecondContact, Whole)
			s.expect(3 * time.Second)
		}},
		{"bad: wires swapped while off read as on, and don't open", func(s *story) {
			s.expect(time.Second, "20ms off")
			s.SetWire(SecondContact, Cut) // pulled off
			s.expect(3*time.Second, "1.5s "+bothOpen)
			s.SetWire(SecondContact, Whole) // the key stays off; what it reads now is the other way round
			s.Turn(On)
			s.expect(time.Minute)
		}},
		{"bad: closed at boot although the second is closed as well", func(s *story) {
			s.SetWire(KeyContact, Shorted)
			s.expect(time.Second, "500ms "+bothClosed)
			s.SetWire(KeyContact, Whole)
			s.expect(2*time.Second, "1.02s off")
		}},
		{"bad: open at boot although the second is open as well", func(s *story) {
			s.SetWire(SecondContact, Cut)
			s.expect(time.Second, "20ms off", "500ms "+bothOpen)
		}},
		{"bad: a key that stays between its positions", func(s *story) {
			s.expect(time.Second, "20ms off")
			s.TurnOver(On, 600*ms)
			s.expect(3*time.Second, "1.5s "+bothOpen)
			s.TurnOver(Off, 100*ms)
			s.expect(4*time.Second, "3.12s off")
		}},
		{"bad: a chip that comes back does not make the fault forgotten", func(s *story) {
			s.Turn(On)
			s.expect(time.Second, "50ms on")
			s.SetWire(SecondContact, Shorted)
			s.expect(2*time.Second, "1.5s "+bothClosed)
			s.Break(errors.New("no such device"))
			s.expect(2*time.Second, "2s fault gpio: waiting for an edge of GPIO17 and GPIO22: no such device")
			s.SetWire(SecondContact, Whole)
			s.Break(nil)
			s.expect(time.Minute, "3s "+bothClosed)
			s.Turn(Off)
			s.expect(2*time.Minute, "1m0.02s off")
		}},
		{"bad: the second contact chatters while off", func(s *story) {
			s.expect(time.Second, "20ms off")
			s.ChatterOf(SecondContact, 100*time.Microsecond)
			s.expect(4*time.Second, "3.0001s fault gpio: GPIO17 and GPIO22: the contacts have not been stable together for 2s")
			s.Turn(Off)
			s.expect(5*time.Second, "4.02s off")
		}},
		{"closing does not wait for a second contact that chatters", func(s *story) {
			s.Turn(On)
			s.expect(time.Second, "50ms on")
			s.ChatterOf(SecondContact, 100*time.Microsecond)
			s.expect(1100 * ms)
			s.move(KeyContact, false)
			s.expect(2*time.Second, "1.12")
		}},
		{"closing does not wait for a second contact that is stuck", func(s *story) {
			s.Turn(On)
			s.expect(time.Second, "50ms on")
			s.SetWire(SecondContact, Cut)
			s.Turn(Off)
			s.expect(1200*ms, "1.02s off")
		}},
		{"Check looks at both", func(s *story) {
			s.expect(time.Second, "20ms off")
			if !s.key.Check() {
				s.t.Error("not alive")
			}
			s.expect(2 * time.Second)
			s.SetWire(SecondContact, Cut)
			s.expect(3*time.Second, "2.5s "+bothOpen)
			if !s.key.Check() {
				s.t.Error("not alive")
			}
			s.expect(4 * time.Second)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				board := NewSimulated()
				s := newStory(t, board, board, pairKey)
				tc.tell(s)
				s.end()
			})
		})
	}
}

func TestKeyWithSecondLineTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		board := NewSimulated()
		board.Busy("GPIO22", "w1-gpio")
		s := newStory(t, board, board, pairKey)
		s.expect(0, `0s fault gpio: requesting GPIO22 on the simulated board: device or resource busy: "w1-gpio" holds it`)
		board.Busy("GPIO22", "")
		s.expect(2*time.Second, "1.02s off")
		s.end()
	})
}

// The LED's line is held by this process: neither contact can have it.
func TestKeyWithSecondLineOfTheLED(t *testing.T) {
	board := NewSimulated()
	out, err := board.OpenLED(LEDConfig{Name: "GPIO22"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := board.OpenKey(pairKey); err == nil || !strings.Contains(err.Error(), "requesting GPIO22") || !strings.Contains(err.Error(), "key, second and led must be different lines") {
		t.Error(err)
	}
	if err := out.Close(); err != nil {
		t.Error(err)
	}
	in, err := board.OpenKey(pairKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Close(); err != nil || len(board.held) != 0 {
		t.Errorf("%v, still held: %v", err, board.held)
	}
}

func TestKeyConfigWithSecond(t *testing.T) {
	with := func(f func(*KeyConfig)) KeyConfig { c := pairKey; f(&c); return c }
	for _, c := range []struct {
		name string
		cfg  KeyConfig
		want string
	}{
		{"bad: the same line", with(func(c *KeyConfig) { c.Second = "GPIO17" }), "second is the same line"},
		{"bad: no change-over time", with(func(c *KeyConfig) { c.ChangeOver = 0 }), "change-over is 0s; it must lie between 50ms"},
		{"bad: shorter than the window", with(func(c *KeyConfig) { c.ChangeOver = 49 * time.Millisecond }), "GPIO17 and GPIO22: change-over is 49ms"},
		{"bad: too short", with(func(c *KeyConfig) {
			c.DebounceOn, c.DebounceOff, c.ChangeOver = 2*time.Millisecond, 2*time.Millisecond, 9*time.Millisecond
		}), "between 10ms"},
		{"bad: too long", with(func(c *KeyConfig) { c.ChangeOver = 11 * time.Second }), "and 10s"},
		{"without a second it means nothing", with(func(c *KeyConfig) { c.Second, c.ChangeOver = "", 0 }), ""},
		{"shortest", with(func(c *KeyConfig) { c.ChangeOver = 50 * time.Millisecond }), ""},
		{"longest", with(func(c *KeyConfig) { c.ChangeOver = 10 * time.Second }), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.cfg.check()
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// Two contacts cost no more than one: nothing when idle, also while a fault is latched, and a bounded number of looks at chatter.
func TestTwoContactsSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		board := &countingBoard{Simulated: NewSimulated()}
		s := newStory(t, board, board.Simulated, pairKey)
		idle := func(until time.Duration) {
			t.Helper()
			samples, waits := board.samples.Load(), board.waits.Load()
			s.expect(until)
			if board.samples.Load() != samples || board.waits.Load() != waits {
				t.Errorf("by %v: %d samples, %d waits while idle", until, board.samples.Load()-samples, board.waits.Load()-waits)
			}
		}
		s.expect(time.Second, "20ms off")
		idle(10 * time.Hour)
		board.SetWire(SecondContact, Cut)
		s.expect(10*time.Hour+time.Second, "10h0m0.5s fault")
		idle(20 * time.Hour)
		board.SetWire(SecondContact, Whole)
		s.expect(20*time.Hour+time.Second, "20h0m0.02s off")
		before := board.samples.Load()
		board.ChatterOf(SecondContact, 100*time.Microsecond)
		s.expect(20*time.Hour+11*time.Second, "20h0m3.0001s fault")
		if looks := board.samples.Load() - before; looks > 10*100 {
			t.Errorf("%d looks in 10 s of 10,000 edges/s, want 100 a second at most", looks)
		}
		s.end()
	})
}
