package audit

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/go-crypt/crypt/algorithm"
	"github.com/go-crypt/crypt/algorithm/bcrypt"
	"github.com/go-crypt/crypt/algorithm/md5crypt"
	"github.com/go-crypt/crypt/algorithm/shacrypt"
	"github.com/go-crypt/x/yescrypt"

	"keyswitchd/internal/accounts"
)

// wellKnown are the passwords that images come with and that everybody tries first, beside the account's own name. A
// handful on purpose: each costs up to a second on a small Pi, and an audit is no attack.
var wellKnown = [...]string{"raspberry", "raspberrypi", "password", "admin", "1234"}

// costLimit bounds the work of one guess, in rounds of SHA; a hash that wants more is left out rather than waited for.
const costLimit = 1_000_000

// passwords: accounts that open to nobody in particular.
func passwords(ctx context.Context, m *Machine, n notes) {
	if m.book.ShadowErr != nil {
		n.left("empty, well-known and weakly kept passwords: /etc/shadow can't be read: %s", why(m.book.ShadowErr))
		return
	}
	for _, a := range m.book.Accounts {
		s := a.Shadow
		if s == nil || s.Locked() || !s.Password() {
			continue
		}
		if s.Hash == "" {
			n.add(Critical, "passwd "+a.Name+", or passwd -l "+a.Name, "%s has an empty password", a.Name)
			continue
		}
		if a.UID == 0 {
			n.add(Warning, "passwd -l "+a.Name+", once sudo works for somebody else", "%s has a password, so it can be logged in to directly", a.Name)
		}
		if weakHash(s.Hash) {
			n.add(Warning, "passwd "+a.Name+", which keeps it as /etc/login.defs says", "%s's password is kept in a form that is quickly guessed (%s)", a.Name, form(s.Hash))
		}
		guess(ctx, a, n)
	}
}

func guess(ctx context.Context, a accounts.Account, n notes) {
	for _, word := range guesses(a.Name) {
		if ctx.Err() != nil {
			n.left("%s's password was not tried: %v", a.Name, ctx.Err())
			return
		}
		right, ok := matches(a.Shadow.Hash, word)
		if !ok {
			n.left("%s's password is kept in a form that is not known here (%s), so it was not tried", a.Name, form(a.Shadow.Hash))
			return
		}
		if right {
			n.add(Critical, "passwd "+a.Name, "%s has a password that everybody tries (one of %s)", a.Name, strings.Join(guesses(a.Name), ", "))
			return
		}
	}
}

func guesses(name string) []string {
	out := []string{name}
	for _, w := range wellKnown {
		if !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	return out
}

// matches tries one password on a hash of crypt(5). known is false for one that can't be tried.
func matches(hash, password string) (right, known bool) {
	prefix := form(hash)
	var digest algorithm.Digest
	var err error
	switch prefix {
	case "$y$":
		setting := hash[:strings.LastIndexByte(hash, '$')]
		if strings.Count(hash, "$") != 4 {
			return false, false
		}
		got, err := yescrypt.Hash([]byte(password), []byte(setting))
		return err == nil && string(got) == hash, err == nil
	case "$5$", "$6$":
		if rounds, ok := strings.CutPrefix(hash[3:], "rounds="); ok {
			rounds, _, _ = strings.Cut(rounds, "$")
			if n, err := strconv.Atoi(rounds); err != nil || n > costLimit {
				return false, false
			}
		}
		digest, err = shacrypt.Decode(hash)
	case "$1$":
		digest, err = md5crypt.Decode(hash)
	case "$2a$", "$2b$", "$2y$":
		if len(hash) < 7 || hash[4:6] > "13" {
			return false, false
		}
		digest, err = bcrypt.Decode(hash)
	default:
		return false, false
	}
	if err != nil {
		return false, false
	}
	right, err = digest.MatchAdvanced(password)
	return right && err == nil, err == nil
}

// form is the prefix that names a hash's method, crypt(5).
func form(hash string) string {
	if strings.HasPrefix(hash, "$") {
		if end := strings.IndexByte(hash[1:], '$'); end >= 0 {
			return hash[:end+2]
		}
		return "unknown"
	}
	return "DES"
}

func weakHash(hash string) bool {
	switch form(hash) {
	case "$1$", "DES", "$3$":
		return true
	}
	return false
}
