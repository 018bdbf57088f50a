package hardening

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"keyswitchd/internal/folder"
)

// barrier is what keyswitchd's own file says while more than one file changes. sshd does not start with it, so that nothing ever
// runs by half of a change. Its last line is what sshd -t will print.
const barrier = generated + `: several files are being changed, or that was cut short.
# sshd refuses the next line. Whichever of the two commands it names puts things right; so does a turn of the key.
KeyswitchdWasCutShort--run--keyswitchd-harden--or--keyswitchd-restore yes
`

// applied are changes that are on the disk but can still be taken back without writing.
type applied struct {
	changes []Change // as they were made, the barrier's among them
	folders map[string]*folder.Folder
	staged  []*folder.Staged // one for each of the changes
}

// apply makes the changes, or none of them. First everything that needs room is written beside the files, then the files change
// places with it one by one: a single one in one step, several behind the barrier, which goes up before the first of them and comes
// down, by the drop-in's own change, after the last. So withBarrier must have been through them.
//
// What a change could not keep of its file's attributes is added to its reasons.
func apply(changes []Change, dropIn string) (*applied, error) {
	a := &applied{folders: map[string]*folder.Folder{}}
	if last := len(changes) - 1; last > 0 && changes[last].Path == dropIn && !bytes.Equal(changes[last].Before, []byte(barrier)) {
		up := changes[last]
		up.After, up.Gone, up.Why, up.to = []byte(barrier), false, []string{"sshd is kept from starting with half of a change"}, nil
		a.changes = append(a.changes, up)
		changes[last].Before, changes[last].Absent = []byte(barrier), false
	}
	up := len(a.changes)
	a.changes = append(a.changes, changes...)
	for i := range a.changes {
		c := &a.changes[i]
		lost, err := a.stage(*c)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("hardening: %s:%d: preparing its change: %w", c.Path, c.line, err), a.undo())
		}
		if len(lost) > 0 && i >= up {
			changes[i-up].Why = append(c.Why, fmt.Sprintf("%s: these extended attributes can't be kept here: %s", c.Path, strings.Join(lost, ", ")))
		}
	}
	for i, c := range a.changes {
		if err := a.staged[i].Commit(c.Before); err != nil {
			return nil, errors.Join(fmt.Errorf("hardening: %s:%d: %s: %w", c.Path, c.line, strings.Join(c.Why, "; "), err), a.undo())
		}
	}
	return a, nil
}

func (a *applied) stage(c Change) (lost []string, err error) {
	f := a.folders[dirOf(c.Path)]
	name := filepath.Base(c.Path)
	if f == nil {
		if f, err = folder.Open(dirOf(c.Path)); err != nil {
			return nil, err
		}
		a.folders[dirOf(c.Path)] = f
	}
	if len(a.staged) == 0 || a.changes[0].Path != c.Path { // what the barrier has beside it is no leftover
		if err := f.Sweep(name); err != nil {
			return nil, err
		}
	}
	var s *folder.Staged
	if c.Gone {
		s, err = f.StageRemoval(name)
	} else {
		s, err = f.Stage(name, c.After, c.attributes(), c.Absent)
	}
	if err != nil {
		return nil, err
	}
	a.staged = append(a.staged, s)
	return s.Lost(), nil
}

// untouched says whether somebody has written into one of the former files after it changed places.
func (a *applied) untouched() error {
	for i, s := range a.staged {
		if err := s.Untouched(a.changes[i].Before); err != nil {
			return fmt.Errorf("hardening: %w", err)
		}
	}
	return nil
}

// undo takes everything back, in the reverse order: the barrier goes up first. If one change can't be taken back, those before it
// stay as well, and so does the barrier.
func (a *applied) undo() error {
	for i := len(a.staged) - 1; i >= 0; i-- {
		if err := a.staged[i].Revert(); err != nil {
			a.staged = a.staged[i+1:] // what lies beside the others is the former files: they stay
			return errors.Join(fmt.Errorf("hardening: %w", err), a.finish())
		}
	}
	return a.finish()
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
