package audit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"keyswitchd/internal/folder"
)

// text reads a small file; a missing one is empty. Anything else that keeps it from being read is an error.
func (m *Machine) text(name string) (string, error) {
	content, _, err := folder.ReadRegular(unix.AT_FDCWD, m.path(name), 0)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(content), err
}

// textOrLeave is text for a check that can go on without: the reason is noted.
func (m *Machine) textOrLeave(n notes, name string) string {
	text, err := m.text(name)
	if err != nil {
		n.left("%s can't be read: %s", name, why(err))
	}
	return text
}

// why is an error without the path of a test's tree, and with the usual way out.
func why(err error) string {
	if errors.Is(err, fs.ErrPermission) {
		return needs()
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}

// needs is what to say of something that could not be looked at.
func needs() string {
	if os.Geteuid() == 0 {
		return "it is closed even to root here"
	}
	return "that needs root"
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// lines yields the lines of a configuration file without comments, blanks and the line ends that a backslash takes away.
func lines(text string) func(func(number int, line string) bool) {
	return func(yield func(int, string) bool) {
		var held strings.Builder
		start, number := 0, 0
		for line := range strings.SplitSeq(text, "\n") {
			number++
			if held.Len() == 0 {
				start = number
			}
			line = strings.TrimRight(line, "\r")
			if rest, more := strings.CutSuffix(line, `\`); more {
				held.WriteString(rest + " ")
				continue
			}
			if held.Len() > 0 {
				line = held.String() + line
				held.Reset()
			}
			line = strings.TrimSpace(line)
			if line == "" || line[0] == '#' || line[0] == ';' {
				continue
			}
			if !yield(start, line) {
				return
			}
		}
	}
}

// entriesLimit bounds a directory's names: in a home anybody can make millions.
const entriesLimit = 10_000

func entries(dir string) ([]fs.DirEntry, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	found, err := f.ReadDir(entriesLimit + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(found) > entriesLimit {
		return nil, fmt.Errorf("it holds more than %d names", entriesLimit)
	}
	slices.SortFunc(found, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return found, nil
}

// names lists a directory; a missing one is empty.
func (m *Machine) names(n notes, dir string) []string {
	entries, err := entries(m.path(dir))
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			n.left("%s can't be listed: %s", dir, why(err))
		}
		return nil
	}
	out := make([]string, len(entries))
	for i, e := range entries {
		out[i] = e.Name()
	}
	return out
}
