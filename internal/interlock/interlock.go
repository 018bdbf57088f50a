// Package interlock arms and disarms this machine: it puts keyswitchd's drop-ins in the way of SSH, or takes them away
// and leaves everything as it was. It never decides whether SSH may run; that is the daemon's work once it is armed.
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
	"time"

	"keyswitchd/internal/folder"
	"keyswitchd/sshctl"
)

// dropIn is the name of the drop-in in each unit's directory; sshctl looks for it (sshctl.DropIn).
const dropIn = "50-keyswitchd.conf"

// recordFile is the memory of what was there before, in Machine.State.
const recordFile = "armed.json"

// Units are what `arm` puts the interlock on. A drop-in for a unit that a release doesn't have waits there, in case an
// upgrade brings it.
var Units = []string{"ssh.service", "ssh.socket", "ssh@.service", "sshd@.service"}

// Machine is the places that arming touches. DefaultMachine is the real one.
type Machine struct {
	Source  string // the drop-ins as installed, UNIT.conf
	Units   string // the administrator's unit files, systemd.unit(5)
	State   string // where the record is kept
	SSHConf string // keyswitchd's drop-in for sshd_config, to be put back by Disarm

	// Hardened and Restore are for what hardening has changed in other files (hardening.Hardened, hardening.Restore); nil is nothing.
	Hardened func() (bool, error)
	Restore  func(ctx context.Context) error
}

// DefaultMachine is this machine.
func DefaultMachine() Machine {
	return Machine{
		Source:  "/usr/lib/keyswitchd/interlock",
		Units:   "/etc/systemd/system",
		State:   "/var/lib/keyswitchd",
		SSHConf: "/etc/ssh/sshd_config.d/00-keyswitchd.conf",
	}
}

// Systemd is what arming needs of systemd. It is implemented by Bus.
type Systemd interface {
	Reload(ctx context.Context) error
	Enabled(ctx context.Context, unit string) (bool, error)
	Enable(ctx context.Context, unit string) error
	Disable(ctx context.Context, unit string) error
	Active(ctx context.Context, unit string) (bool, error)
	// Restart, Start and Stop wait for the job and return an error unless it ended well.
	Restart(ctx context.Context, unit string) error
	Start(ctx context.Context, unit string) error
	Stop(ctx context.Context, unit string) error
}

