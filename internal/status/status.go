// Package status is what keyswitchd says of itself: one value that is published on D-Bus, printed by
// `keyswitchd status` and written as JSON. It describes; it decides nothing and can change nothing.
package status

import (
	"encoding/json"
	"time"
)

// Exit codes of `keyswitchd status`. 0 and 3 follow `systemctl is-active`.
const (
	ExitOpen       = 0 // SSH is open
	ExitFault      = 1 // something is broken; SSH is closed or being closed
	ExitClosed     = 3 // SSH is closed, as the key wants it
	ExitNotRunning = 4 // keyswitchd doesn't run
)

// Status is the state at one moment. The JSON names are a promise to scripts; docs/status.md lists them.
type Status struct {
	Running  bool      `json:"running"`          // a daemon answered
	Key      string    `json:"key"`              // "on", "off", "fault", or "unknown" before the first stable reading
	SSH      string    `json:"ssh"`              // systemd's ActiveState of the unit, or "unknown"
	Unit     string    `json:"unit"`             // the unit that is the way in: ssh.service or ssh.socket
	Open     bool      `json:"open"`             // something may accept connections
	Fault    bool      `json:"fault"`            // something is broken; Reason says what
	Code     string    `json:"code"`             // the reason in one stable word, such as "key-off"
	Reason   string    `json:"reason"`           // the reason in words
	Advice   string    `json:"advice,omitempty"` // what to do about it, if anything
	Since    time.Time `json:"since"`            // when Open last changed
	LED      string    `json:"led"`              // the pattern that the LED shows
	LEDError string    `json:"led_error,omitempty"`
	Sessions int       `json:"sessions"` // people logged in over SSH
	// SessionsEnd is when those who are still logged in are sent away, after SSH was closed; null: nobody is to be.
	SessionsEnd *time.Time `json:"sessions_end"`
	Override    string     `json:"override"`    // "auto": the key decides; "on" and "off" were said at the console
	OverrideBy  string     `json:"override_by"` // who said so; empty with "auto"
	Expires     *time.Time `json:"expires"`     // when SSH closes by itself (max-on, or the end of an override), or null
	Units       []Unit     `json:"units"`       // the further units that the key guards
	Hardening   Hardening  `json:"hardening"`
	Problems    []string   `json:"problems"` // what else isn't as it should be
}

// Unit is a unit beside SSH that the same key guards.
type Unit struct {
	Name    string `json:"name"`
	Active  string `json:"active"`  // as Status.SSH
	Guarded bool   `json:"guarded"` // it carries the interlock; if not, the key leaves it alone until `keyswitchd arm`
}

// Hardening says what the last start of SSH found of its configuration.
type Hardening struct {
	Verified bool       `json:"verified"`
	At       *time.Time `json:"at"`
	Problems []string   `json:"problems"`
}

// Exit is the exit code of `keyswitchd status` for s.
func (s Status) Exit() int {
	switch {
	case !s.Running:
		return ExitNotRunning
	case s.Fault:
		return ExitFault
	case s.Open:
		return ExitOpen
	default:
		return ExitClosed
	}
}

// Line is s in one line, for sd_notify(3) STATUS= and the journal.
func (s Status) Line() string {
	state := "closed"
	switch {
	case s.Open && s.SSH == "active":
		state = "open"
	case s.SSH == "activating" || s.SSH == "deactivating" || s.SSH == "unknown":
		state = s.SSH
	}
	return "SSH " + state + ": " + s.Reason
}

// JSON is s as `keyswitchd status --json` prints it: lists are never null.
func (s Status) JSON() ([]byte, error) {
	if s.Units == nil {
		s.Units = []Unit{}
	}
	if s.Problems == nil {
		s.Problems = []string{}
	}
	if s.Hardening.Problems == nil {
		s.Hardening.Problems = []string{}
	}
	return json.MarshalIndent(s, "", "  ")
}
