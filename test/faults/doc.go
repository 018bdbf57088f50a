// Package faults shows, fault by fault, that everything that breaks, breaks towards closed. It boots virtual Pis, makes one
// thing after the other go wrong in them, and looks from outside at what becomes of SSH: in the kernel's list of listeners, at
// the LED's line, and with a second process that tries to connect all the time.
//
//	KEYSWITCHD_IMAGE=build/image go test -tags virtualpi ./test/faults
//	... -args -rows 'clock|suspend'   only the rows whose names match
//	... -args -update                 also writes docs/faults.md
//
// A run compares what it saw with docs/faults.md, all but the times, and fails on a difference. It fakes nothing: what the
// virtual Pi can't show is not in the table, and docs/faults.md says so.
package faults
