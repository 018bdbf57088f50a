//go:build virtualpi

package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"keyswitchd/internal/status"
	"keyswitchd/test/inside"
)

const (
	// patience is how long a condition may take to come true. Only a row that fails waits for so long.
	patience = 60 * time.Second

	configFile = "/etc/keyswitchd/keyswitchd.toml"
	// baseConfig is the default but for the pull: the simulated chip takes a requested pull for somebody's hand on the key.
	baseConfig = "# test/faults\n[gpio]\npull = \"none\"\n"
	gpioTable  = "[gpio]\npull = \"none\"\n"
)

// site is the virtual Pi as seen from its inside, by the one who breaks it and watches.
type site struct {
	mon     *monitor
	watcher *inside.Watcher
	phone   inside.Telephone
	log     io.Writer
	bare    time.Duration // median of `systemctl stop ssh`

	second bool          // there is a second, opposite contact
	wasOn  bool          // where the key was when the fault struck
	struck time.Duration // the moment at which the fault struck; what makes it may set it

	undo   []func() error
	judged int // knocks looked at so far
}

// later is done when the fault is taken away, the last one first.
func (s *site) later(f func() error) { s.undo = append(s.undo, f) }

func (s *site) undoAll() error {
	var err error
	for len(s.undo) > 0 {
		f := s.undo[len(s.undo)-1]
		s.undo = s.undo[:len(s.undo)-1]
		err = errors.Join(err, f())
	}
	return err
}

// await waits until c returns nil.
func await(what string, c func() error) error {
	for end := time.Now().Add(patience); ; time.Sleep(15 * time.Millisecond) {
		err := c()
		if err == nil {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s: not within %s: %w", what, patience, err)
		}
	}
}

// tryRun runs a program to its end, and returns all it said and its exit code.
func tryRun(args ...string) (out string, code int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.WaitDelay = time.Second // what it left running may hold its output
	both, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode() >= 0:
		return string(both), exit.ExitCode(), nil
	case errors.Is(err, exec.ErrWaitDelay):
		return string(both), 0, nil
	case err != nil:
		return string(both), -1, fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, both)
	}
	return string(both), 0, nil
}

// run runs a program that has to end well.
func run(args ...string) error {
	out, code, err := tryRun(args...)
	if err == nil && code != 0 {
		err = fmt.Errorf("%s: exit code %d: %s", strings.Join(args, " "), code, out)
	}
	return err
}

// systemctl runs it with words separated by blanks.
func systemctl(words string) error {
	return run(append([]string{"systemctl"}, strings.Fields(words)...)...)
}

// refused runs a program that must not end well.
func refused(args ...string) error {
	out, code, err := tryRun(args...)
	if err == nil && code == 0 {
		err = fmt.Errorf("%s: it succeeded: %s", strings.Join(args, " "), out)
	}
	return err
}

// mainPID is the unit's main process; having none is an error.
func mainPID(unit string) (int, error) {
	out, _, err := tryRun("systemctl", "show", "--value", "-p", "MainPID", unit)
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(out))
	if err == nil && pid == 0 {
		err = fmt.Errorf("%s has no process", unit)
	}
	return pid, err
}

// put writes a file; what was there comes back with the undoing.
func (s *site) put(path, content string) error {
	if err := s.keep(path); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(content), 0o644)
}

// keep has a file as it was with the undoing, or gone if it wasn't there.
func (s *site) keep(path string) error {
	before, err := os.ReadFile(path)
	there := err == nil
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	mode := os.FileMode(0o644)
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
	}
	s.later(func() error {
		if there {
			return os.WriteFile(path, before, mode)
		}
		if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
			return err
		}
		return nil
	})
	return nil
}

// hide moves a file away until the undoing.
func (s *site) hide(path string) error {
	if err := os.Rename(path, path+".hidden"); err != nil {
		return err
	}
	s.later(func() error { return os.Rename(path+".hidden", path) })
	return nil
}

