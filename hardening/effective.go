package hardening

import (
	"errors"
	"fmt"
	"strings"
)

// Values is a configuration of sshd by keyword, in lower case and under its present name. Each element is one line of
// `sshd -T`: one value, or one member of a list that adds up.
type Values map[string][]string

// ParseValues reads what `sshd -T` printed, one "keyword value" a line. The case of keywords is the
// version's own: lower up to 10.3 or so, as in sshd_config(5) later.
func ParseValues(text string) (Values, error) {
	if !strings.HasSuffix(text, "\n") {
		return nil, errors.New("sshd -T: what it printed ends in the middle of a line")
	}
	e := make(Values, 128)
	for line := range strings.SplitSeq(text[:len(text)-1], "\n") {
		keyword, value, _ := strings.Cut(line, " ")
		if !isKeyword(keyword) {
			return nil, fmt.Errorf("sshd -T: it printed a line that is no keyword with its value: %.80q", line)
		}
		keyword = strings.ToLower(keyword)
		e[keyword] = append(e[keyword], value)
	}
	return e, nil
}

func isKeyword(word string) bool {
	for _, c := range []byte(word) {
		if !letterOrDigit(c) {
			return false
		}
	}
	return word != ""
}

// difference says how the account differs from one directive; "" if it doesn't.
func (e Values) difference(d directive) string {
	got, printed := e[strings.ToLower(d.keyword)]
	if !printed && d.optional || d.same(got) {
		return ""
	}
	is := "is " + strings.Join(got, " and ")
	if len(got) == 0 {
		is = "is not set"
	}
	want := d.want
	if want == "" {
		want = "none"
	}
	return d.keyword + " " + is + ", the policy wants " + want
}
