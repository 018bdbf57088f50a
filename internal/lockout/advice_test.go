package lockout

import (
	"os"
	"path/filepath"
	"testing"
)

// The commands that root is advised to type do what they say, and only in the account's own home: a link may lead anywhere.
func TestAdviceIsSafe(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(m *machine)
		want string
	}{
		"home": {func(m *machine) { m.chmod("home/pi", 0o777) }, "chmod go-w /home/pi"},
		"a hostile name": {func(m *machine) {
			m.chmod("home/pi/.ssh", 0o777)
			m.must(os.Rename(filepath.Join(m.root, "home/pi/.ssh"), filepath.Join(m.root, "home/pi/x;id")))
			m.must(os.Symlink("x;id", filepath.Join(m.root, "home/pi/.ssh")))
		}, "chmod go-w '/home/pi/x;id'"},
		"a link out of the home": {func(m *machine) {
			m.write("etc/victim", edKey(m.t)+"\n", 0o666)
			m.must(os.Remove(filepath.Join(m.root, piKeys)))
			m.must(os.Symlink(filepath.Join(m.root, "etc/victim"), filepath.Join(m.root, piKeys)))
		}, "look at /etc/victim: a link leads there"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			c.do(m)
			got, err := m.check()
			if err != nil || len(got) != 1 || got[0].Do != c.want {
				t.Errorf("%+v, %v; want %q", got, err, c.want)
			}
		})
	}
}
