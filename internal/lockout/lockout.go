// Package lockout says what would lock the administrator out of a machine: a policy under which nobody can log in over
// SSH any more, or other than was meant. It judges the files of accounts and keys as sshd would, without asking sshd, so
// that it costs about a millisecond; it writes nothing, decides nothing, and what it can't know (accounts and keys that
// come from a directory or a program) it calls unsure instead of wrong.
package lockout

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"keyswitchd/hardening"
	"keyswitchd/internal/accounts"
)

// askLimit bounds the accounts that are looked into before giving up. One is enough when all is well.
const askLimit = 20

// Problem is one thing that locks somebody out.
type Problem struct {
	What string // what is wrong, with names
	Do   string // what to type, or to write where
	// Unsure means that it may well be in order, but can't be seen from here.
	Unsure bool
}

// String is the problem in one line.
func (p Problem) String() string { return p.What + "; " + p.Do }

// Machine is what is judged.
type Machine struct {
	Root string // "/", or a tree in a test
	Now  time.Time
	// Settings are sshd's keywords, in lower case, as the files have them for one account. Only those are looked at that no
	// policy governs.
	Settings func(account string) (map[string][]string, error)
	// Addresses are the machine's own, link-local ones with their zone. nil: the listen addresses are not looked at.
	Addresses func() ([]netip.Addr, error)
}

// Check returns the problems, the worst first. An error means that the machine can't be judged at all.
func (m Machine) Check(policy hardening.Policy) ([]Problem, error) {
	book, err := accounts.Read(m.Root)
	if err != nil {
		return nil, fmt.Errorf("lockout: %w", err)
	}
	c := check{Machine: m, policy: policy, book: book}
	c.algorithms, c.rsaBits = policy.Profile.UserKeys()
	if err := c.anybody(); err != nil {
		return nil, err
	}
	c.names()
	if err := c.listen(); err != nil {
		return nil, err
	}
	return c.problems, nil
}

type check struct {
	Machine
	policy     hardening.Policy
	book       *accounts.Book
	algorithms []string
	rsaBits    int
	problems   []Problem
}

func (c *check) add(unsure bool, do, what string, args ...any) {
	c.problems = append(c.problems, Problem{What: fmt.Sprintf(what, args...), Do: do, Unsure: unsure})
}

// anybody looks for one account that can log in; if there is none, it says of each why not.
func (c *check) anybody() error {
	var reasons []string
	var first accounts.Account
	unsure, do := false, ""
	list := c.candidates()
	for i, a := range list {
		if i == askLimit {
			reasons, unsure = append(reasons, fmt.Sprintf("%d more accounts were not looked at", len(list)-i)), true
			break
		}
		settings, err := c.Settings(a.Name)
		if err != nil {
			return fmt.Errorf("lockout: reading what sshd's files say for %s: %w", a.Name, err)
		}
		v := c.account(a, settings)
		if v.fine {
			return nil
		}
		if first.Name == "" || v.nearly {
			first = a
		}
		if do == "" {
			do = v.do
		}
		unsure = unsure || v.unsure
		reasons = append(reasons, a.Name+": "+v.why)
	}
	if len(reasons) == 0 {
		reasons = []string{"there is no account with a shell"}
	}
	if len(c.book.Elsewhere) > 0 {
		unsure = true
		reasons = append(reasons, "accounts from "+strings.Join(c.book.Elsewhere, ", ")+" are not known here")
	}
	if slices.ContainsFunc(c.policy.Match, loosens) {
		unsure = true
		reasons = append(reasons, "an exception of [[hardening.match]] may let somebody in from somewhere")
	}
	what := "nobody can log in over SSH"
	if unsure {
		what = "it is not certain that anybody can log in over SSH"
	}
	if do == "" {
		do = c.advice(first)
	}
	c.add(unsure, do, "%s (%s)", what, strings.Join(reasons, ". "))
	return nil
}

// loosens reports whether an exception admits a proof or an account that the policy doesn't.
func loosens(e hardening.Exception) bool {
	return e.Passwords != nil && *e.Passwords || e.RootLogin != nil && *e.RootLogin != hardening.RootNo
}

