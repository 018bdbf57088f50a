package hardening

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// linkLimit is the kernel's own for symbolic links on one path, path_resolution(7).
const linkLimit = 40

// ways are the directories on the way to the files that sshd reads. Whoever can rename what lies there, or put something beside it, has the
// last word on what sshd reads, however well the files themselves are kept: it would be read after it was verified.
type ways struct {
	seen  map[string]way
	links int
	from  string   // the line that leads there, "" for sshd_config itself
	loose []string // what is wrong, one line each
	said  map[string]bool
}

type way struct {
	dir          bool
	open, sticky bool // others can write there; but not touch what isn't theirs, as in /tmp
}

// to looks at every directory above a file or a pattern of glob(3), whether there is such a file by now or not.
func (w *ways) to(pattern string) error {
	w.links = 0
	parts := strings.Split(pattern, "/")
	last := 0 // the last part that is a pattern
	for i, part := range parts {
		if !strings.ContainsAny(part, "*?[") {
			continue
		}
		last = i
		// Anything may appear where a pattern looks.
		if err := w.each(parts[:i], "/x", true); err != nil {
			return err
		}
	}
	if last == 0 {
		return w.walk(pattern, false)
	}
	if rest := parts[last+1:]; len(rest) > 0 {
		return w.each(parts[:last+1], "/"+strings.Join(rest, "/"), false)
	}
	return nil
}

func (w *ways) each(above []string, rest string, listed bool) error {
	dirs := []string{""}
	if pattern := strings.Join(above, "/"); pattern != "" {
		var err error
		if dirs, err = glob(pattern); err != nil {
			return err
		}
	}
	for _, dir := range dirs {
		if err := w.walk(dir+rest, listed); err != nil {
			return err
		}
	}
	return nil
}

// walk goes from the root to a path, through its links. listed says that there may be others beside the last name tomorrow.
func (w *ways) walk(path string, listed bool) error {
	at := ""
	for rest := strings.TrimPrefix(path, "/"); rest != ""; {
		var name string
		name, rest, _ = strings.Cut(rest, "/")
		switch name {
		case "", ".":
			continue
		case "..":
			at = at[:max(strings.LastIndexByte(at, '/'), 0)]
			continue
		}
		above, err := w.look(at + "/")
		if err != nil {
			return err
		}
		if !above.dir {
			return nil
		}
		info, err := os.Lstat(at + "/" + name)
		missing := errors.Is(err, fs.ErrNotExist)
		if err != nil && !missing {
			return err
		}
		if above.open && (!above.sticky || missing || listed && rest == "" || !owned(info)) {
			w.complain(at + "/")
			return nil
		}
		if missing || listed && rest == "" {
			return nil
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			at += "/" + name
			continue
		}
		if w.links++; w.links > linkLimit {
			return fmt.Errorf("%s: more than %d symbolic links", path, linkLimit)
		}
		to, err := os.Readlink(at + "/" + name)
		if err != nil {
			return err
		}
		if !filepath.IsAbs(to) {
			to = at + "/" + to
		}
		return w.walk(to+strings.TrimSuffix("/"+rest, "/"), listed)
	}
	return nil
}

func (w *ways) look(dir string) (way, error) {
	if v, known := w.seen[dir]; known {
		return v, nil
	}
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return way{}, nil
	}
	if err != nil {
		return way{}, err
	}
	v := way{dir: info.IsDir(), open: !owned(info) || info.Mode().Perm()&0o022 != 0, sticky: info.Mode()&fs.ModeSticky != 0 && owned(info)}
	if w.seen == nil {
		w.seen = map[string]way{}
	}
	w.seen[dir] = v
	return v, nil
}

func owned(info fs.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && (s.Uid == 0 || int(s.Uid) == os.Geteuid())
}

func (w *ways) complain(dir string) {
	if dir != "/" {
		dir = strings.TrimSuffix(dir, "/")
	}
	if w.said[dir] {
		return
	}
	if w.said == nil {
		w.said = map[string]bool{}
	}
	w.said[dir] = true
	w.loose = append(w.loose, fmt.Sprintf("%s%s: others can put files there or take them away, and sshd would read theirs; chown root %[2]s && chmod go-w %[2]s", w.from, dir))
}
