// Package shellword writes a word so that a shell takes it for nothing else. The commands that keyswitchd advises are copied and pasted by root,
// and some of the names in them were chosen by others. It runs no shell, and knows nothing of one but its quotes.
package shellword

import "strings"

// Quote returns word as it is if nothing in it means anything to sh(1), else within single quotes.
func Quote(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-./:,+@%", r)
	}
	if word != "" && !strings.ContainsFunc(word, func(r rune) bool { return !plain(r) }) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
