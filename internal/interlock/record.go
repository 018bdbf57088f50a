package interlock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"keyswitchd/internal/folder"
	"keyswitchd/sshctl"
)

// recordFile is the memory of what was there before, in Machine.State.
const recordFile = "armed.json"

// record is what there was before arming. It is written first and removed last, so that whatever is cut short can be
// taken back.
type record struct {
	At      time.Time       `json:"at"`
	Files   []before        `json:"files"`
	Enabled bool            `json:"enabled"` // keyswitchd.service was
	Active  map[string]bool `json:"active"`  // ssh.service, ssh.socket and the further units
	// Hardened says that somebody had run `keyswitchd harden` by hand before.
	Hardened bool `json:"hardened,omitempty"`
}

// before is a file as it was. A file that was not there has a nil Content.
type before struct {
	Path    string      `json:"path"`
	Content []byte      `json:"content"`
	Mode    os.FileMode `json:"mode"`
	NewDir  bool        `json:"new_dir"` // its directory was not there either
}

func (m Machine) readRecord() (record, error) {
	path := filepath.Join(m.State, recordFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return record{}, ErrNotArmed
	}
	if err != nil {
		return record{}, fmt.Errorf("interlock: reading what was there: %w", err)
	}
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return record{}, fmt.Errorf("interlock: reading %s: %w; remove %s/*.d/%s, %s and that file by hand, then systemctl daemon-reload and systemctl disable --now keyswitchd",
			path, err, m.Units, dropIn, m.Rule)
	}
	return r, nil
}

func (m Machine) writeRecord(r record) error {
	data, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(m.State, recordFile), append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("interlock: remembering what was there: %w", err)
	}
	return nil
}

// remember writes down how everything is that old doesn't tell yet: the files that drops will replace, and of SSH and the
// further units named which ones run.
func (m Machine) remember(ctx context.Context, sd Systemd, old record, drops map[string][]byte, named []string) (record, error) {
	r := old
	fresh := r.At.IsZero()
	if fresh {
		r = record{At: time.Now(), Active: map[string]bool{}}
	}
	paths := []string{m.SSHConf}
	for path := range drops {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	for _, path := range paths {
		if slices.ContainsFunc(r.Files, func(b before) bool { return b.Path == path }) {
			continue
		}
		b, err := lookBefore(path)
		if err != nil {
			return r, fmt.Errorf("interlock: looking at %s: %w", path, err)
		}
		r.Files = append(r.Files, b)
	}
	for _, unit := range append([]string{sshctl.Service, sshctl.Socket}, named...) {
		if _, ok := r.Active[unit]; ok {
			continue
		}
		var err error
		if r.Active[unit], err = sd.Active(ctx, unit); err != nil {
			return r, err
		}
	}
	if fresh {
		var err error
		if r.Enabled, err = sd.Enabled(ctx, sshctl.DaemonUnit); err != nil {
			return r, err
		}
		if m.Hardened != nil {
			if r.Hardened, err = m.Hardened(); err != nil {
				return r, err
			}
		}
	}
	return r, m.writeRecord(r)
}

func lookBefore(path string) (before, error) {
	b := before{Path: path}
	dir, err := folder.Open(filepath.Dir(path))
	if errors.Is(err, fs.ErrNotExist) {
		b.NewDir = true
		return b, nil
	}
	if err != nil {
		return b, err
	}
	defer dir.Close()
	if b.Content, b.Mode, err = dir.ReadMode(filepath.Base(path)); errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return b, err
}

// split takes the units that are no longer named out of the record: kept is what stays, gone is for them alone.
func (r record) split(m Machine, drops map[string][]byte, named []string) (kept, gone record) {
	kept, gone = r, record{Active: map[string]bool{}}
	kept.Files, kept.Active = nil, map[string]bool{}
	for _, b := range r.Files {
		if _, ok := drops[b.Path]; ok || b.Path == m.SSHConf {
			kept.Files = append(kept.Files, b)
		} else {
			gone.Files = append(gone.Files, b)
		}
	}
	for unit, active := range r.Active {
		if unit == sshctl.Service || unit == sshctl.Socket || slices.Contains(named, unit) {
			kept.Active[unit] = active
		} else {
			gone.Active[unit] = active
		}
	}
	return kept, gone
}

// settle has those of the further units run that ran before, and no others. They are no longer guarded. Sockets come first:
// one can't start while its service runs.
func (r record) settle(ctx context.Context, sd Systemd) error {
	var units []string
	for unit := range r.Active {
		if unit != sshctl.Service && unit != sshctl.Socket {
			units = append(units, unit)
		}
	}
	slices.SortFunc(units, func(a, b string) int {
		if s, t := strings.HasSuffix(a, ".socket"), strings.HasSuffix(b, ".socket"); s != t {
			if s {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
	var errs []error
	for _, unit := range units {
		u, err := sd.Unit(ctx, unit)
		active := false
		if err == nil && u.Load == "loaded" {
			active, err = sd.Active(ctx, unit)
		}
		switch {
		case err != nil, u.Load != "loaded": // uninstalled meanwhile
		case r.Active[unit] && !active:
			err = sd.Start(ctx, unit)
		case !r.Active[unit] && active:
			err = sd.Stop(ctx, unit)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (b before) putBack() error {
	if b.Content != nil {
		return writeFile(b.Path, b.Content, b.Mode)
	}
	if err := removeFile(b.Path); err != nil {
		return err
	}
	if b.NewDir {
		// Only if nobody else put something there.
		if err := os.Remove(filepath.Dir(b.Path)); err != nil && !errors.Is(err, fs.ErrNotExist) && !isNotEmpty(err) {
			return err
		}
	}
	return nil
}
