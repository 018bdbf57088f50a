package hardening

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"keyswitchd/internal/folder"
)

// recover takes back a change that was cut short: what it has changed by then becomes what it was, and what somebody has edited since
// stays. It may be cut short itself.
func (b *backup) recover(dropIn string) error {
	r, err := b.read(pendingFile)
	if err != nil {
		return err
	}
	var changes []Change
	for _, s := range slices.Backward(r.Files) {
		c, err := s.takeBack(dropIn)
		if err != nil {
			return fmt.Errorf("hardening: taking back a change that was cut short: %s: %w", s.Path, err)
		}
		if c != nil {
			changes = append(changes, *c)
		}
	}
	if err := carryOut(changes, dropIn); err != nil {
		return fmt.Errorf("hardening: taking back a change that was cut short: %w", err)
	}
	return b.remove(pendingFile)
}

// sweep removes what a restore left beside the files that was cut short.
func (b *backup) sweep() error {
	current, err := b.read(currentFile)
	if err != nil {
		return err
	}
	for _, s := range current.Files {
		f, err := folder.Open(dirOf(s.Path))
		if err != nil {
			continue // it is somebody else's by now: whoever has to do with the file will say so
		}
		err = f.Sweep(filepath.Base(s.Path))
		f.Close()
		if err != nil {
			return fmt.Errorf("hardening: %w", err)
		}
	}
	return nil
}

// carryOut makes changes that nobody has to verify.
func carryOut(changes []Change, dropIn string) error {
	if len(changes) == 0 {
		return nil
	}
	changes, err := withBarrier(changes, dropIn)
	if err != nil {
		return err
	}
	a, err := apply(changes, dropIn)
	if err != nil {
		return err
	}
	if err := a.untouched(); err != nil {
		return errors.Join(err, a.undo())
	}
	return a.finish()
}

// takeBack is what has to be done to a file; nil is nothing.
func (s saved) takeBack(dropIn string) (*Change, error) {
	f, err := folder.Open(dirOf(s.Path))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	name := filepath.Base(s.Path)
	if err := f.Sweep(name); err != nil {
		return nil, err
	}
	content, a, err := f.ReadAttributes(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // gone, and not by us
	}
	if err != nil {
		return nil, err
	}
	barred := s.Path == dropIn && string(content) == barrier
	if !barred && (sum(content) != s.Left || sum(s.Content) == s.Left && !s.Absent) {
		return nil, nil
	}
	return s.putBack(content, a), nil
}

// putBack replaces what is there by what was.
func (s saved) putBack(there []byte, a folder.Attributes) *Change {
	to := s.attributes()
	return &Change{Path: s.Path, Before: there, After: s.Content, Gone: s.Absent, Why: []string{"put back"}, line: 1, was: a, to: &to}
}
