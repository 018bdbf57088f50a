//go:build sshds

package hardening

import (
	"regexp"
	"strings"

	"keyswitchd/hardening"
)

// refusal is a reason for which hardening refuses what sshd accepts. The error must name the place, and say what to do in one line.
type refusal struct {
	what   string
	text   string // in the error
	atMost int    // of 1,000 trees that sshd accepts
}

var refusals = []refusal{
	{"a directory or FIFO in place of a file", "is not a regular file; move it away", 40},
	{"a NUL byte", "it holds a NUL byte, so it is no text; move it away", 20},
	{"a link to mend", "is a symbolic link; remove it", 25},
	{"a second name to mend", "names (hard links); remove it", 25},
	{"the folder is a link", "is a link or no directory", 25},
	{"~ in an Include", "write the whole path, without ~", 5},
	{"the drop-in in a Match block", "so the policy would be for some connections only", 3},
	{"the drop-in twice", "which was read before; take one of the two out", 3},
	// Such as 10.0 with "Subsystem sftp" in a Match block.
	{"a line that sshd refuses for some", "sshd -T does not accept the configuration", 10},
}

// place is how an error names where it is wrong.
var place = regexp.MustCompile(`/etc/ssh/[^ ]+:[0-9]+|/etc/ssh/[^ ]+ is |in /etc/ssh|reading /etc/ssh|/etc/ssh/[^ ]+ line [0-9]+`)

func reasonOf(err error) (refusal, bool) {
	for _, r := range refusals {
		if strings.Contains(err.Error(), r.text) {
			return r, true
		}
	}
	return refusal{}, false
}

// refusal counts a refusal of what sshd accepts; "" if it is a known one and well said.
func (b *bench) refusal(err error) string {
	r, named := reasonOf(err)
	switch {
	case !named:
		return "sshd accepts it, hardening does not: " + err.Error()
	case !place.MatchString(err.Error()):
		return "a refusal without a place: " + err.Error()
	}
	b.counts["not hardened: "+r.what]++
	return ""
}

// mustRefuse is for a tree that sshd can't be asked about.
func (b *bench) mustRefuse(p policy, before map[string]string, reason error) string {
	_, err := hardening.Harden(b.t.Context(), options(p.Policy))
	switch {
	case err == nil:
		return "hardened, although the reader says: " + reason.Error()
	case !place.MatchString(err.Error()):
		return "a refusal without a place: " + err.Error()
	}
	if diff := changes(before, snapshot(b.t)); len(diff) > 0 {
		return "not hardened, but changed: " + strings.Join(diff, "; ")
	}
	b.counts["not hardened: a FIFO, sshd was not asked"]++
	return ""
}

func (b *bench) judgeRefusals() {
	accepted := b.counts["accepted by sshd"]
	if accepted < 500 {
		return
	}
	for _, r := range refusals {
		if n := b.counts["not hardened: "+r.what]; n*1000 > r.atMost*accepted {
			b.t.Errorf("%s: %d of %d trees are refused for it, more than %d in 1,000", r.what, n, accepted, r.atMost)
		}
	}
}
