package hardening

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
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
	// Extended attributes, with the ACL among them.
	Extended map[string][]byte `json:"extended,omitempty"`
	Left     string            `json:"left,omitempty"` // the SHA-256 of what keyswitchd put in its place
}

func sum(content []byte) string {
	s := sha256.Sum256(content)
	return hex.EncodeToString(s[:])
}

func (c Change) saved() saved {
	return saved{Path: c.Path, Absent: c.Absent, Content: c.Before, Left: sum(c.After)}.with(c.was)
}

func (s saved) with(a folder.Attributes) saved {
	s.Mode, s.UID, s.GID, s.Extended = a.Mode, a.UID, a.GID, a.Extended
	return s
}

// attributes are the file's own, and root's for one that is keyswitchd's.
func (c Change) attributes() folder.Attributes {
	if c.to != nil {
		return *c.to
	}
	if c.Absent || !c.was.Safe {
		return folder.Attributes{Mode: 0o644, UID: os.Geteuid(), GID: os.Getegid()}
	}
	return c.was
}

func (s saved) attributes() folder.Attributes {
	return folder.Attributes{Mode: s.Mode, UID: s.UID, GID: s.GID, Extended: s.Extended}
}

// backup is the open backup folder.
type backup struct{ f *folder.Folder }

// openBackup makes the folder, which only root can read: files of /etc/ssh may be nobody else's to see.
func openBackup(path string) (*backup, error) {
	f, err := folder.Make(path)
	if err == nil {
		if err = errors.Join(f.Chmod(0o700), f.SweepAll()); err != nil {
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
func (b *backup) begin(changes []Change, dropIn string) error {
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
			s = s.former(dropIn)
			s.Left = ""
			first.Files = append(first.Files, s)
		}
	}
	if len(first.Files) > known {
		first.At = now()
		if err := b.write(firstFile, first); err != nil {
			return err
		}
	}
	return b.write(pendingFile, r)
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
		case s.Path == dropIn && sum(s.Content) == s.Left: // it was only the barrier
		case i < 0:
			current.Files = append(current.Files, s.former(dropIn))
		case sum(s.Content) == current.Files[i].Left || s.Path == dropIn:
			current.Files[i].Left = s.Left
		default:
			current.Files[i] = s.former(dropIn)
		}
	}
	current.At = now()
	return errors.Join(b.write(currentFile, current), b.number(r))
}

// former is the file without what keyswitchd had put into it: a drop-in of its own was not there before.
func (s saved) former(dropIn string) saved {
	if s.Path == dropIn && bytes.HasPrefix(s.Content, []byte(generated)) {
		s.Absent, s.Content = true, nil
	}
	s.Content = unmark(s.Content)
	return s
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
	if err := b.write(changeName(next), r); err != nil {
		return err
	}
	for len(numbers) >= keptChanges {
		if err := b.remove(changeName(numbers[0])); err != nil {
			return err
		}
		numbers = numbers[1:]
	}
	return nil
}

func changeName(n int) string { return fmt.Sprintf("%s%06d.json", changeFiles, n) }
