//go:build virtualpi

package faults

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"keyswitchd/test/inside"
)

// settling is how long the machine is watched after a fault that should do nothing.
const settling = 400 * time.Millisecond

// row has one thing go wrong and sees what happens.
func (s *site) row(title string, f fault) row {
	r := row{Section: title, Name: f.Name, Recovers: f.Recover, Bare: s.bare, Watchdog: f.Watchdog}
	begun := inside.Clock()
	journal := strings.TrimPrefix(firstLine("journalctl", "-q", "-n", "0", "--show-cursor"), "-- cursor: ")
	err := s.strike(f, &r)
	if undoErr := s.undoAll(); undoErr != nil {
		err = errors.Join(err, fmt.Errorf("taking the fault away: %w", undoErr))
	}
	if restErr := s.rest(); restErr != nil {
		err = errors.Join(err, restErr)
	}
	for _, k := range s.watcher.Knocks()[s.judged:] {
		if k.Forbidden {
			err = errors.Join(err, fmt.Errorf("a connection was granted with no permit and nothing of ssh.service running"))
		}
	}
	s.judged = len(s.watcher.Knocks())
	for _, lie := range s.mon.newLies() {
		err = errors.Join(err, errors.New(lie))
	}
	if err != nil {
		r.Err = err.Error()
		out, _, _ := tryRun("journalctl", "--no-pager", "-o", "short-monotonic", "--after-cursor="+journal)
		fmt.Fprintf(s.log, "%s: %v\nthe journal:\n%s\n", f.Name, err, tail(out, 60))
	}
	r.Took = inside.Clock() - begun
	return r
}

