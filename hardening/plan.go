package hardening

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"keyswitchd/internal/folder"
)

// Change is one file that Harden changes, or would.
type Change struct {
	Path   string
	Absent bool   // the file is not there yet
	Before []byte // as it is
	After  []byte // as it will be
	Why    []string

	Gone bool // the file will not be there, instead of After

	line int                // of the first line that is changed, for errors
	was  folder.Attributes  // what it has
	to   *folder.Attributes // what it will have; nil is the same
}

// planRounds bounds the looks that are taken until nothing is left to mend: what is commented out may be an Include.
const planRounds = 4

// Plan says what Harden would change, and changes nothing. No changes means that the files say what the policy wants; only
// sshd itself can confirm it.
func Plan(ctx context.Context, o Options) ([]Change, error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	a, err := o.abilities(ctx, nil)
	if err != nil {
		return nil, err
	}
	list, err := o.Policy.directives(a)
	if err != nil {
		return nil, err
	}
	if err := validateExtra(o.Extra, list); err != nil {
		return nil, err
	}
	return o.plan(list, o.render(a, list))
}

// plan finds what has to change so that sshd reads the drop-in's text and nothing that contradicts it.
func (o *Options) plan(list []directive, text []byte) ([]Change, error) {
	ours, err := o.planDropIn(text)
	if err != nil {
		return nil, err
	}
	var changes []Change
	if ours != nil {
		changes = append(changes, *ours)
	}
	if o.Standalone {
		return changes, nil
	}
	overlay := map[string][]byte{o.DropIn: text}
	for range planRounds {
		t, err := readTreeOver(o.ConfigFile, overlay)
		if err != nil {
			return nil, err
		}
		if len(t.ways.loose) > 0 { // nothing that is changed there would last
			return nil, fmt.Errorf("hardening: sshd_config: %s", strings.Join(t.ways.loose, "; "))
		}
		found, err := o.classify(list, t)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			// sshd_config first: until it includes the drop-in, sshd sees no barrier there.
			slices.SortStableFunc(changes, func(a, b Change) int { return o.rank(a) - o.rank(b) })
			return changes, nil
		}
		all := editsOf(t, found)
		for _, path := range slices.Sorted(maps.Keys(all)) {
			edits := all[path]
			i := slices.IndexFunc(changes, func(c Change) bool { return c.Path == path })
			if i < 0 {
				c, err := beforeChange(path, edits)
				if err != nil {
					return nil, err
				}
				changes = append(changes, c)
				i = len(changes) - 1
			}
			c := &changes[i]
			before := c.Before
			if c.After != nil {
				before = c.After
			}
			c.After = mark(before, edits)
			for _, number := range sortedLines(edits) {
				c.Why = append(c.Why, fmt.Sprintf("%s:%d: %s: %s", path, max(number, 1), edits[number].what(), edits[number].why))
			}
			overlay[path] = c.After
		}
	}
	return nil, fmt.Errorf("hardening: %s: what the policy forbids is still there after it was taken out; is a file drawn in under two names?", o.ConfigFile)
}

func (o *Options) rank(c Change) int {
	return slices.Index([]string{o.DropIn, o.ConfigFile, c.Path}, c.Path)
}

func (e edit) what() string {
	switch {
	case !e.out:
		return "an Include is added"
	case len(e.add) > 0:
		return "replaced"
	}
	return "commented out"
}

// editsOf sorts the findings by file and line. A file that is drawn in more than once is edited once.
func editsOf(t *tree, found []finding) map[string]map[int]edit {
	files := map[string]map[int]edit{}
	for _, f := range found {
		path := plainPath(t.files[f.line.file].path)
		if files[path] == nil {
			files[path] = map[int]edit{}
		}
		files[path][f.line.number] = edit{line: f.line.number, out: f.line.number > 0, why: oneLine(f.why), add: f.add}
	}
	return files
}

func sortedLines(edits map[int]edit) []int {
	var lines []int
	for number := range edits {
		lines = append(lines, number)
	}
	slices.Sort(lines)
	return lines
}

// beforeChange reads a file that is going to be changed, and refuses one that can't be changed without a surprise.
func beforeChange(path string, edits map[int]edit) (Change, error) {
	first := sortedLines(edits)[0]
	c := Change{Path: path, line: max(first, 1)}
	f, err := folder.Open(dirOf(path))
	if err == nil {
		defer f.Close()
		c.Before, c.was, err = f.ReadAttributes(filepath.Base(path))
	}
	if err == nil && !c.was.Safe {
		err = errors.New("others can write it; chown it to root and chmod it to 0644")
	}
	if err != nil {
		return c, fmt.Errorf("hardening: %s:%d: %s; it can't be mended here: %w, or take the line out yourself", path, c.line, edits[first].why, err)
	}
	return c, nil
}

// planDropIn compares our own file; nil is nothing to do.
func (o *Options) planDropIn(text []byte) (*Change, error) {
	f, err := folder.Open(dirOf(o.DropIn))
	if err != nil {
		return nil, fmt.Errorf("hardening: the drop-in: %w", err)
	}
	defer f.Close()
	c := &Change{Path: o.DropIn, After: text, line: 1}
	c.Before, c.was, err = f.ReadAttributes(filepath.Base(o.DropIn))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.Absent = true
		c.Why = []string{o.DropIn + ": written: the policy"}
	case err != nil:
		return nil, fmt.Errorf("hardening: the drop-in: %w", err)
	case c.was.Safe && bytes.Equal(c.Before, text):
		return nil, nil
	default:
		c.Why = []string{o.DropIn + ": written anew: it was not what the policy says"}
	}
	return c, nil
}
