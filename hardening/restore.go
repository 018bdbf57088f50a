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
	return false, nil
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
	if err := b.recover(); err != nil {
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
	undone := record{At: now(), Why: []string{"restored"}}
	var errs []error
	// In the reverse order: keyswitchd's own file, which came first, goes last.
	for _, s := range slices.Backward(current.Files) {
		text, was, err := s.restore(o.DropIn)
		if err != nil {
			errs = append(errs, fmt.Errorf("hardening: putting %s back: %w", s.Path, err))
			continue
		}
		said = append(said, s.Path+": "+text)
		if was != nil {
			undone.Files = append(undone.Files, *was)
		}
	}
	if len(undone.Files) > 0 {
		errs = append(errs, b.number(undone))
	}
	if err := errors.Join(errs...); err != nil {
		return said, err
	}
	return said, b.remove(currentFile)
}

// restore puts one file back and returns what was there.
func (s saved) restore(dropIn string) (string, *saved, error) {
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
	was := &saved{Path: s.Path, Content: content, Mode: a.Mode, UID: a.UID, GID: a.GID}
	switch {
	case !s.Absent && bytes.Equal(content, s.Content) && a.Mode == s.Mode && a.UID == s.UID && a.GID == s.GID:
		return "is as it was", nil, nil
	case sum(content) == s.Left, s.Path == dropIn:
		if s.Absent {
			return "removed: it was not there before", was, s.putBack(f, content)
		}
		return "put back", was, s.putBack(f, content)
	}
	s.Content, s.Mode, s.UID, s.GID, s.Absent = unmark(content), a.Mode, a.UID, a.GID, false
	if bytes.Equal(content, s.Content) {
		return "was edited meanwhile and has nothing of keyswitchd's, so it stays", nil, nil
	}
	return "was edited meanwhile: the edits stay, the lines that keyswitchd had commented out are back", was, s.putBack(f, content)
}
