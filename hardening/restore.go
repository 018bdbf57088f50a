package hardening

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"keyswitchd/internal/folder"
)

// Hardened reports whether there is something that Restore would put back.
func Hardened(o Options) (bool, error) {
	if o.Backup == "" {
		o.Backup = DefaultBackup
	}
	for _, name := range []string{currentFile, pendingFile} {
		_, err := os.Lstat(filepath.Join(o.Backup, name))
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return true, err
		}
	}
	if o.DropIn == "" {
		o.DropIn = DefaultDropIn
	}
	return ownDropIn(o.DropIn) != nil, nil
}

// Restore puts the files of sshd_config back as they were before keyswitchd changed them, byte for byte, with owner and mode, and
// says what it did, one line each. A file that was edited meanwhile keeps its edits; only what keyswitchd had put there is taken
// out. It may be called again after it was cut short. Only o's paths are looked at.
func Restore(ctx context.Context, o Options) (said []string, err error) {
	o.Policy = DefaultPolicy() // it doesn't matter here
	if err := o.fill(); err != nil {
		return nil, err
	}
	if there, err := Hardened(o); err != nil || !there {
		return nil, err
	}
	kept, err := folder.Make(dirOf(o.ResultFile))
	if err != nil {
		return nil, fmt.Errorf("hardening: opening the result's directory: %w", err)
	}
	defer kept.Close()
	release, err := kept.Lock(ctx, "lock")
	if err != nil {
		return nil, fmt.Errorf("hardening: %w", err)
	}
	defer release()
	b, err := openBackup(o.Backup)
	if err != nil {
		return nil, err
	}
	defer b.close()
	if err := b.recover(o.DropIn); err != nil {
		return nil, err
	}
	// Whatever happens next, the last verification is no longer true.
	if err := kept.Remove(filepath.Base(o.ResultFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("hardening: removing the result: %w", err)
	}
	current, err := b.read(currentFile)
	if err != nil {
		return nil, err
	}
	current = current.withOurs(o)
	undone := record{At: now(), Why: []string{"restored"}}
	var changes []Change
	var errs []error
	// In the reverse order.
	for _, s := range slices.Backward(current.Files) {
		text, c, err := s.restore(o.DropIn)
		if err != nil {
			errs = append(errs, fmt.Errorf("hardening: putting %s back: %w", s.Path, err))
			continue
		}
		said = append(said, s.Path+": "+text)
		if c != nil {
			changes = append(changes, *c)
			undone.Files = append(undone.Files, c.saved())
		}
	}
	// All of them or none: half of the old state is worse than either.
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	// sshd_config last: from then on it may no longer include the drop-in, where the barrier is.
	slices.SortStableFunc(changes, func(a, b Change) int { return o.rank(b) - o.rank(a) })
	if err := carryOut(changes, o.DropIn); err != nil {
		return nil, fmt.Errorf("hardening: putting the files back: %w", err)
	}
	if len(undone.Files) > 0 {
		if err := b.number(undone); err != nil {
			return said, err
		}
	}
	return said, b.remove(currentFile)
}

// withOurs adds what is keyswitchd's and has no record, since somebody has removed the backups, or brought the files here with a backup
// of another day: its own file, and lines that it commented out. The files tell enough.
func (r record) withOurs(o Options) record {
	known := func(path string) bool {
		return slices.ContainsFunc(r.Files, func(s saved) bool { return s.Path == path })
	}
	if !known(o.DropIn) {
		if content := ownDropIn(o.DropIn); content != nil {
			r.Files = append(r.Files, saved{Path: o.DropIn, Absent: true, Left: sum(content)})
		}
	}
	t, err := readTree(o.ConfigFile)
	if err != nil {
		return r // not for us to judge here: what has a record goes back
	}
	for _, f := range t.files {
		path := filepath.Clean(f.path)
		if known(path) || bytes.Equal(unmark(f.content), f.content) {
			continue
		}
		r.Files = append(r.Files, saved{Path: path, Content: f.content})
	}
	return r
}

// ownDropIn is the drop-in's text if keyswitchd has written it, nil if it is not there, somebody else's, or nothing that can be read.
func ownDropIn(dropIn string) []byte {
	f, err := folder.Open(dirOf(dropIn))
	if err != nil {
		return nil
	}
	defer f.Close()
	content, _, err := f.Read(filepath.Base(dropIn))
	if err != nil || !bytes.HasPrefix(content, []byte(generated)) {
		return nil
	}
	return content
}

// restore is what has to be done to put one file back, nil if nothing, and what to say of it.
func (s saved) restore(dropIn string) (string, *Change, error) {
	f, err := folder.Open(dirOf(s.Path))
	if errors.Is(err, fs.ErrNotExist) {
		return "its folder is gone, so it stays away", nil, nil
	}
	if err != nil {
		return "", nil, err
	}
	defer f.Close()
	name := filepath.Base(s.Path)
	if err := f.Sweep(name); err != nil {
		return "", nil, err
	}
	content, a, err := f.ReadAttributes(name)
	if errors.Is(err, fs.ErrNotExist) {
		if s.Absent {
			return "is not there, as before", nil, nil
		}
		return "was removed meanwhile, so it stays away; the backup has it", nil, nil
	}
	if err != nil {
		return "", nil, err
	}
	switch {
	case !s.Absent && bytes.Equal(content, s.Content) && a.Same(s.attributes()):
		return "is as it was", nil, nil
	case sum(content) == s.Left, s.Path == dropIn:
		if s.Absent {
			return "removed: it was not there before", s.putBack(content, a), nil
		}
		return "put back", s.putBack(content, a), nil
	}
	unknown := s.Left == ""
	s = s.with(a)
	s.Content, s.Absent = unmark(content), false
	if bytes.Equal(content, s.Content) {
		return "was edited meanwhile and has nothing of keyswitchd's, so it stays", nil, nil
	}
	if unknown {
		return "has no backup any more: the lines that keyswitchd had commented out are back", s.putBack(content, a), nil
	}
	return "was edited meanwhile: the edits stay, the lines that keyswitchd had commented out are back", s.putBack(content, a), nil
}
