package hardening

import (
	"bytes"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"keyswitchd/internal/folder"
)

const (
	treeLimit  = 16 << 20 // bytes of all of them
	treeFiles  = 2048     // files, each counted as often as it is included
	depthLimit = 16       // sshd's own for nested Include (servconf.c, SERVCONF_MAX_DEPTH)
	placesTold = 3        // of the Include lines that lead to what is wrong
	sshdDir    = "/etc/ssh"
)

// tree is the files that sshd reads, in the order in which it comes to them.
type tree struct {
	files    []configFile
	hostKeys []string // arguments of HostKey
	bytes    int
	overlay  map[string][]byte // files as they are going to be
	release  Release           // whose way of reading counts
	ways     ways              // the directories that lead there
}

// configFile is one file as it was read.
type configFile struct {
	path    string
	content []byte
	inMatch bool // drawn in by an Include in a Match block
	mode    uint32
	safe    bool // nobody but root, or whoever runs this, can change it
	draws   []draw
	by      int // the file whose Include drew it in,
	byLine  int // and the line there; 0 is sshd_config itself

	firstMatch int // the line of the first Match, 0 if there is none

	lines  []line // see tree.lines
	parsed bool
}

// draw is a file that an Include line draws in.
type draw struct{ line, file int }

// readTree reads sshd_config and, by its Include lines, all that it draws in. An Include in a Match block
// counts like any other. Whatever can't be read is an error: sshd might read it.
func readTree(file string) (*tree, error) { return readTreeOver(file, nil) }

// readTreeOver is readTree with some files as they are going to be, whether they are there by now or not.
func readTreeOver(file string, overlay map[string][]byte) (*tree, error) {
	t := &tree{overlay: overlay}
	if err := t.ways.to(file); err != nil {
		return nil, fmt.Errorf("hardening: looking for %s: %w", file, err)
	}
	return t, t.read(file, 0, false, 0, 0)
}

func (t *tree) read(file string, depth int, inMatch bool, by, byLine int) error {
	if depth > depthLimit {
		return fmt.Errorf("hardening: reading %s: Include is nested more than %d deep; take the loop out", file, depthLimit)
	}
	self := len(t.files)
	f := configFile{path: file, inMatch: inMatch, by: by, byLine: byLine}
	if content, over := t.overlay[plainPath(file)]; over {
		f.content, f.mode, f.safe = content, 0o644, true
	} else {
		content, state, err := folder.ReadRegular(unix.AT_FDCWD, file, 0)
		if err != nil {
			return fmt.Errorf("hardening: reading sshd's configuration: %w", err)
		}
		f.content, f.mode, f.safe = content, state.Permissions(), state.Safe()
	}
	content := f.content
	if bytes.IndexByte(content, 0) >= 0 {
		return fmt.Errorf("hardening: reading %s: it holds a NUL byte, so it is no text; move it away", file)
	}
	t.files = append(t.files, f)
	if t.bytes += len(content); t.bytes > treeLimit || len(t.files) > treeFiles {
		return fmt.Errorf("hardening: reading %s: sshd_config draws in more than %d files or %d MB; check its Include lines", file, treeFiles, treeLimit>>20)
	}
	for number, rest := 1, content; len(rest) > 0; number++ {
		var line []byte
		line, rest = cutLine(rest)
		if !mayMatter(line) {
			continue
		}
		keyword, args, err := splitLine(string(line))
		if err != nil && keyword == "" {
			continue // sshd overlooks it
		}
		if err != nil {
			return fmt.Errorf("hardening: %s:%d: %w", file, number, err)
		}
		switch keyword {
		case "match": // to the end of this file
			inMatch = true
			if t.files[self].firstMatch == 0 {
				t.files[self].firstMatch = number
			}
		case "hostkey", "hostdsakey":
			t.hostKeys = append(t.hostKeys, args...)
		case "include":
			for _, pattern := range args {
				if err := t.include(pattern, depth, inMatch, self, number); err != nil {
					if strings.Count(err.Error(), "included by") >= placesTold { // in a loop the last ones tell enough
						return err
					}
					return fmt.Errorf("%w (included by %s:%d)", err, file, number)
				}
			}
		}
	}
	return nil
}

func (t *tree) include(pattern string, depth int, inMatch bool, self, number int) error {
	if !path.IsAbs(pattern) {
		if strings.HasPrefix(pattern, "~") {
			return fmt.Errorf("hardening: Include %s: write the whole path, without ~", pattern)
		}
		pattern = sshdDir + "/" + pattern
	}
	names, err := glob(pattern)
	if err != nil {
		return fmt.Errorf("hardening: Include %s: %w", pattern, err)
	}
	for name := range t.overlay {
		if slices.Contains(names, name) {
			continue
		}
		if matches, err := globMatches(pattern, name); err == nil && matches {
			names = append(names, name)
			slices.Sort(names)
		}
	}
	t.ways.from = fmt.Sprintf("%s:%d: Include: ", t.files[self].path, number)
	for _, way := range append([]string{pattern}, names...) {
		if err := t.ways.to(way); err != nil {
			return fmt.Errorf("hardening: Include %s: %w", pattern, err)
		}
	}
	for _, name := range names {
		t.files[self].draws = append(t.files[self].draws, draw{number, len(t.files)})
		if err := t.read(name, depth+1, inMatch, self, number); err != nil {
			return err
		}
	}
	return nil
}

// includes says whether sshd comes to the file by itself, for every connection.
func (t *tree) includes(file string) bool {
	return slices.ContainsFunc(t.files, func(f configFile) bool { return !f.inMatch && samePath(f.path, file) })
}

func samePath(a, b string) bool {
	return a == b || filepath.Base(a) == filepath.Base(b) && plainPath(a) == plainPath(b) // the first spares most of the second's looks at the disk
}

// plainPath is a path without . and .., unless a symbolic link on the way makes it another one.
func plainPath(file string) string {
	plain := filepath.Clean(file)
	if plain == file {
		return file
	}
	if dir, err := filepath.EvalSymlinks(filepath.Dir(file)); err != nil || dir != filepath.Dir(plain) {
		return file
	}
	return plain
}

func cutLine(text []byte) (line, rest []byte) {
	if at := bytes.IndexByte(text, '\n'); at >= 0 {
		return text[:at], text[at+1:]
	}
	return text, nil
}

// mayMatter spares most lines the taking apart: only Include, Match and HostKey concern the tree itself.
func mayMatter(line []byte) bool {
	for _, c := range line {
		switch c {
		case ' ', '\t', '\r', '=', '"':
		case 'i', 'I', 'm', 'M', 'h', 'H':
			return true
		default:
			return false
		}
	}
	return false
}
