package hardening

import (
	"bytes"
	"strings"
)

// What Harden does to a line of somebody else's file can be taken back from the file alone: a line that is commented out
// stays behind a marker of its own, under one that says why; a line that is added stands under another.
const (
	markWhy   = "#keyswitchd: "
	markOut   = "#keyswitchd# "
	markAdded = "#keyswitchd+ "
)

// edit is what happens to one line. Line 0 is the place before the first.
type edit struct {
	line int
	out  bool     // it is commented out
	why  string   // one line, for people
	add  []string // lines that follow it
}

// mark carries the edits out. Every byte of the lines stays, so that unmark finds the text as it was.
func mark(content []byte, edits map[int]edit) []byte {
	var b bytes.Buffer
	b.Grow(len(content) + 512)
	added := func(e edit) {
		for _, text := range e.add {
			b.WriteString(markAdded + e.why + "\n" + text + "\n")
		}
	}
	added(edits[0])
	for number, rest := 1, content; len(rest) > 0; number++ {
		end := bytes.IndexByte(rest, '\n') + 1
		if end == 0 {
			end = len(rest)
		}
		text := rest[:end]
		rest = rest[end:]
		e, edited := edits[number]
		if edited && e.out {
			if len(e.add) == 0 {
				b.WriteString(markWhy + e.why + "\n")
			}
			added(e) // before the line: the last one of a file may have no end
			b.WriteString(markOut)
		}
		b.Write(text)
	}
	return b.Bytes()
}

// unmark takes all edits back.
func unmark(content []byte) []byte {
	var b bytes.Buffer
	b.Grow(len(content))
	drop := false
	for rest := content; len(rest) > 0; {
		end := bytes.IndexByte(rest, '\n') + 1
		if end == 0 {
			end = len(rest)
		}
		text := rest[:end]
		rest = rest[end:]
		switch {
		case drop:
			drop = false
		case bytes.HasPrefix(text, []byte(markWhy)):
		case bytes.HasPrefix(text, []byte(markAdded)):
			drop = true
		default:
			b.Write(bytes.TrimPrefix(text, []byte(markOut)))
		}
	}
	return b.Bytes()
}

// oneLine keeps a reason from ending its comment.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
}
