// Package config reads keyswitchd.toml. It is strict: an unknown key, a value of the wrong kind or a
// combination that cannot work is an error with its file and line, and nothing of the file is used.
// It has two types: what the file says (unexported, raw) and Config, which holds only what was checked.
package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	_ "embed"

	"keyswitchd/gpio"
	"keyswitchd/hardening"
)

// DefaultPath is where keyswitchd looks unless --config names another file.
const DefaultPath = "/etc/keyswitchd/keyswitchd.toml"

// maxFileSize bounds what is read, in bytes. The commented reference file is about 8 KiB.
const maxFileSize = 1 << 20

// Reference is the documented default configuration: every key with its default. `make install` puts it
// at DefaultPath, and the tests parse it, so that it can't drift from the code.
//
//go:embed reference.toml
var Reference []byte

// Config is a checked configuration.
type Config struct {
	// RequireTurn keeps SSH closed after the daemon starts until the key has been seen off once
	// (on-boot = "require-turn").
	RequireTurn bool
	// MaxOn closes SSH after this long with the key on, until the key has been turned off and on
	// again. 0 is no limit.
	MaxOn time.Duration
	// EndSessions ends the logged-in SSH sessions when SSH is closed (sessions = "end").
	EndSessions bool
	// Grace is how long logged-in people may stay after SSH was closed, with EndSessions; 0 to 10 minutes.
	Grace time.Duration
	// Units are further units that the same key guards, each NAME.service or NAME.socket; none is ssh's own.
	Units []string

	Key    gpio.KeyConfig
	LED    gpio.LEDConfig
	Policy hardening.Policy

	// KeyAt, SecondAt and LEDAt say where the lines were named, as "FILE:LINE", for errors that only show when
	// the line is opened.
	KeyAt, SecondAt, LEDAt string
}

// Error is one thing wrong with the file. Line and Column count from 1; 0 is "the file as a whole".
type Error struct {
	File         string
	Line, Column int
	Key          string // dotted, as in gpio.debounce-on; may be empty
	Msg          string // what is wrong and what would be right
}

func (e *Error) Error() string {
	where := e.File
	if e.Line > 0 {
		where = fmt.Sprintf("%s:%d", e.File, e.Line)
	}
	if e.Key != "" {
		return fmt.Sprintf("config: %s: %s: %s", where, e.Key, e.Msg)
	}
	return fmt.Sprintf("config: %s: %s", where, e.Msg)
}

// Load reads and checks the file at path. The file decides who may log in, so it is refused when
// somebody besides its owner could have written it, and when the owner is neither root nor the caller.
// Errors are *Error values, joined.
func Load(path string) (Config, error) {
	data, err := read(path)
	if err != nil {
		return Config{}, &Error{File: path, Msg: err.Error()}
	}
	return Parse(path, data)
}

// LoadIfPresent is Load, but a file that isn't there gives the defaults.
func LoadIfPresent(path string) (Config, error) {
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
		return Parse("built-in defaults", Reference)
	}
	return Load(path)
}

func read(path string) ([]byte, error) {
	// O_NONBLOCK: a FIFO in the file's place must not hang the start of sshd.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, errors.New("there is no such file; write one with `keyswitchd config --reference`, or name another with --config")
	}
	if err != nil {
		return nil, fmt.Errorf("opening it: %w", errors.Unwrap(err))
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("it is %s, not a regular file", kindOf(info.Mode()))
	}
	st := info.Sys().(*syscall.Stat_t)
	if st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return nil, fmt.Errorf("it belongs to user id %d, who could change who may log in; `chown root %s`", st.Uid, path)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return nil, fmt.Errorf("its mode %04o lets others write it, and so change who may log in; `chmod go-w %s`", info.Mode().Perm(), path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err != nil {
		return nil, fmt.Errorf("reading it: %w", err)
	}
	if len(data) > maxFileSize {
		return nil, fmt.Errorf("it is larger than %d KiB, which can't be a configuration", maxFileSize>>10)
	}
	return data, nil
}

func kindOf(m os.FileMode) string {
	switch {
	case m.IsDir():
		return "a directory"
	case m&os.ModeNamedPipe != 0:
		return "a FIFO"
	case m&os.ModeSocket != 0:
		return "a socket"
	default:
		return "a device"
	}
}
