package lockout

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"keyswitchd/hardening"
	"keyswitchd/internal/accounts"
)

// verdict is what becomes of one account that tries to log in.
type verdict struct {
	fine   bool
	unsure bool   // it may work in a way that can't be seen from here
	nearly bool   // only the key is missing
	why    string // if it isn't fine
	do     string // the command that mends it, if it is that simple
}

func no(format string, args ...any) verdict { return verdict{why: fmt.Sprintf(format, args...)} }

// account goes the way of sshd's allowed_user (auth.c) and of PAM's account phase, then looks for a proof of identity.
func (c *check) account(a accounts.Account, settings map[string][]string) verdict {
	if v := c.admitted(a, settings); v.why != "" {
		return v
	}
	password := c.policy.Passwords && a.UID != 0 && a.Shadow != nil && a.Shadow.Hash != "" && a.Shadow.Password()
	key := c.keys(a, settings)
	if v := methods(words(settings["authenticationmethods"]), key.fine || key.unsure, password); v.why != "" {
		v.nearly = true
		return v
	}
	if password || key.fine {
		return verdict{fine: true}
	}
	key.nearly = true
	return key
}

// admitted asks whether the account may log in at all, whatever its proof. A verdict without a reason is yes.
func (c *check) admitted(a accounts.Account, settings map[string][]string) verdict {
	p := c.policy
	switch {
	case a.UID == 0 && p.RootLogin == hardening.RootNo:
		return no(`root-login is "no"`)
	case slices.Contains(p.DenyUsers, a.Name) || matches(words(settings["denyusers"]), a.Name):
		return no("denied by name")
	case len(p.AllowUsers) > 0 && !slices.Contains(p.AllowUsers, a.Name):
		return no("not in allow-users")
	case len(p.AllowUsers) == 0 && len(settings["allowusers"]) > 0 && !matches(words(settings["allowusers"]), a.Name):
		return no("not in sshd's AllowUsers")
	case !a.Person():
		return no("its shell %s ends every login", a.Shell)
	case !a.ShellRuns(c.Root):
		return no("its shell %s is no program", a.Shell)
	case a.Shadow != nil && !a.Shadow.Expires.IsZero() && !c.Now.Before(a.Shadow.Expires):
		return no("the account expired on %s (chage -E -1 %s)", a.Shadow.Expires.Format("2006-01-02"), a.Name)
	case a.Shadow != nil && a.Shadow.Locked() && !usesPAM(settings):
		return no("the account is locked, which without PAM bars keys as well (usermod -p '*' %s)", a.Name)
	}
	for _, g := range c.book.GroupsOf(a) {
		if matches(words(settings["denygroups"]), g.Name) {
			return no("denied by its group %s", g.Name)
		}
	}
	allowed := p.AllowGroups
	if len(allowed) == 0 {
		allowed = words(settings["allowgroups"])
	}
	if len(allowed) > 0 && !slices.ContainsFunc(c.book.GroupsOf(a), func(g accounts.Group) bool { return matches(allowed, g.Name) }) {
		return no("in none of the groups that may log in")
	}
	return verdict{}
}

// methods asks whether a list of AuthenticationMethods can be gone through. A verdict without a reason is yes.
func methods(lists []string, key, password bool) verdict {
	if len(lists) == 0 || slices.Contains(lists, "any") {
		return verdict{}
	}
	for _, list := range lists {
		ok := true
		for m := range strings.SplitSeq(list, ",") {
			switch m, _, _ = strings.Cut(m, ":"); m {
			case "publickey":
				ok = ok && key
			case "password", "keyboard-interactive":
				ok = ok && password
			default:
				ok = false
			}
		}
		if ok {
			return verdict{}
		}
	}
	return no("AuthenticationMethods %s can't be gone through", strings.Join(lists, " "))
}

// usesPAM: Debian's sshd_config says so; OpenSSH's own default is no.
func usesPAM(settings map[string][]string) bool {
	v := words(settings["usepam"])
	return len(v) > 0 && strings.EqualFold(v[0], "yes")
}

// words are the arguments of a keyword, however they were divided among lines.
func words(values []string) []string {
	var out []string
	for _, v := range values {
		for w := range strings.FieldsSeq(v) {
			out = append(out, strings.Trim(w, `"`))
		}
	}
	return out
}

// matches is match_pattern_list of OpenSSH for names: * and ?, and the host part of USER@HOST counts as matching.
func matches(patterns []string, name string) bool {
	for _, p := range patterns {
		p, _, _ = strings.Cut(p, "@")
		if ok, err := path.Match(strings.NewReplacer("[", `\[`, `\`, `\\`).Replace(p), name); err == nil && ok {
			return true
		}
	}
	return false
}
