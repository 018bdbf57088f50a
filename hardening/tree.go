package hardening

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

const (
	fileLimit  = 4 << 20  // bytes of one configuration file
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
	mode    fs.FileMode
	safe    bool // nobody but root, or whoever runs this, can change it
}

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
	content, info, err := readRegular(file, fileLimit)
	if err != nil {
		return fmt.Errorf("hardening: reading sshd's configuration: %w", err)
	}
	if bytes.IndexByte(content, 0) >= 0 {
		return fmt.Errorf("hardening: reading %s: it holds a NUL byte, so it is no text; move it away", file)
	}
	t.files = append(t.files, configFile{file, content, inMatch, info.Mode(), sameOwner(info) && info.Mode().Perm()&0o022 == 0})
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
				if err := t.include(pattern, depth, inMatch); err != nil {
					return fmt.Errorf("%w (included by %s:%d)", err, file, number)
				}
			}
		}
	}
	return nil
}

func (t *tree) include(pattern string, depth int, inMatch bool) error {
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
		if err := t.read(name, depth+1, inMatch); err != nil {
			return err
		}
	}
	return nil
}

// includes says whether sshd comes to the file by itself.
func (t *tree) includes(file string) bool {
	return slices.ContainsFunc(t.files, func(f configFile) bool { return samePath(f.path, file) })
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

// readRegular reads a regular file of bounded size, through links as sshd would, and waits for no FIFO.
func readRegular(file string, limit int64) ([]byte, fs.FileInfo, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s is not a regular file; move it away", file)
	}
	content, err := readBounded(f, file, info.Size(), limit)
	return content, info, err
}

// readBounded reads all of f, whose size was said to be size, and fails above limit.
func readBounded(f io.Reader, file string, size, limit int64) ([]byte, error) {
	tooBig := fmt.Errorf("%s is larger than %s bytes; move it away", file, strconv.FormatInt(limit, 10))
	if size > limit {
		return nil, tooBig
	}
	var b bytes.Buffer
	b.Grow(int(size) + bytes.MinRead)
	n, err := b.ReadFrom(io.LimitReader(f, limit+1))
	if err == nil && n > limit {
		err = tooBig
	}
	return b.Bytes(), err
}

// glob is glob(3) as sshd calls it: no braces, no ~, a leading dot only by a literal dot, sorted by byte.
// Unlike filepath.Glob it reports what it can't read.
func glob(pattern string) ([]string, error) {
	found := []string{""}
	for part := range strings.SplitSeq(pattern, "/") {
		if part == "" {
			continue
		}
		var next []string
		for _, dir := range found {
			if !strings.ContainsAny(part, "*?[\\") {
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
		switch _, err := os.Lstat(name); {
		case err == nil:
			kept = append(kept, name)
		case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR):
			return nil, err
		}
	}
	slices.Sort(kept)
	return kept, nil
}

func globDir(dir, part string) ([]string, error) {
	entries, err := os.ReadDir(dir + "/")
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
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
