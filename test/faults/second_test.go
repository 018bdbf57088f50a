//go:build virtualpi

package faults

import (
	"keyswitchd/test/inside"
)

// contact closes a contact or opens it, alone.
func contact(line int, closed bool) func(*site) error {
	return func(s *site) error {
		s.later(func() error {
			// As an electrician leaves it: both contacts where the key is, which is off or on as the other one says.
			return s.key(s.wasOn)
		})
		return inside.SetContact(line, closed)
	}
}

var secondFaults = section{
	Title: "A key with two opposite contacts",
	Before: func(s *site) error {
		s.later(func() error { return systemctl("restart keyswitchd.service") })
		if err := s.put(configFile, baseConfig+"second = \"GPIO22\"\n"); err != nil {
			return err
		}
		s.later(func() error { s.second = false; return nil })
		s.second = true
		if err := s.key(false); err != nil {
			return err
		}
		if err := systemctl("restart keyswitchd.service"); err != nil {
			return err
		}
		return await("closed", s.isClosed)
	},
	Faults: []fault{
		{Name: "the first contact's wire cut while on: both open", On: true, Do: contact(inside.KeyLine, false), Effect: closes, Code: "key-fault", LED: "fast-blink",
			Recover: byTurn, Note: "at once, as the first contact is open"},
		{Name: "the second contact's wire shorted to ground while on, or the first contact welded and the key turned off: both closed", On: true,
			Do: contact(inside.SecondLine, true), Effect: closes, Code: "key-fault", LED: "fast-blink", Recover: byTurn, Note: "when they contradict each other for longer than `change-over`"},
		{Name: "the first contact's wire shorted to ground while off: both closed", Do: contact(inside.KeyLine, true), Effect: never, Code: "key-fault", LED: "fast-blink", Recover: byTurn},
		{Name: "the second contact's wire cut while off: both open", Do: contact(inside.SecondLine, false), Effect: never, Code: "key-fault", LED: "fast-blink", Recover: byTurn},
	},
}
