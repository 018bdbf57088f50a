//go:build sshds

package hardening

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// tree is a configuration: the content of each file by its path. The order is that of writing.
type tree struct {
	paths []string
	text  map[string]string
	kind  map[string]kind // what isn't a plain file
}

// kind is what lies at a path.
type kind string

const (
	link      kind = "symbolic link" // to the text
	hard      kind = "hard link"     // to the text, which has been written before
	directory kind = "directory"
	fifo      kind = "FIFO"
)

func newTree() *tree { return &tree{text: map[string]string{}, kind: map[string]kind{}} }

func (t *tree) put(path, text string) {
	if _, there := t.text[path]; !there {
		t.paths = append(t.paths, path)
	}
	t.text[path] = text
}

func (t *tree) putKind(path string, k kind, text string) {
	t.put(path, text)
	t.kind[path] = k
}

// has says that something of the kind is in the tree.
func (t *tree) has(k kind) bool { return slices.Contains(slices.Collect(maps.Values(t.kind)), k) }

func (t *tree) with(path, text string) *tree {
	out := t.without("")
	out.put(path, text)
	return out
}

func (t *tree) without(path string) *tree {
	out := newTree()
	for _, p := range t.paths {
		if p != path {
			out.put(p, t.text[p])
			if k, there := t.kind[p]; there {
				out.kind[p] = k
			}
		}
	}
	return out
}

// write puts it all where it belongs.
func (t *tree) write() error {
	for _, path := range t.paths {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		var err error
		switch t.kind[path] {
		case link:
			err = os.Symlink(t.text[path], path)
		case hard:
			if err = os.Link(t.text[path], path); errors.Is(err, os.ErrNotExist) { // shrunk away
				err = nil
			}
		case directory:
			err = os.MkdirAll(path, 0o755)
		case fifo:
			err = syscall.Mkfifo(path, 0o644)
		default:
			err = os.WriteFile(path, []byte(t.text[path]), 0o644)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *tree) String() string {
	var b strings.Builder
	for _, path := range t.paths {
		fmt.Fprintf(&b, "--- %s %s\n", path, t.kind[path])
		for line := range strings.SplitAfterSeq(t.text[path], "\n") {
			if line != "" {
				fmt.Fprintf(&b, "\t%q\n", line)
			}
		}
	}
	return b.String()
}
