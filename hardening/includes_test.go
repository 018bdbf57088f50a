package hardening

import (
	"os"
	"strings"
	"testing"
)

// An Include that would draw our drop-in in a second time, or for some connections only, gives way to one that draws in the rest.
func TestIncludesOfOurs(t *testing.T) {
	for name, c := range map[string]struct {
		main string // D is sshd_config.d
		a    string // D/a.conf
		want []string
		then string // in sshd_config
	}{
		"in a Match":               {"Match User bob\nInclude D/*.conf\n", "X11DisplayOffset 12\n", []string{"for some connections only", "an Include is added"}, "\nInclude D/a.conf\n"},
		"in a Match, alone":        {"Match User bob\nInclude D/0*\nX11DisplayOffset 12\n", "", []string{"for some connections only", "an Include is added"}, "\n#keyswitchd# Include D/0*\n"},
		"in a Match, too":          {"Include D/*.conf\nMatch User bob\nInclude D/none D/* \"D/a.conf\"\n", "X11DisplayOffset 12\n", []string{"for some connections only"}, "\nInclude D/none D/a.conf D/a.conf\n"},
		"twice on a line":          {"Include D/*.conf D/0*.conf D/b*\n", "X11DisplayOffset 12\n", []string{"a second time"}, "\nInclude D/*.conf D/b*\n"},
		"twice, with others":       {"Include D/0*.conf\nInclude D/*.conf\n", "X11DisplayOffset 12\n", []string{"a second time"}, "\nInclude D/a.conf\n"},
		"twice, with nothing else": {"Include D/*.conf\nInclude D/*.conf\n", "X11DisplayOffset 12\n", []string{"read before"}, "\n#keyswitchd# Include D/*.conf\n"},
		"in a file read twice":     {"Include D/../x\nMatch User bob\nInclude D/../x\n", "X11DisplayOffset 12\n", []string{"for some connections only", "an Include is added"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			in := func(text string) string { return strings.ReplaceAll(text, "D/", m.path("etc/sshd_config.d")+"/") }
			before := "HostKey " + m.path("etc/ssh_host_ed25519_key") + "\n" + in(c.main)
			m.write("etc/sshd_config", before)
			m.write("etc/x", in("Include D/*.conf\n"))
			if c.a != "" {
				m.write("etc/sshd_config.d/a.conf", c.a)
			}
			m.mustMend(c.want...)
			if got := m.read("etc/sshd_config"); !strings.Contains(got, in(c.then)) {
				t.Errorf("sshd_config is\n%s\nwant %q in it", got, in(c.then))
			}
			m.mustRestore()
			if got := m.read("etc/sshd_config"); got != before {
				t.Errorf("restored: %q, was %q", got, before)
			}
		})
	}
}

// What can't be written in an Include line as it is isn't.
func TestIncludesNotRewritten(t *testing.T) {
	m := newMachine(t)
	m.write("etc/sshd_config", "HostKey "+m.path("etc/ssh_host_ed25519_key")+"\nMatch User bob\n"+m.include())
	m.write("etc/sshd_config.d/a\"b.conf", "")
	m.mustRefuse("sshd_config:3", "stands in a Match block", "can't be written anew", "move the line above")
	if err := os.Rename(m.path("etc/sshd_config.d/a\"b.conf"), m.path("etc/sshd_config.d/a*b.conf")); err != nil {
		t.Fatal(err)
	}
	m.mustRefuse("sshd_config:3", "has a name with *")
}
