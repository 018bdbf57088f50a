//go:build virtualpi

package faults

import "time"

// effect is what a fault does to SSH.
type effect string

const (
	// stays: it was open and is not touched. While the fault lasts, the key is turned off: closed.
	stays effect = "stays open until the key is turned off"
	// closes: it was open, closes, and stays closed as long as the fault lasts.
	closes effect = "closes"
	// reopens: it was open, closes, and opens again by itself, because the key is still on. Then as with stays.
	reopens effect = "closes, and opens again by itself"
	// never: it was closed and stays so.
	never effect = "stays closed"
)

// How a fault is recovered from once its cause is gone.
const (
	byItself = "by itself"
	byTurn   = "key off and on"
)

// fault is one thing that goes wrong.
type fault struct {
	Name string
	// On is where the key is when it strikes: on, with SSH open, or off, with SSH closed.
	On bool
	// Do makes it go wrong, and leaves with s.later what ends it.
	Do     func(s *site) error
	Effect effect
	// Off: the fault itself leaves the key off, so there is nothing left to turn.
	Off bool
	// Code and LED are what status and LED say while the fault lasts: with stays and reopens while it is open, else while it
	// is closed. LED "" where there is nothing to be seen, because the chip is gone or the LED is somebody else's.
	Code, LED string
	// OffCode is what the status says when the key was turned off with the fault in place. Default "key-off", with LED dark.
	OffCode string
	// Again is what happens when the key is turned on with the fault in place: "opens", or the code and the LED of the status
	// that says why not, separated by a blank. "": not tried.
	Again string
	// Note is for the reader of the table.
	Note string
	// Recover is byItself, byTurn, or a command to type. With stays and never it is empty: the next turn works.
	Recover string
	// Watchdog is taken off what was measured before it is compared: the fault is only noticed by it.
	Watchdog time.Duration
}

// row is what was seen of a fault: a line of the table.
type row struct {
	Section, Name, Happened, Said, Recovers string
	// Closed is the time until nobody listened any more, from the key's turn (FromKey) or from the fault. 0: it was never open.
	Closed   time.Duration
	FromKey  bool
	Watchdog time.Duration
	Bare     time.Duration // median of `systemctl stop ssh` in the same machine
	Err      string
	Took     time.Duration // all of the row
}

// section is some faults under one heading.
type section struct {
	Title  string
	Before func(*site) error // nil: nothing; what it leaves with s.later is done after the section
	Faults []fault
}
