package hardening

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"keyswitchd/internal/folder"
)

// The files of the backup folder. Each is a record, written in one step.
const (
	firstFile   = "first.json"   // every file as it was before keyswitchd first changed it: kept for ever
	currentFile = "current.json" // every file as `keyswitchd restore` puts it back
	pendingFile = "pending.json" // a change that is being made; one that is found was cut short
	changeFiles = "change-"      // the last changes, numbered
	keptChanges = 20
)

// record is a set of files as they were.
type record struct {
	At    time.Time `json:"at"`
	Files []saved   `json:"files"`
	Why   []string  `json:"why,omitempty"`
}

// saved is one file as it was.
type saved struct {
	Path    string      `json:"path"`
	Absent  bool        `json:"absent,omitempty"`
	Content []byte      `json:"content,omitempty"`
	Mode    os.FileMode `json:"mode"`
	UID     int         `json:"uid"`
	GID     int         `json:"gid"`
	Left    string      `json:"left,omitempty"` // the SHA-256 of what keyswitchd put in its place
}

func sum(content []byte) string {
	s := sha256.Sum256(content)
	return hex.EncodeToString(s[:])
}

func (c Change) saved() saved {
	return saved{c.Path, c.Absent, c.Before, c.was.Mode, c.was.UID, c.was.GID, sum(c.After)}
}

// attributes are the file's own, and root's for one that is keyswitchd's.
func (c Change) attributes() folder.Attributes {
	if c.Absent || !c.was.Safe {
		return folder.Attributes{Mode: 0o644, UID: os.Geteuid(), GID: os.Getegid()}
	}
	return c.was
}

func (s saved) attributes() folder.Attributes {
	return folder.Attributes{Mode: s.Mode, UID: s.UID, GID: s.GID}
}

// backup is the open backup folder.
type backup struct{ f *folder.Folder }

// openBackup makes the folder, which only root can read: files of /etc/ssh may be nobody else's to see.
func openBackup(path string) (*backup, error) {
	f, err := folder.Make(path)
	if err == nil {
		if err = os.Chmod(path, 0o700); err != nil {
			f.Close()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("hardening: opening the folder for backups: %w", err)
	}
	return &backup{f}, nil
}

func (b *backup) close() { b.f.Close() }

// read is a record; one that isn't there is an empty one.
func (b *backup) read(name string) (record, error) {
	var r record
	content, safe, err := b.f.Read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err == nil && !safe {
		err = errors.New("others could have written it; remove it")
	}
	if err == nil {
		err = json.Unmarshal(content, &r)
	}
	if err != nil {
		return r, fmt.Errorf("hardening: reading the backup %s/%s: %w", b.f.Path(), name, err)
	}
	return r, nil
}

func (b *backup) write(name string, r record) error {
	content, err := json.MarshalIndent(r, "", "\t")
	if err == nil && len(content) >= folder.Limit {
		err = fmt.Errorf("it would be larger than %d MB", folder.Limit>>20)
	}
	if err == nil {
		err = b.f.Replace(name, append(content, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("hardening: keeping the backup %s/%s: %w", b.f.Path(), name, err)
	}
	return nil
}

func (b *backup) remove(name string) error {
	if err := b.f.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("hardening: %w", err)
	}
	return nil
}

// begin keeps what is going to be changed, before it is.
func (b *backup) begin(changes []Change) error {
	r := record{At: now()}
	for _, c := range changes {
		r.Files = append(r.Files, c.saved())
		r.Why = append(r.Why, c.Why...)
	}
	first, err := b.read(firstFile)
	if err != nil {
		return err
	}
	known := len(first.Files)
	for _, s := range r.Files {
		if !slices.ContainsFunc(first.Files, func(f saved) bool { return f.Path == s.Path }) {
			s.Left = ""
			first.Files = append(first.Files, s)
		}
	}
	if len(first.Files) > known {
		first.At = now()
		if err := errors.Join(b.f.Sweep(firstFile), b.write(firstFile, first)); err != nil {
			return err
		}
	}
	return errors.Join(b.f.Sweep(pendingFile), b.write(pendingFile, r))
}

// end says that the changes hold. A file that somebody has edited since its last change goes back to what they made of it, without
// what keyswitchd had put there. dropIn is keyswitchd's own, so edits of it are nothing to go back to.
func (b *backup) end(dropIn string) error {
	r, err := b.read(pendingFile)
	if err != nil {
		return err
	}
	current, err := b.read(currentFile)
	if err != nil {
		return err
	}
	for _, s := range r.Files {
		i := slices.IndexFunc(current.Files, func(f saved) bool { return f.Path == s.Path })
		switch {
		case i < 0:
			s.Content = unmark(s.Content)
			current.Files = append(current.Files, s)
		case sum(s.Content) == current.Files[i].Left || s.Path == dropIn:
			current.Files[i].Left = s.Left
		default:
			s.Content = unmark(s.Content)
			current.Files[i] = s
		}
	}
	current.At = now()
	return errors.Join(b.f.Sweep(currentFile), b.write(currentFile, current), b.number(r))
}

// number keeps a change under the next number, and the last keptChanges only.
func (b *backup) number(r record) error {
	entries, err := os.ReadDir(b.f.Path())
	if err != nil {
		return fmt.Errorf("hardening: looking at the backups: %w", err)
	}
	var numbers []int
	for _, e := range entries {
		text, ours := strings.CutPrefix(strings.TrimSuffix(e.Name(), ".json"), changeFiles)
		if n, err := strconv.Atoi(text); ours && err == nil {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	next := 1
	if len(numbers) > 0 {
		next = numbers[len(numbers)-1] + 1
	}
	for len(numbers) >= keptChanges {
		if err := b.remove(changeName(numbers[0])); err != nil {
			return err
		}
		numbers = numbers[1:]
	}
	return b.write(changeName(next), r)
}

func changeName(n int) string { return fmt.Sprintf("%s%06d.json", changeFiles, n) }

// recover takes back a change that was cut short: what it has changed by then becomes what it was, and what somebody has edited since
// stays.
func (b *backup) recover() error {
	r, err := b.read(pendingFile)
	if err != nil {
		return err
	}
	for _, s := range r.Files {
		if err := s.takeBack(); err != nil {
			return fmt.Errorf("hardening: taking back a change that was cut short: %s: %w", s.Path, err)
		}
	}
	return b.remove(pendingFile)
}

func (s saved) takeBack() error {
	f, err := folder.Open(dirOf(s.Path))
	if err != nil {
		return err
	}
	defer f.Close()
	name := filepath.Base(s.Path)
	if err := f.Sweep(name); err != nil {
		return err
	}
	content, _, err := f.ReadAttributes(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // gone: not by us
	}
	if err != nil || sum(content) != s.Left {
		return err
	}
	return s.putBack(f, content)
}

// putBack replaces what is there by what was.
func (s saved) putBack(f *folder.Folder, there []byte) error {
	name := filepath.Base(s.Path)
	if s.Absent {
		return f.Remove(name)
	}
	staged, err := f.Stage(name, s.Content, s.attributes(), false)
	if err != nil {
		return err
	}
	return errors.Join(staged.Commit(there), staged.Close())
}
