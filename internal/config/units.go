package config

import (
	"regexp"
	"slices"
	"strings"
)

// maxUnits bounds the list of units; each costs a drop-in and a look at each change.
const maxUnits = 16

// unitName matches the names of units (systemd.unit(5)) that can be started and guarded. A template has no instance
// between "@" and the suffix, and can't be.
var unitName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9:_.-]*(@[A-Za-z0-9:_.-]+)?\.(service|socket)$`)

// needed begin the names of units without which the key, or a person at the console, could do nothing any more.
var needed = []string{"systemd-", "dbus", "polkit", "keyswitchd", "user@", "user-runtime-dir@", "getty@", "serial-getty@", "console-getty", "container-getty@", "autovt@"}

// units checks the list of further units. The result has no doubles, in the order of the file.
func (c *checker) units(key string, names []string) []string {
	if len(names) > maxUnits {
		c.bad(key, "%d units are named; at most %d are guarded", len(names), maxUnits)
		return nil
	}
	var out []string
	for _, name := range names {
		switch {
		case len(name) > 255 || !unitName.MatchString(name):
			c.bad(key, `%q is not the name of a service or a socket; write it as systemctl has it, such as "cockpit.socket"`, name)
		case name == "ssh.service", name == "ssh.socket", name == "sshd.service", strings.HasPrefix(name, "ssh@"), strings.HasPrefix(name, "sshd@"):
			c.bad(key, "%s is SSH itself, which the key guards anyway; leave it out", name)
		case slices.ContainsFunc(needed, func(p string) bool { return strings.HasPrefix(name, p) }):
			c.bad(key, "%s is what the key itself, or a person at the console, needs; it can't depend on the key", name)
		case slices.Contains(out, name):
			c.bad(key, "%s is named twice", name)
		default:
			out = append(out, name)
		}
	}
	return out
}
