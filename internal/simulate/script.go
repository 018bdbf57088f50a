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
	wordCut    word = "cut"    // the line can't be read any more; with two contacts, both wires are cut
	wordMend   word = "mend"   // everything is whole again
	wordStay   word = "stay"   // a duration

	// These need a second contact.
	wordCutKey      word = "cut-key"
	wordCutSecond   word = "cut-second"
	wordShortKey    word = "short-key"
	wordShortSecond word = "short-second"
)

// Words says what a script may consist of, for errors and help.
const Words = "on, off, bounce, cut, mend, with a second contact also cut-key, cut-second, short-key, short-second, and durations such as 500ms or 3s"

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
		case wordOn, wordOff, wordBounce, wordCut, wordMend, wordCutKey, wordCutSecond, wordShortKey, wordShortSecond:
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

// CheckScript says which word the key of a configuration can't do, whose second contact is on the line called second, or "".
func CheckScript(steps []Step, second string) error {
	if second != "" {
		return nil
	}
	for i, s := range steps {
		switch s.word {
		case wordCutKey, wordCutSecond, wordShortKey, wordShortSecond:
			return fmt.Errorf("simulate: script: word %d, %q: the configuration has no second contact; set second = \"GPIO22\" below [gpio]", i+1, s.text)
		}
	}
	return nil
}
