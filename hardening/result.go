package hardening

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"keyswitchd/internal/folder"
)

// Result is the outcome of the last Harden: what the daemon shows, and what spares the next start the
// verification.
type Result struct {
	Verified bool      `json:"verified"`           // the running configuration has the policy
	At       time.Time `json:"at"`                 // when that was found out
	Problems []string  `json:"problems,omitempty"` // one line each, for people; none if Verified
	Digest   string    `json:"digest,omitempty"`   // of everything it depended on; only if Verified
	SSHD     string    `json:"sshd,omitempty"`     // "OpenSSH_9.2p1", "" if it isn't known
	Warnings []string  `json:"warnings,omitempty"` // one line each: what holds, but will surprise somebody
	Changes  []string  `json:"changes,omitempty"`  // what was changed to get there, one line each with its place; only of this run
}

// keptLines bounds what the result file tells of changes.
const keptLines = 100

// stored is the result file. The abilities are taken apart only when they are needed.
type stored struct {
	Result
	Abilities json.RawMessage `json:"abilities,omitempty"`
}

// NotVerifiedError is Harden's error when everything could be done and asked, but the policy doesn't hold.
type NotVerifiedError struct {
	Problems []string // at least one
}

// Error is the problems, one a line.
func (e *NotVerifiedError) Error() string {
	return "hardening: the policy does not hold:\n  " + strings.Join(e.Problems, "\n  ")
}

// ReadResult reads the result file at path. It is believed only if it is a plain file in a directory that
// both belong to root, or to whoever asks, and that nobody else can write. A result that isn't there yet is
// fs.ErrNotExist.
func ReadResult(path string) (Result, error) {
	s, err := readStored(path)
	return s.Result, err
}

func readStored(path string) (stored, error) {
	f, err := folder.Open(dirOf(path))
	if err != nil {
		return stored{}, fmt.Errorf("hardening: reading the result: %w", err)
	}
	defer f.Close()
	return readStoredIn(f, filepath.Base(path))
}

func readStoredIn(f *folder.Folder, name string) (stored, error) {
	content, safe, err := f.Read(name)
	if err != nil {
		return stored{}, fmt.Errorf("hardening: reading the result: %w", err)
	}
	if !safe {
		return stored{}, fmt.Errorf("hardening: reading the result: %s/%s could have been written by others; remove it", f.Path(), name)
	}
	var s stored
	if err := json.Unmarshal(content, &s); err != nil {
		return stored{}, fmt.Errorf("hardening: reading the result: %s/%s: %w; remove it", f.Path(), name, err)
	}
	return s, nil
}

// keep writes the result. If that fails, an older one must not stay either: it may say "verified".
func keep(f *folder.Folder, name string, s stored) error {
	if n := len(s.Changes) - keptLines; n > 0 { // every start reads this file; the backup has them all
		s.Changes = append(s.Changes[:keptLines:keptLines], fmt.Sprintf("and %d more", n))
	}
	content, err := json.MarshalIndent(s, "", "\t")
	if err == nil {
		err = f.Replace(name, append(content, '\n'), 0o644)
	}
	if err == nil {
		return nil
	}
	err = fmt.Errorf("hardening: keeping the result: %w", err)
	if gone := f.Remove(name); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	return err
}