// candidates are the accounts that somebody could work in, most likely ones first.
func (c *check) candidates() []accounts.Account {
	var list []accounts.Account
	for _, a := range c.book.Accounts {
		if a.Person() || slices.Contains(c.policy.AllowUsers, a.Name) {
			list = append(list, a)
		}
	}
	rank := func(a accounts.Account) int {
		switch {
		case slices.Contains(c.policy.AllowUsers, a.Name):
			return 0
		case a.UID >= 1000 && a.UID < 60000:
			return 1
		case a.UID == 0:
			return 2
		}
		return 3
	}
	slices.SortStableFunc(list, func(a, b accounts.Account) int { return rank(a) - rank(b) })
	return list
}

// advice is what gives somebody a way in.
func (c *check) advice(a accounts.Account) string {
	if a.Name == "" {
		return "make an account: adduser NAME; then put its public key where sshd looks: ssh-copy-id NAME@THIS-MACHINE"
	}
	file := filepath.Join(a.Home, ".ssh/authorized_keys")
	return fmt.Sprintf("put your public key into %s: from your own computer with ssh-copy-id %s@THIS-MACHINE while passwords still work, or here with "+
		"install -d -m 0700 -o %[2]s %[3]s && install -m 0600 -o %[2]s YOUR-KEY.pub %[1]s", file, a.Name, filepath.Dir(file))
}

// names looks at allow-users, deny-users and allow-groups.
func (c *check) names() {
	elsewhere := len(c.book.Elsewhere) > 0
	for _, name := range c.policy.AllowUsers {
		if _, ok := c.book.Account(name); !ok {
			c.add(elsewhere, "adduser "+name+", or take the name out of allow-users", "allow-users names %q, and there is no such account", name)
		}
		if slices.Contains(c.policy.DenyUsers, name) {
			c.add(false, "take it out of one of them", "allow-users and deny-users both name %q; deny-users wins", name)
		}
	}
	if len(c.policy.AllowUsers) == 1 && c.policy.AllowUsers[0] == "root" && c.policy.RootLogin == hardening.RootNo {
		c.add(false, `set root-login = "prohibit-password", or name another account`, `allow-users names only root, and root-login is "no"`)
	}
	for _, name := range c.policy.AllowGroups {
		group, ok := c.book.Group(name)
		if !ok {
			c.add(elsewhere, fmt.Sprintf("groupadd --system %s && gpasswd --add ACCOUNT %[1]s, or take it out of allow-groups", name),
				"allow-groups names %q, and there is no such group", name)
			continue
		}
		if !slices.ContainsFunc(c.book.Accounts, func(a accounts.Account) bool { return c.book.In(a, group) }) {
			c.add(elsewhere, fmt.Sprintf("gpasswd --add ACCOUNT %s", name), "allow-groups names %q, and nobody is in that group", name)
		}
	}
	if _, err := os.Stat(filepath.Join(c.Root, "/etc/nologin")); err == nil {
		c.add(false, "rm /etc/nologin", "/etc/nologin is there: only root may log in, whatever else allows it")
	}
}

// listen looks whether the machine has the addresses. sshd leaves out those that it can't have, and doesn't start if
// that leaves none.
func (c *check) listen() error {
	if len(c.policy.Listen) == 0 || c.Addresses == nil {
		return nil
	}
	own, err := c.Addresses()
	if err != nil {
		return fmt.Errorf("lockout: asking for this machine's addresses: %w", err)
	}
	for _, text := range c.policy.Listen {
		addr, err := netip.ParseAddr(text)
		if err != nil || addr.IsUnspecified() || addr.IsLoopback() || slices.Contains(own, addr) {
			continue // an address that is none, Policy.Validate has refused
		}
		why := "no interface of this machine has it now"
		if addr.Zone() != "" && slices.ContainsFunc(own, func(o netip.Addr) bool { return o.WithZone("") == addr.WithZone("") }) {
			why = "this machine has it on another interface"
		}
		c.add(false, "ip -brief address shows the addresses there are; write one of them, or none to listen on all; one that comes late at boot needs to be there before the key is turned",
			"listen names %s, and %s: sshd can't listen there", text, why)
	}
	return nil
}
