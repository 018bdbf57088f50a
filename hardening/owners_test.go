package hardening

import (
	"errors"
	"os"
	"strings"
	"testing"
)

// A directory from which somebody else could take a file of sshd's away, or where he could put one, is no place to read from, even while
// nothing is wrong there: he would do it after the verification.
func TestLooseDirectories(t *testing.T) {
	for name, c := range map[string]struct {
		do    func(m *machine) error
		loose string // "" for none
	}{
		"the folder of sshd_config": {func(m *machine) error { return os.Chmod(m.path("etc"), 0o775) }, "/etc: others"},
		"a folder above it":         {func(m *machine) error { return os.Chmod(m.dir, 0o770) }, ": others"},
		"an included folder": {func(m *machine) error {
			return errors.Join(m.more(0o775), os.WriteFile(m.path("more/x.conf"), nil, 0o644))
		}, "/more: others"},
		"an included folder with nothing in it": {func(m *machine) error { return m.more(0o775) }, "/more: others"},
		"a sticky one":                          {func(m *machine) error { return m.more(0o1777 | 0o1000) }, "/more: others"},
		"a folder that isn't there": {func(m *machine) error {
			m.write(guide, "Include "+m.path("more/none/x.conf")+"\n")
			return errors.Join(os.Mkdir(m.path("more"), 0o755), os.Chmod(m.path("more"), 0o777))
		}, "/more: others"},
		"a folder in the middle of a pattern": {func(m *machine) error {
			m.write(guide, "Include "+m.path("more/*/x.conf")+"\n")
			return errors.Join(os.MkdirAll(m.path("more/a"), 0o755), os.Chmod(m.path("more/a"), 0o777))
		}, "/more/a: others"},
		"where a link leads": {func(m *machine) error {
			m.write(guide, "Include "+m.dir+"/link/../more/x.conf"+"\n")
			err := errors.Join(os.MkdirAll(m.path("far/more"), 0o755), os.MkdirAll(m.path("far/away"), 0o755), os.Chmod(m.path("far/more"), 0o777), os.Symlink("far/away", m.path("link")))
			m.write("far/more/x.conf", "")
			return err
		}, "/far/more: others"},
		"in a sticky folder, what is one's own": {func(m *machine) error {
			m.write(guide, "Include "+m.path("more/x.conf")+"\n")
			err := errors.Join(os.Mkdir(m.path("more"), 0o755), os.Chmod(m.path("more"), 0o777|os.ModeSticky))
			m.write("more/x.conf", "")
			return err
		}, ""},
		"a link to a good folder": {func(m *machine) error {
			m.write(guide, "Include "+m.path("link/*.conf")+"\n")
			return errors.Join(os.Mkdir(m.path("more"), 0o755), os.Symlink(m.path("more"), m.path("link")))
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.write(guide, "Include "+m.path("more/*.conf")+"\n")
			m.must(c.do(m))
			if c.loose == "" {
				m.mustMend()
				return
			}
			m.mustRefuse(c.loose, "chmod go-w "+m.dir)
			if m.read(dropIn) != "" {
				t.Error("something was changed")
			}
		})
	}
}

// Opening a directory to others ends a verification that held.
func TestLoosenedAfterwards(t *testing.T) {
	m := newMachine(t)
	m.mustHold()
	m.must(os.Chmod(m.path("etc"), 0o777))
	m.mustRefuse("/etc: others")
	m.must(os.Chmod(m.path("etc"), 0o755))
	m.mustHold()
}

func (m *machine) more(mode os.FileMode) error {
	return errors.Join(os.Mkdir(m.path("more"), 0o755), os.Chmod(m.path("more"), mode&0o777|os.ModeSticky&(mode<<11)))
}

func TestTooManyLinks(t *testing.T) {
	m := newMachine(t)
	m.must(os.Symlink("loop", m.path("loop")))
	m.write(guide, "Include "+m.path("loop/x.conf")+"\n")
	if err := m.mustRefuse("symbolic links"); !strings.Contains(err.Error(), "50-guide.conf:1") {
		t.Error(err)
	}
}