// record is what there was before arming. It is written first and removed last, so that whatever is cut short can be
// taken back.
type record struct {
	At      time.Time       `json:"at"`
	Files   []before        `json:"files"`
	Enabled bool            `json:"enabled"` // keyswitchd.service was
	Active  map[string]bool `json:"active"`  // ssh.service and ssh.socket
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

// Armed reports whether the machine is armed, or was being armed when something cut it short.
func (m Machine) Armed() (bool, error) {
	_, err := os.Lstat(filepath.Join(m.State, recordFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Arm puts the interlock in place, has harden prove the configuration, and starts and enables the daemon. If anything
// fails, everything is put back. Arming an armed machine brings its drop-ins up to date.
func (m Machine) Arm(ctx context.Context, sd Systemd, harden func(context.Context) error) (err error) {
	again, err := m.Armed()
	if err != nil {
		return fmt.Errorf("interlock: looking whether the machine is armed: %w", err)
	}
	drops, err := m.drops()
	if err != nil {
		return err
	}
	if !again {
		if err := m.remember(ctx, sd, drops); err != nil {
			return err
		}
		defer func() {
			if err != nil {
				// Its own time: the caller's may have run out, which is perhaps why we are here.
				back, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
				defer cancel()
				if undo := m.disarm(back, sd, false); undo != nil {
					err = errors.Join(err, fmt.Errorf("interlock: and putting everything back: %w; `keyswitchd disarm` tries it again", undo))
				}
			}
		}()
	}
	if err := harden(ctx); err != nil {
		return err
	}
	for path, content := range drops {
		if err := writeFile(path, content, 0o644); err != nil {
			return fmt.Errorf("interlock: writing %s: %w", path, err)
		}
	}
	if err := sd.Reload(ctx); err != nil {
		return err
	}
	if err := sd.Enable(ctx, sshctl.DaemonUnit); err != nil {
		return err
	}
	// The order matters to somebody who arms over SSH with the key off: nothing is left to do when this cuts them off.
	return sd.Restart(ctx, sshctl.DaemonUnit)
}

// drops reads the drop-ins as installed: where each goes, and its content.
func (m Machine) drops() (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, unit := range Units {
		name := unit
		if unit == "sshd@.service" {
			name = "ssh@.service" // one template under two names, by release
		}
		content, err := os.ReadFile(filepath.Join(m.Source, name+".conf"))
		if err != nil {
			return nil, fmt.Errorf("interlock: reading the drop-in for %s: %w; install keyswitchd again", unit, err)
		}
		out[filepath.Join(m.Units, unit+".d", dropIn)] = content
	}
	return out, nil
}

// remember writes the record.
func (m Machine) remember(ctx context.Context, sd Systemd, drops map[string][]byte) error {
	r := record{At: time.Now(), Active: map[string]bool{}}
	paths := []string{m.SSHConf}
	for path := range drops {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	for _, path := range paths {
		b := before{Path: path}
		dir, err := folder.Open(filepath.Dir(path))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			b.NewDir = true
		case err != nil:
			return fmt.Errorf("interlock: looking at %s: %w", path, err)
		default:
			b.Content, b.Mode, err = dir.ReadMode(filepath.Base(path))
			dir.Close()
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("interlock: looking at %s: %w", path, err)
			}
		}
		r.Files = append(r.Files, b)
	}
	var err error
	if r.Enabled, err = sd.Enabled(ctx, sshctl.DaemonUnit); err != nil {
		return err
	}
	for _, unit := range []string{sshctl.Service, sshctl.Socket} {
		if r.Active[unit], err = sd.Active(ctx, unit); err != nil {
			return err
		}
	}
	if m.Hardened != nil {
		if r.Hardened, err = m.Hardened(); err != nil {
			return err
		}
	}
	data, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(m.State, recordFile), append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("interlock: remembering what was there: %w", err)
	}
	return nil
}

// Disarm puts everything back as it was before Arm: the files byte for byte, the daemon stopped and not enabled, SSH
// running if it ran. It may be called again after it was cut short. ErrNotArmed if there is nothing to put back.
func (m Machine) Disarm(ctx context.Context, sd Systemd) error { return m.disarm(ctx, sd, true) }

// disarm puts back what was hardened, but, unless all is set, not if that was done by hand before Arm.
func (m Machine) disarm(ctx context.Context, sd Systemd, all bool) error {
	data, err := os.ReadFile(filepath.Join(m.State, recordFile))
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNotArmed
	}
	if err != nil {
		return fmt.Errorf("interlock: reading what was there: %w", err)
	}
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return fmt.Errorf("interlock: reading %s: %w; remove %s/*.d/%s and that file by hand, then systemctl daemon-reload and systemctl disable --now keyswitchd",
			filepath.Join(m.State, recordFile), err, m.Units, dropIn)
	}
	var errs []error
	for _, b := range r.Files {
		if err := b.putBack(); err != nil {
			errs = append(errs, fmt.Errorf("interlock: putting back %s: %w", b.Path, err))
		}
	}
	if m.Restore != nil && (all || !r.Hardened) {
		errs = append(errs, m.Restore(ctx))
	}
	errs = append(errs, sd.Reload(ctx))
	if !r.Enabled {
		errs = append(errs, sd.Disable(ctx, sshctl.DaemonUnit))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	// From here the interlock is gone, so that stopping the daemon leaves SSH alone.
	if err := sd.Stop(ctx, sshctl.DaemonUnit); err != nil {
		return err
	}
	for _, unit := range []string{sshctl.Socket, sshctl.Service} {
		active, err := sd.Active(ctx, unit)
		switch {
		case err != nil:
		case r.Active[unit]:
			err = sd.Restart(ctx, unit) // also if it runs: it has the hardened configuration still
		case active:
			err = sd.Stop(ctx, unit)
		}
		if err != nil {
			return err
		}
	}
	return removeFile(filepath.Join(m.State, recordFile))
}

// ErrNotArmed says that Disarm has nothing to put back.
var ErrNotArmed = errors.New("interlock: this machine is not armed")

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
