package hardening

import (
	"errors"
	"strings"
)

const blanks = " \t\r\n"

// splitLine is one line of sshd_config as sshd takes it apart (servconf.c, strdelim and argv_split in
// misc.c): the keyword in lower case and its arguments. A line that says nothing has no keyword.
func splitLine(line string) (keyword string, args []string, err error) {
	keyword, rest, err := splitKeyword(line)
	if keyword == "" {
		return "", nil, err
	}
	args, err = splitArgs(rest)
	return keyword, args, err
}

// splitLine is splitLine as the release has it, which may have another way with Match.
func (r Release) splitLine(line string) (keyword string, args []string, err error) {
	keyword, args, err = splitLine(line)
	if keyword != "match" || err != nil || !r.looseMatch() {
		return keyword, args, err
	}
	_, rest, err := splitKeyword(line)
	if err != nil {
		return "", nil, err
	}
	args, err = splitCriteria(rest)
	return keyword, args, err
}

// splitKeyword is the first half of it: the keyword and the rest of the line.
func splitKeyword(line string) (keyword, rest string, err error) {
	keyword, rest, err = cutKeyword(strings.TrimRight(line, blanks+"\f"))
	if err == nil && keyword == "" && rest != "" { // leading blanks; one '=' there is swallowed too
		keyword, rest, err = cutKeyword(rest)
	}
	if err != nil || keyword == "" || keyword[0] == '#' {
		return "", "", err
	}
	return strings.ToLower(keyword), rest, nil
}

// cutKeyword is strdelim: up to a blank, a quote or one '='.
func cutKeyword(s string) (word, rest string, err error) {
	at := strings.IndexAny(s, blanks+"\"=")
	if at < 0 {
		return s, "", nil
	}
	switch s[at] {
	case '"':
		word, rest, found := strings.Cut(s[at+1:], "\"")
		if !found {
			return "", "", errors.New("a quote is not closed")
		}
		return s[:at] + word, strings.TrimLeft(rest, blanks), nil
	case '=':
		return s[:at], strings.TrimLeft(s[at+1:], blanks), nil
	}
	word, rest = s[:at], strings.TrimLeft(s[at+1:], blanks)
	if strings.HasPrefix(rest, "=") {
		rest = strings.TrimLeft(rest[1:], blanks)
	}
	return word, rest, nil
}

// splitArgs is argv_split with comments: both quotes, and a backslash before a quote, a backslash or,
// outside of quotes, a space.
func splitArgs(s string) ([]string, error) {
	var args []string
	for i := 0; i < len(s); i++ {
		if s[i] == ' ' || s[i] == '\t' {
			continue
		}
		if s[i] == '#' {
			break
		}
		var arg []byte
		var quote byte
		for ; i < len(s); i++ {
			c := s[i]
			switch {
			case c == '\\' && i+1 < len(s) && (strings.IndexByte("'\"\\", s[i+1]) >= 0 || quote == 0 && s[i+1] == ' '):
				i++
				arg = append(arg, s[i])
				continue
			case quote == 0 && (c == ' ' || c == '\t'):
			case quote == 0 && (c == '"' || c == '\''):
				quote = c
				continue
			case quote != 0 && c == quote:
				quote = 0
				continue
			default:
				arg = append(arg, c)
				continue
			}
			break // the blank that ends this one
		}
		if quote != 0 {
			return nil, errors.New("a quote is not closed")
		}
		args = append(args, string(arg))
	}
	return args, nil
}

// splitCriteria takes the rest of a Match line apart as releases with a looseMatch do: each word like a keyword, so that '=' is as
// good as a blank and ' quotes nothing.
func splitCriteria(rest string) ([]string, error) {
	var args []string
	for rest != "" {
		word, after, err := cutKeyword(rest)
		if err != nil {
			return nil, err
		}
		if word == "" && after != "" {
			return nil, errors.New("Match has more after its criteria")
		}
		if word == "" || word[0] == '#' && len(args)%2 == 0 {
			break
		}
		args, rest = append(args, word), after
	}
	return args, nil
}

// alias is the present name of a keyword that sshd takes under an older one, too (servconf.c; servconf.h from 10.4 on).
func alias(keyword string) string {
	switch keyword {
	case "dsaauthentication":
		return "pubkeyauthentication"
	case "challengeresponseauthentication", "skeyauthentication":
		return "kbdinteractiveauthentication"
	case "pubkeyacceptedkeytypes":
		return "pubkeyacceptedalgorithms"
	case "hostbasedacceptedkeytypes":
		return "hostbasedacceptedalgorithms"
	case "hostdsakey":
		return "hostkey"
	case "keepalive":
		return "tcpkeepalive"
	}
	return keyword
}

// governs says whether a keyword as found in a file, in lower case, is the governed one.
func governs(governed, found string) bool {
	governed = strings.ToLower(governed)
	return governed == found || alias(governed) == alias(found)
}