// dropIn puts settings on a unit until the undoing.
func (s *site) dropIn(unit, content string) error {
	dir := "/run/systemd/system/" + unit + ".d"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	s.later(func() error {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		return systemctl("daemon-reload")
	})
	if err := os.WriteFile(dir+"/99-fault.conf", []byte(content), 0o644); err != nil {
		return err
	}
	return systemctl("daemon-reload")
}

// ownCopy is keyswitchd, for asking when the other one is gone.
const ownCopy = "/root/keyswitchd"

// told is what `keyswitchd status --json` prints.
func told() (status.Status, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var out, complaint bytes.Buffer
	cmd := exec.CommandContext(ctx, ownCopy, "status", "--json")
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	var s status.Status
	if jsonErr := json.Unmarshal(out.Bytes(), &s); jsonErr != nil {
		return s, errors.Join(fmt.Errorf("keyswitchd status --json: %w: %s%s", jsonErr, &out, &complaint), err)
	}
	if code := cmd.ProcessState.ExitCode(); code != s.Exit() {
		return s, fmt.Errorf("keyswitchd status --json: exit code %d, want %d: %+v", code, s.Exit(), s)
	}
	return s, nil
}

// says waits until status and LED say so; led "" is anything.
func (s *site) says(code, led string) error {
	return await("the status says "+code+" and the LED shows "+led, func() error {
		if led != "" {
			if shown := s.mon.pattern(); shown != led {
				return fmt.Errorf("the LED shows %s", shown)
			}
		}
		st, err := told()
		if err != nil {
			return err
		}
		if st.Code != code {
			return fmt.Errorf("the status is %+v", st)
		}
		if led != "" && st.Running && st.LED != led {
			return fmt.Errorf("the LED shows %s, the status says %s", led, st.LED)
		}
		return nil
	})
}

// isOpen: the key has opened SSH, and everything says so.
func (s *site) isOpen() error {
	if !s.mon.open() {
		return errors.New("nobody listens")
	}
	st, err := s.phone.Ask()
	if err != nil {
		return err
	}
	if st.Key != "on" || !st.Open || st.SSH != "active" || st.LED != "solid" || st.Code != "key-on" || !st.Hardening.Verified || st.Fault {
		return fmt.Errorf("the status is %+v", st)
	}
	return litIs(true)
}

// isClosed: SSH is closed by the key, and everything says so.
func (s *site) isClosed() error {
	if s.mon.open() {
		return errors.New("somebody listens")
	}
	st, err := s.phone.Ask()
	if err != nil {
		return err
	}
	if st.Key != "off" || st.Open || st.SSH != "inactive" || st.LED != "dark" || st.Code != "key-off" || st.Fault {
		return fmt.Errorf("the status is %+v", st)
	}
	return litIs(false)
}

func litIs(want bool) error {
	is, err := inside.Lit()
	if err == nil && is != want {
		err = fmt.Errorf("the LED is lit: %t", is)
	}
	return err
}

// key turns the key, with both of its contacts if it has two: one opens before the other closes.
func (s *site) key(on bool) error {
	if !s.second {
		return inside.SetKey(on)
	}
	if on {
		return errors.Join(inside.SetContact(inside.SecondLine, false), inside.SetContact(inside.KeyLine, true))
	}
	return errors.Join(inside.SetContact(inside.KeyLine, false), inside.SetContact(inside.SecondLine, true))
}

func (s *site) open() error {
	if err := s.key(true); err != nil {
		return err
	}
	return await("open", s.isOpen)
}

func (s *site) shut() error {
	if err := s.key(false); err != nil {
		return err
	}
	return await("closed", s.isClosed)
}

// silentFrom waits until nobody listens, and returns the first such moment from t on.
func (s *site) silentFrom(t time.Duration) (at time.Duration, err error) {
	err = await("nobody listens", func() error {
		var ok bool
		if at, ok = s.mon.closedAt(t); !ok {
			return errors.New("somebody listens")
		}
		return nil
	})
	return at, err
}
