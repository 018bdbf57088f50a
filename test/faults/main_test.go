//go:build virtualpi

package faults

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"

	"keyswitchd/test/inside"
)

// What the test binary is told when it runs inside a virtual Pi, as the one who breaks it.
const (
	machineVar = "FAULTS_MACHINE" // the number of the machine in machines
	rowsVar    = "FAULTS_ROWS"    // a regular expression
)

func TestMain(m *testing.M) {
	inside.Role()
	if number := os.Getenv(machineVar); number != "" {
		if err := breakMachine(number, os.Getenv(rowsVar), os.Stdout, os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if os.Getenv(upgradeVar) != "" {
		if err := upgrade(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if what := os.Getenv(writingVar); what != "" {
		if err := write(what, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// report is what comes out of a machine, a line of JSON each.
type report struct {
	Row   *row   `json:",omitempty"`
	Reach *reach `json:",omitempty"`
}

// reach are the figures of one machine, beside a bare `systemctl stop ssh` of the same.
type reach struct {
	Bare, KeyOff, Killed []time.Duration
}

// breakMachine goes through one machine's faults.
func breakMachine(number, rows string, out, log io.Writer) (err error) {
	if os.Getenv("VIRTUALPI") == "" {
		return errors.New("faults: this breaks the machine it runs on; it is for the virtual Pi")
	}
	n, err := strconv.Atoi(number)
	if err != nil || n < 0 || n >= len(machines) {
		return fmt.Errorf("faults: no such machine: %q", number)
	}
	which, err := regexp.Compile(rows)
	if err != nil {
		return fmt.Errorf("faults: choosing rows: %w", err)
	}
	s := &site{mon: startMonitor(), log: log}
	defer s.mon.stop()
	if s.watcher, err = inside.StartWatcher(20 * time.Millisecond); err != nil {
		return err
	}
	defer func() {
		_, stopErr := s.watcher.Stop()
		err = errors.Join(err, stopErr)
	}()
	if err := run("cp", "/usr/sbin/keyswitchd", ownCopy); err != nil {
		return err
	}
	tell := json.NewEncoder(out)
	bare, err := s.bareStops(6)
	if err != nil {
		return err
	}
	s.bare = median(bare)
	s.mon.slow(s.bare)
	if err := s.put(configFile, baseConfig); err != nil {
		return err
	}
	s.undo = nil // for good
	if err := s.key(false); err != nil {
		return err
	}
	if err := run("/usr/sbin/keyswitchd", "arm", "--yes", "--even-if-locked-out"); err != nil {
		return err
	}
	if err := s.shut(); err != nil {
		return err
	}
	r := reach{Bare: bare}
	if n == 0 && which.MatchString("reach") {
		if err := s.reach(&r); err != nil {
			return err
		}
	}
	if err := tell.Encode(report{Reach: &r}); err != nil {
		return err
	}
	for _, section := range machines[n] {
		if !chosen(which, section) {
			continue
		}
		if err := s.section(section, which, func(r row) error { return tell.Encode(report{Row: &r}) }); err != nil {
			return err
		}
	}
	return nil
}

// section goes through the faults under one heading.
func (s *site) section(section section, which *regexp.Regexp, tell func(row) error) error {
	if section.Before != nil {
		if err := s.shut(); err != nil {
			return err
		}
		if err := section.Before(s); err != nil {
			return fmt.Errorf("faults: preparing %q: %w", section.Title, err)
		}
	}
	after := s.undo
	s.undo = nil
	for _, f := range section.Faults {
		if which.MatchString(f.Name) {
			if err := tell(s.row(section.Title, f)); err != nil {
				return err
			}
		}
	}
	if section.Before == nil {
		return nil
	}
	if err := s.shut(); err != nil {
		return err
	}
	s.undo = after
	return s.undoAll()
}

// bareStops measures `systemctl stop ssh` as Debian installs it, with everything watching as it does later.
func (s *site) bareStops(n int) ([]time.Duration, error) {
	var took []time.Duration
	for range n {
		if err := systemctl("start ssh.service"); err != nil {
			return nil, err
		}
		time.Sleep(settling)
		begun := inside.Clock()
		if err := systemctl("stop ssh.service"); err != nil {
			return nil, err
		}
		at, err := s.silentFrom(begun)
		if err != nil {
			return nil, err
		}
		took = append(took, at-begun)
		// Debian allows five starts in ten seconds.
		if err := systemctl("reset-failed ssh.service"); err != nil {
			return nil, err
		}
	}
	return took, nil
}

// reach measures the key turned off, and the daemon killed, with nothing else wrong.
func (s *site) reach(r *reach) error {
	for range 10 {
		if err := s.open(); err != nil {
			return err
		}
		time.Sleep(settling)
		begun := inside.Clock()
		if err := s.key(false); err != nil {
			return err
		}
		at, err := s.silentFrom(begun)
		if err != nil {
			return err
		}
		r.KeyOff = append(r.KeyOff, at-begun)
		if err := await("closed", s.isClosed); err != nil {
			return err
		}
	}
	for range 5 {
		if err := s.open(); err != nil {
			return err
		}
		pid, err := mainPID(daemonUnit)
		if err != nil {
			return err
		}
		time.Sleep(settling)
		begun := inside.Clock()
		if err := kill(pid); err != nil {
			return err
		}
		at, err := s.silentFrom(begun)
		if err != nil {
			return err
		}
		r.Killed = append(r.Killed, at-begun)
	}
	return await("open again", s.isOpen)
}
