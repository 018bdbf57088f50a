package hardening

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"keyswitchd/internal/folder"
)

// applied are changes that are on the disk but can still be taken back without writing.
type applied struct {
	folders []*folder.Folder
	staged  []*folder.Staged
}

// apply makes the changes, or none of them. First everything that needs room is written beside the files, then the files change
// places with it one by one.
func apply(changes []Change) (*applied, error) {
	a := new(applied)
	for _, c := range changes {
		if err := a.stage(c); err != nil {
			return nil, errors.Join(fmt.Errorf("hardening: %s:%d: preparing its change: %w", c.Path, c.line, err), a.undo())
		}
	}
	for i, c := range changes {
		if err := a.staged[i].Commit(c.Before); err != nil {
			return nil, errors.Join(fmt.Errorf("hardening: %s:%d: %s: %w", c.Path, c.line, strings.Join(c.Why, "; "), err), a.undo())
		}
	}
	return a, nil
}

func (a *applied) stage(c Change) error {
	f, err := folder.Open(dirOf(c.Path))
	if err != nil {
		return err
	}
	a.folders = append(a.folders, f)
	name := filepath.Base(c.Path)
	if err := f.Sweep(name); err != nil {
		return err
	}
	s, err := f.Stage(name, c.After, c.attributes(), c.Absent)
	if err != nil {
		return err
	}
	a.staged = append(a.staged, s)
	return nil
}

// undo takes everything back.
func (a *applied) undo() error {
	var errs []error
	for i := len(a.staged) - 1; i >= 0; i-- {
		if err := a.staged[i].Revert(); err != nil {
			errs = append(errs, fmt.Errorf("hardening: %w", err))
			a.staged = append(a.staged[:i], a.staged[i+1:]...) // what lies beside is the former file: it stays
		}
	}
	return errors.Join(append(errs, a.finish())...)
}

// finish removes what is left of the former state.
func (a *applied) finish() error {
	var errs []error
	for _, s := range a.staged {
		errs = append(errs, s.Close())
	}
	for _, f := range a.folders {
		f.Close()
	}
	a.staged, a.folders = nil, nil
	return errors.Join(errs...)
}
