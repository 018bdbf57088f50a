package hardening

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"keyswitchd/internal/folder"
)

// recover takes back what an earlier run could not finish.
func (o *Options) recover() error {
	if _, err := os.Lstat(o.Backup); o.Standalone || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	b, err := openBackup(o.Backup)
	if err != nil {
		return err
	}
	defer b.close()
	if err := b.sweep(); err != nil {
		return err
	}
	if _, err := os.Lstat(filepath.Join(o.Backup, pendingFile)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return b.recover(o.DropIn)
}

// withBarrier puts the changes into the order in which apply makes them, the drop-in's last. If there are several and none is the
// drop-in's, it gets one that changes nothing in the end.
func withBarrier(changes []Change, dropIn string) ([]Change, error) {
	out := slices.DeleteFunc(slices.Clone(changes), func(c Change) bool { return c.Path == dropIn })
	if i := slices.IndexFunc(changes, func(c Change) bool { return c.Path == dropIn }); i >= 0 {
		return append(out, changes[i]), nil
	}
	if len(out) < 2 {
		return out, nil
	}
	f, err := folder.Open(dirOf(dropIn))
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil // somebody took the folder away: sshd would not read a barrier there
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	c := Change{Path: dropIn, line: 1}
	c.Before, c.was, err = f.ReadAttributes(filepath.Base(dropIn))
	c.After = c.Before
	if errors.Is(err, fs.ErrNotExist) {
		c.Absent, c.Gone, err = true, true, nil
	}
	return append(out, c), err
}

// change makes the changes after a backup. Exactly one of undo and done is to be called, but undo may follow a done that failed. What
// a change could not keep is added to its reasons.
func (o *Options) change(plan []Change) (undo, done func() error, err error) {
	nothing := func() error { return nil }
	if len(plan) == 0 {
		return nothing, nothing, nil
	}
	if o.Standalone { // a file of one's own, written anew each time: nothing to keep
		a, err := apply(plan, o.DropIn)
		if err != nil {
			return nothing, nothing, err
		}
		return a.undo, a.finish, nil
	}
	b, err := openBackup(o.Backup)
	if err != nil {
		return nothing, nothing, err
	}
	changes, err := withBarrier(plan, o.DropIn)
	if err == nil {
		err = b.begin(changes, o.DropIn)
	}
	if err != nil {
		b.close()
		return nothing, nothing, err
	}
	a, err := apply(changes, o.DropIn)
	if err != nil {
		err = errors.Join(err, b.recover(o.DropIn))
		b.close()
		return nothing, nothing, err
	}
	for i := range plan {
		if j := slices.IndexFunc(changes, func(c Change) bool { return c.Path == plan[i].Path }); j >= 0 {
			plan[i].Why = changes[j].Why
		}
	}
	undo = func() error {
		err := errors.Join(a.undo(), b.recover(o.DropIn))
		b.close()
		return err
	}
	done = func() error {
		if err := a.untouched(); err != nil {
			return err
		}
		if err := b.end(o.DropIn); err != nil {
			return err
		}
		// What lies beside the files goes first: while the change is pending, somebody sees to it.
		if err := a.finish(); err != nil {
			return err
		}
		if err := b.remove(pendingFile); err != nil {
			return err
		}
		b.close()
		return nil
	}
	return undo, done, nil
}