func firstLine(args ...string) string {
	out, _ := exec.Command(args[0], args[1:]...).Output()
	line, _, _ := strings.Cut(string(out), "\n")
	return line
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

func (s *site) strike(f fault, r *row) error {
	if f.On {
		if err := s.open(); err != nil {
			return fmt.Errorf("before the fault: %w", err)
		}
	} else if err := s.shut(); err != nil {
		return fmt.Errorf("before the fault: %w", err)
	}
	s.mon.newLies()
	s.wasOn = f.On
	s.struck = inside.Clock()
	if err := f.Do(s); err != nil {
		return fmt.Errorf("making it go wrong: %w", err)
	}
	struck := s.struck
	var err error
	switch f.Effect {
	case stays:
		err = s.staysOpen(f, r, struck)
	case closes:
		err = s.closes(f, r, struck)
	case reopens:
		err = s.reopens(f, r, struck)
	case never:
		err = s.never(f, r, struck)
	default:
		err = fmt.Errorf("no such effect: %q", f.Effect)
	}
	return err
}

// said adds what status and LED are claimed to say, once that was seen.
func (r *row) said(code, led string) {
	if led == "" {
		led = "not to be seen"
	}
	if r.Said != "" {
		r.Said += "; then "
	}
	r.Said += led + ", `" + code + "`"
}

func (r *row) happened(what ...string) {
	for _, w := range what {
		if w != "" {
			if r.Happened != "" {
				r.Happened += "; "
			}
			r.Happened += w
		}
	}
}

func (s *site) staysOpen(f fault, r *row, struck time.Duration) error {
	time.Sleep(settling)
	if at, ok := s.mon.closedAt(struck); ok {
		return fmt.Errorf("it closed %s after the fault, and should have stayed open", at-struck)
	}
	if err := s.says(f.Code, f.LED); err != nil {
		return err
	}
	r.said(f.Code, f.LED)
	if at, ok := s.mon.closedAt(struck); ok {
		return fmt.Errorf("it closed %s after the fault, and should have stayed open", at-struck)
	}
	r.happened("SSH stays open; the key turned off closes it", f.Note)
	if err := s.keyOff(f, r, true); err != nil {
		return err
	}
	return s.over(f, r)
}

func (s *site) closes(f fault, r *row, struck time.Duration) error {
	at, err := s.silentFrom(struck)
	if err != nil {
		return err
	}
	r.Closed, r.FromKey = at-struck, f.Off && f.Watchdog == 0
	if err := s.says(f.Code, f.LED); err != nil {
		return err
	}
	r.said(f.Code, f.LED)
	r.happened("SSH closes", f.Note)
	if f.Again != "" {
		if err := s.again(f, r, at); err != nil {
			return err
		}
	} else if err := s.stayedShut(at); err != nil {
		return err
	}
	if err := s.undoAll(); err != nil {
		return fmt.Errorf("taking the fault away: %w", err)
	}
	return s.recover(f, r)
}

func (s *site) reopens(f fault, r *row, struck time.Duration) error {
	at, err := s.silentFrom(struck)
	if err != nil {
		return err
	}
	r.Closed = at - struck
	if err := await("open again by itself", func() error {
		if !s.mon.open() {
			return errors.New("nobody listens")
		}
		return nil
	}); err != nil {
		return err
	}
	if err := s.says(f.Code, f.LED); err != nil {
		return err
	}
	if r.said(f.Code, f.LED); f.LED != "" {
		r.Said = "dark, then " + r.Said
	}
	r.happened("SSH closes, and opens again by itself, as the key is on", f.Note)
	if err := s.keyOff(f, r, false); err != nil {
		return err
	}
	return s.over(f, r)
}

func (s *site) never(f fault, r *row, struck time.Duration) error {
	time.Sleep(settling)
	if err := s.says(f.Code, f.LED); err != nil {
		return err
	}
	r.said(f.Code, f.LED)
	r.happened("SSH stays closed", f.Note)
	if f.Again != "" {
		if err := s.again(f, r, struck); err != nil {
			return err
		}
	} else if err := s.stayedShut(struck); err != nil {
		return err
	}
	return s.over(f, r)
}

// keyOff turns the key off while the fault lasts.
func (s *site) keyOff(f fault, r *row, measured bool) error {
	turned := inside.Clock()
	if err := s.key(false); err != nil {
		return err
	}
	at, err := s.silentFrom(turned)
	if err != nil {
		return fmt.Errorf("the key turned off with the fault in place: %w", err)
	}
	if measured {
		r.Closed, r.FromKey = at-turned, true
	}
	code, led := f.OffCode, "dark"
	if code == "" {
		code = "key-off"
	} else {
		r.said(code, led)
	}
	if f.LED == "" {
		led = ""
	}
	if err := s.says(code, led); err != nil {
		return fmt.Errorf("the key turned off with the fault in place: %w", err)
	}
	if f.Again != "" {
		return s.again(f, r, at)
	}
	return s.stayedShut(at)
}

// again turns the key on with the fault in place. closed is since when it has been closed.
func (s *site) again(f fault, r *row, closed time.Duration) error {
	if f.Again == "opens" {
		if err := s.stayedShut(closed); err != nil {
			return err
		}
		r.happened("the next turn opens it")
		if err := s.key(true); err != nil {
			return err
		}
		if err := await("opens with the fault in place", func() error {
			if !s.mon.open() {
				return errors.New("nobody listens")
			}
			return nil
		}); err != nil {
			return err
		}
		turned := inside.Clock()
		if err := s.key(false); err != nil {
			return err
		}
		at, err := s.silentFrom(turned)
		if err != nil {
			return err
		}
		return s.stayedShut(at)
	}
	code, led, _ := strings.Cut(f.Again, " ")
	if err := s.key(true); err != nil {
		return err
	}
	if err := s.says(code, led); err != nil {
		return fmt.Errorf("the key turned on with the fault in place: %w", err)
	}
	r.happened("turned on, it stays closed")
	r.said(code, led)
	if err := s.key(false); err != nil {
		return err
	}
	return s.stayedShut(closed)
}

// stayedShut sees that from a moment on until now nobody listened, and no connection was granted.
func (s *site) stayedShut(from time.Duration) error {
	to := inside.Clock()
	if s.mon.openedBetween(from, to) {
		return fmt.Errorf("somebody listened within the %s in which SSH was said to be closed", to-from)
	}
	if err := s.watcher.Alive(); err != nil {
		return err
	}
	knocks := s.watcher.Knocks()
	for _, k := range knocks[s.judged:] {
		if k.Begin >= from && k.End <= to {
			return fmt.Errorf("a connection was granted %s after SSH was said to be closed", k.Begin-from)
		}
	}
	return nil
}

// over takes the fault away after the key was turned off, and sees that the next turn works.
func (s *site) over(f fault, r *row) error {
	if err := s.undoAll(); err != nil {
		return fmt.Errorf("taking the fault away: %w", err)
	}
	if f.Recover != "" {
		return s.recover(f, r)
	}
	r.Recovers = "nothing to do: the next turn opens"
	return s.open()
}

// recover does what the table says, and sees that SSH opens.
func (s *site) recover(f fault, r *row) error {
	switch f.Recover {
	case "":
		r.Recovers = "nothing to do: the next turn opens"
		if !f.Off {
			return errors.New("no way to recover is given")
		}
		return s.open()
	case byItself:
		r.Recovers = "by itself, once the cause is gone"
		return await("open again by itself", s.isOpen)
	case byTurn:
		if err := s.shut(); err != nil {
			return err
		}
		return s.open()
	default:
		r.Recovers = "`" + f.Recover + "`"
		if err := run(strings.Fields(f.Recover)...); err != nil {
			return err
		}
		return s.open()
	}
}

// rest leaves the machine sound for the next row, whatever happened in this one.
func (s *site) rest() error {
	if s.isOpen() == nil || s.isClosed() == nil {
		return nil
	}
	if err := s.key(false); err != nil {
		return err
	}
	return await("the machine comes to rest", func() error {
		err := s.isClosed()
		if err == nil {
			return nil
		}
		for _, words := range []string{"reset-failed", "start dbus.socket dbus.service", "restart keyswitchd.service"} {
			if err := systemctl(words); err != nil {
				return err
			}
		}
		time.Sleep(time.Second)
		return s.isClosed()
	})
}
