package sshctl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// warnPatience bounds the whole of a warning.
const warnPatience = 8 * time.Second

// ptsMajor is the major number of the terminals in /dev/pts (devices.txt of the kernel, "136-143 char"); their minor number is
// their name there.
const ptsMajor = 136

// Told is a terminal of an SSH session that was to be written to.
type Told struct {
	Session, User string
	Terminal      string // "/dev/pts/3"
	Err           error  // why nothing was written
}

// terminal is a place to write to, and whose it has to be.
type terminal struct {
	device uint64
	uid    uint32
}

func (t terminal) path() string { return "/dev/pts/" + strconv.Itoa(int(unix.Minor(t.device))) }

// WarnRemoteSessions writes text to the terminals of the SSH sessions, and to no others. text is ASCII; its lines end in "\n".
// Sessions without a terminal are silent about it. It needs root, and never waits for a terminal: one whose output is stopped
// (Control-S) or full doesn't get the message, which is told in Told.Err. An error says that the sessions could not be found.
func WarnRemoteSessions(ctx context.Context, text string) ([]Told, error) {
	for _, c := range []byte(text) {
		if c != '\n' && (c < ' ' || c > '~') {
			return nil, fmt.Errorf("sshctl: warning the SSH sessions: the message has the byte %#x, which terminals take for a command; use plain text", c)
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, warnPatience, errors.New("it takes too long"))
	defer cancel()
	sessions, members, err := findMembers(ctx, SystemBus)
	if err != nil {
		return nil, err
	}
	var all []Told
	for i, s := range sessions {
		for _, t := range terminals(s, members[i], ttyOf, owner) {
			all = append(all, Told{s.id, s.user, t.path(), t.write(ctx, text)})
		}
	}
	return all, nil
}

// findMembers lists the SSH sessions and the processes of each. logind is not brought back for this: systemd's scopes will do.
func findMembers(ctx context.Context, address string) ([]session, [][]member, error) {
	l, err := dial(ctx, address)
	if err != nil {
		return nil, nil, err
	}
	defer l.close()
	sessions, err := l.sshSessions(ctx)
	if errors.Is(err, errNoLogind) {
		sessions, err = l.sshScopes(ctx, ownedByRoot)
	}
	if err != nil {
		return nil, nil, err
	}
	members := make([][]member, len(sessions))
	for i, s := range sessions {
		if members[i], err = l.members(ctx, s.scope); err != nil {
			return nil, nil, err
		}
	}
	return sessions, members, nil
}

// terminals are the ones that the processes of a session are controlled by, each once. A terminal belongs to whoever logged in;
// a process that somebody else's su or sudo runs on it doesn't count.
func terminals(s session, processes []member, tty func(pid uint32) uint64, owner func(pid uint32) (uint32, bool)) []terminal {
	var all []terminal
	for _, p := range processes {
		device := tty(p.PID)
		uid, ok := owner(p.PID)
		if !ok || device == 0 || unix.Major(device) != ptsMajor || s.uid >= 0 && int64(uid) != s.uid {
			continue
		}
		if t := (terminal{device, uid}); !slices.Contains(all, t) {
			all = append(all, t)
		}
	}
	slices.SortFunc(all, func(a, b terminal) int { return cmp.Compare(a.device, b.device) })
	return all
}

// ttyOf is the controlling terminal of a process as a device number (proc_pid_stat(5), tty_nr); 0 if it has none or is gone.
func ttyOf(pid uint32) uint64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	return parseTTY(string(text))
}

// parseTTY reads tty_nr, the fifth field after the name, which stands in brackets and may have brackets and spaces of its own.
func parseTTY(stat string) uint64 {
	i := strings.LastIndexByte(stat, ')')
	f := strings.Fields(stat[i+1:])
	if i < 0 || len(f) < 5 {
		return 0
	}
	n, err := strconv.ParseInt(f[4], 10, 32)
	if err != nil {
		return 0
	}
	return uint64(uint32(n))
}

// write writes text to the terminal, if it still is what it was found to be. It waits for nothing but ctx.
func (t terminal) write(ctx context.Context, text string) error {
	done := make(chan error, 1)
	// Opening a terminal waits for nothing that anybody could hold for long, but should it, nobody waits for this: it ends with the
	// process, which is short.
	go func() { done <- writeTerminal(t.path(), t.device, t.uid, text) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func writeTerminal(path string, device uint64, uid uint32, text string) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening it: %w", err)
	}
	defer unix.Close(fd)
	var s unix.Stat_t
	if err := unix.Fstat(fd, &s); err != nil {
		return fmt.Errorf("looking at it: %w", err)
	}
	if s.Mode&unix.S_IFMT != unix.S_IFCHR || s.Rdev != device || s.Uid != uid {
		return errors.New("it is no longer the session's terminal")
	}
	// A full-screen program may have switched off the terminal's own way of ending lines.
	message := []byte("\r\n" + strings.ReplaceAll(text, "\n", "\r\n"))
	n, err := unix.Write(fd, message)
	switch {
	case err == unix.EAGAIN:
		return errors.New("its output is stopped or full")
	case err != nil:
		return fmt.Errorf("writing to it: %w", err)
	case n < len(message):
		return errors.New("its output is full: a part was written")
	}
	return nil
}
