// Package interlock arms and disarms this machine: it puts keyswitchd's drop-ins in the way of SSH, or takes them away
// and leaves everything as it was. It never decides whether SSH may run; that is the daemon's work once it is armed.
package interlock

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"keyswitchd/sshctl"
)

// dropIn is the name of the drop-in in each unit's directory; sshctl looks for it (sshctl.DropIn).
const dropIn = "50-keyswitchd.conf"

// Units are what `arm` puts the interlock on. A drop-in for a unit that a release doesn't have waits there, in case an
// upgrade brings it.
var Units = []string{"ssh.service", "ssh.socket", "ssh@.service", "sshd@.service"}

// Machine is the places that arming touches. DefaultMachine is the real one.
type Machine struct {
	Source  string // the drop-ins as installed, UNIT.conf
	Units   string // the administrator's unit files, systemd.unit(5)
	State   string // where the record is kept
	SSHConf string // keyswitchd's drop-in for sshd_config, to be put back by Disarm
	Rule    string // the rule of polkit for the further units
	Root    string // where the unit files of the user managers are looked for; "/"

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
		Rule:    sshctl.OthersPolkitRule,
		Root:    "/",
	}
}

// Systemd is what arming needs of systemd. It is implemented by Bus.
type Systemd interface {
	Reload(ctx context.Context) error
	Enabled(ctx context.Context, unit string) (bool, error)
	Enable(ctx context.Context, unit string) error
	Disable(ctx context.Context, unit string) error
	Active(ctx context.Context, unit string) (bool, error)
	// Unit says what there is to know of a unit. One that doesn't exist has Load "not-found".
	Unit(ctx context.Context, name string) (Unit, error)
	// Restart, Start and Stop wait for the job and return an error unless it ended well.
	Restart(ctx context.Context, unit string) error
	Start(ctx context.Context, unit string) error
	Stop(ctx context.Context, unit string) error
}

// Armed reports whether the machine is armed, or was being armed when something cut it short.
func (m Machine) Armed() (bool, error) {
	_, err := os.Lstat(filepath.Join(m.State, recordFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Arm puts the interlock in place, on SSH and on the further units, has harden prove the configuration, and starts and enables
// the daemon. If anything fails, everything is put back. Arming an armed machine brings its drop-ins up to date; a further unit
// that is no longer named is put back as it was before.
func (m Machine) Arm(ctx context.Context, sd Systemd, units []string, harden func(context.Context) error) (err error) {
	again, err := m.Armed()
	if err != nil {
		return fmt.Errorf("interlock: looking whether the machine is armed: %w", err)
	}
	guards, named, err := m.plan(ctx, sd, units)
	if err != nil {
		return err
	}
	drops, err := m.drops(guards)
	if err != nil {
		return err
	}
	var r record
	if again {
		if r, err = m.readRecord(); err != nil {
			return err
		}
	}
	if r, err = m.remember(ctx, sd, r, drops, named); err != nil {
		return err
	}
	if !again {
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
	if err := m.writeRule(named); err != nil {
		return err
	}
	kept, gone := r.split(m, drops, named)
	for _, b := range gone.Files {
		if err := b.putBack(); err != nil {
			return fmt.Errorf("interlock: putting back %s: %w", b.Path, err)
		}
	}
	if err := sd.Reload(ctx); err != nil {
		return err
	}
	if err := sd.Enable(ctx, sshctl.DaemonUnit); err != nil {
		return err
	}
	if err := gone.settle(ctx, sd); err != nil {
		return err
	}
	if len(gone.Files) > 0 {
		if err := m.writeRecord(kept); err != nil {
			return err
		}
	}
	// The order matters to somebody who arms over SSH with the key off: nothing is left to do when this cuts them off.
	return sd.Restart(ctx, sshctl.DaemonUnit)
}

// drops reads the drop-ins as installed: where each goes, and its content.
func (m Machine) drops(guards []guard) (map[string][]byte, error) {
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
		out[m.place(unit)] = content
	}
	for _, g := range guards {
		out[m.place(g.unit)] = g.content
	}
	return out, nil
}

// place is where the drop-in of a unit goes.
func (m Machine) place(unit string) string { return filepath.Join(m.Units, unit+".d", dropIn) }

// Disarm puts everything back as it was before Arm: the files byte for byte, the daemon stopped and not enabled, SSH
// running if it ran. It may be called again after it was cut short. ErrNotArmed if there is nothing to put back.
func (m Machine) Disarm(ctx context.Context, sd Systemd) error { return m.disarm(ctx, sd, true) }

// disarm puts back what was hardened, but, unless all is set, not if that was done by hand before Arm.
func (m Machine) disarm(ctx context.Context, sd Systemd, all bool) error {
	r, err := m.readRecord()
	if err != nil {
		return err
	}
	var errs []error
	for _, b := range r.Files {
		if err := b.putBack(); err != nil {
			errs = append(errs, fmt.Errorf("interlock: putting back %s: %w", b.Path, err))
		}
	}
	errs = append(errs, m.removeRule())
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
	// One of the further units that doesn't start any more must not keep the machine half armed.
	return errors.Join(r.settle(ctx, sd), removeFile(filepath.Join(m.State, recordFile)))
}

// ErrNotArmed says that Disarm has nothing to put back.
var ErrNotArmed = errors.New("interlock: this machine is not armed")
