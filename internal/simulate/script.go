package simulate

import (
	"fmt"
	"strings"
	"time"
)

// word is what a script can say, or one key of the terminal.
type word string

// The words. A duration is one too: the state must stay as it is for so long.
const (
	wordOn     word = "on"     // turn the key on
	wordOff    word = "off"    // turn the key off
	wordBounce word = "bounce" // turn the key over, with a contact that bounces
	wordCut    word = "cut"    // the line can't be read any more
	wordMend   word = "mend"   // it can be read again
	wordStay   word = "stay"   // a duration
)

// Words says what a script may consist of, for errors and help.
const Words = "on, off, bounce, cut, mend, and durations such as 500ms or 3s"

// maxStay bounds one duration of a script.
const maxStay = 24 * time.Hour

// Step is one word of a script.
type Step struct {
	text string
	word word
	stay time.Duration
}

// ParseScript takes a script apart, such as "on 3s off". Its words are parted by blanks or commas.
func ParseScript(text string) ([]Step, error) {
	var steps []Step
	for i, f := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\r\n,", r) }) {
		switch w := word(f); w {
		case wordOn, wordOff, wordBounce, wordCut, wordMend:
			steps = append(steps, Step{text: f, word: w})
			continue
		}
		d, err := time.ParseDuration(f)
		switch {
		case err == nil && d > 0 && d <= maxStay:
			steps = append(steps, Step{text: f, word: wordStay, stay: d})
		case err == nil:
			return nil, fmt.Errorf("simulate: script: word %d, %q: a duration lies above 0 and at most at %v", i+1, f, maxStay)
		case strings.Trim(f, "0123456789.") == "":
			return nil, fmt.Errorf("simulate: script: word %d, %q: a duration needs its unit, such as %ss or %sms", i+1, f, f, f)
		default:
			return nil, fmt.Errorf("simulate: script: word %d, %q: there is no such word; allowed are %s", i+1, f, Words)
		}
	}
	if len(steps) == 0 {
		return nil, fmt.Errorf("simulate: script: it is empty; it needs words: %s", Words)
	}
	return steps, nil
}
