package hardening

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// recover takes back what an earlier run could not finish.
func (o *Options) recover() error {
	if _, err := os.Lstat(filepath.Join(o.Backup, pendingFile)); o.Standalone || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	b, err := openBackup(o.Backup)
	if err != nil {
		return err
	}
	defer b.close()
	return b.recover()
}

// change makes the changes after a backup. Exactly one of undo and done is to be called, but undo may follow a done that failed.
func (o *Options) change(changes []Change) (undo, done func() error, err error) {
	nothing := func() error { return nil }
	if len(changes) == 0 {
		return nothing, nothing, nil
	}
	if o.Standalone { // a file of one's own, written anew each time: nothing to keep
		a, err := apply(changes)
		if err != nil {
			return nothing, nothing, err
		}
		return a.undo, a.finish, nil
	}
	b, err := openBackup(o.Backup)
	if err != nil {
		return nothing, nothing, err
	}
	if err := b.begin(changes); err != nil {
		b.close()
		return nothing, nothing, err
	}
	a, err := apply(changes)
	if err != nil {
		err = errors.Join(err, b.recover())
		b.close()
		return nothing, nothing, err
	}
	undo = func() error {
		err := errors.Join(a.undo(), b.recover())
		b.close()
		return err
	}
	done = func() error {
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
