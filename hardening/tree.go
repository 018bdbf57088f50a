package hardening

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
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
	sshdDir    = "/etc/ssh"
)

// tree is the files that sshd reads, in the order in which it comes to them.
type tree struct {
	files    []configFile
	hostKeys []string // arguments of HostKey
	bytes    int
}

// configFile is one file as it was read.
type configFile struct {
	path    string
	content []byte
	inMatch bool // drawn in by an Include in a Match block
	mode    uint32
	safe    bool // nobody but root, or whoever runs this, can change it
	draws   []draw

	lines  []line // see tree.lines
	parsed bool
}

// draw is a file that an Include line draws in.
type draw struct{ line, file int }

// readTree reads sshd_config and, by its Include lines, all that it draws in. An Include in a Match block
// counts like any other. Whatever can't be read is an error: sshd might read it.
func readTree(file string) (*tree, error) {
	t := new(tree)
	return t, t.read(file, 0, false)
}

func (t *tree) read(file string, depth int, inMatch bool) error {
	if depth > depthLimit {
		return fmt.Errorf("hardening: reading %s: Include is nested more than %d deep; take the loop out", file, depthLimit)
	}
	content, state, err := folder.ReadRegular(unix.AT_FDCWD, file, 0)
	if err != nil {
		return fmt.Errorf("hardening: reading sshd's configuration: %w", err)
	}
	if bytes.IndexByte(content, 0) >= 0 {
		return fmt.Errorf("hardening: reading %s: it holds a NUL byte, so it is no text; move it away", file)
	}
	t.files = append(t.files, configFile{path: file, content: content, inMatch: inMatch, mode: state.Permissions(), safe: state.Safe()})
	self := len(t.files) - 1
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
		if err != nil {
			return fmt.Errorf("hardening: %s:%d: %w", file, number, err)
		}
		switch keyword {
		case "match": // to the end of this file
			inMatch = true
		case "hostkey":
			t.hostKeys = append(t.hostKeys, args...)
		case "include":
			for _, pattern := range args {
				if err := t.include(pattern, depth, inMatch, self, number); err != nil {
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
	for _, name := range names {
		t.files[self].draws = append(t.files[self].draws, draw{number, len(t.files)})
		if err := t.read(name, depth+1, inMatch); err != nil {
			return err
		}
	}
	return nil
}

// includes says whether sshd comes to the file by itself, for every connection.
func (t *tree) includes(file string) bool {
	return slices.ContainsFunc(t.files, func(f configFile) bool { return !f.inMatch && samePath(f.path, file) })
}

func samePath(a, b string) bool { return a == b || filepath.Clean(a) == filepath.Clean(b) }

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

// glob is glob(3) as sshd calls it: no braces, no ~, a leading dot only by a literal dot, sorted by byte.
// Unlike filepath.Glob it reports what it can't read.
func glob(pattern string) ([]string, error) {
	found := []string{""}
	listed := false // the last part has a pattern
	for part := range strings.SplitSeq(pattern, "/") {
		if part == "" {
			continue
		}
		var next []string
		listed = strings.ContainsAny(part, "*?[\\")
		for _, dir := range found {
			if !listed {
				next = append(next, dir+"/"+part)
				continue
			}
			names, err := globDir(dir, part)
			if err != nil {
				return nil, err
			}
			next = append(next, names...)
		}
		found = next
	}
	kept := found[:0]
	for _, name := range found {
		if listed { // by its directory
			kept = append(kept, name)
			continue
		}
		switch _, err := os.Lstat(name); {
		case err == nil:
			kept = append(kept, name)
		case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR):
			return nil, err
		}
	}
	slices.Sort(kept)
	return kept, nil
}

func globDir(dir, part string) ([]string, error) {
	entries, err := os.ReadDir(dir + "/")
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	part = strings.ReplaceAll(part, "[!", "[^")
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") && !strings.HasPrefix(part, ".") {
			continue
		}
		ok, err := path.Match(part, e.Name())
		if err != nil {
			return nil, err
		}
		if ok {
			names = append(names, dir+"/"+e.Name())
		}
	}
	return names, nil
}
