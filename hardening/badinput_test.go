package hardening

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const mainFile = "etc/sshd_config"

// Whatever lies where sshd's files should be: one line says where, nothing is changed, and it takes no time.
func TestBadInput(t *testing.T) {
	const extra = "etc/sshd_config.d/x.conf"
	instead := func(name string, put func(path string) error) func(m *machine) error {
		return func(m *machine) error {
			if err := os.Remove(m.path(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
			return put(m.path(name))
		}
	}
	text := func(content string) func(string) error {
		return func(path string) error { return os.WriteFile(path, []byte(content), 0o644) }
	}
	large := func(path string) error {
		return errors.Join(os.WriteFile(path, nil, 0o644), os.Truncate(path, 100<<20))
	}
	directory := func(path string) error { return os.Mkdir(path, 0o755) }
	fifo := func(path string) error { return syscall.Mkfifo(path, 0o644) }
	for name, c := range map[string]struct {
		do   func(m *machine) error
		want []string
	}{
		"sshd_config is a directory":        {instead(mainFile, directory), []string{mainFile, "is not a regular file; move it away"}},
		"sshd_config is a FIFO":             {instead(mainFile, fifo), []string{mainFile, "is not a regular file"}},
		"sshd_config is endless":            {instead(mainFile, func(p string) error { return os.Symlink("/dev/zero", p) }), []string{mainFile, "is not a regular file"}},
		"sshd_config is 100 MB":             {instead(mainFile, large), []string{mainFile, "is larger than 4 MB"}},
		"sshd_config is gone":               {instead(mainFile, func(string) error { return nil }), []string{mainFile, "no such file"}},
		"sshd_config links to itself":       {instead(mainFile, func(p string) error { return os.Symlink("sshd_config", p) }), []string{mainFile, "symbolic links"}},
		"sshd_config links to nothing":      {instead(mainFile, func(p string) error { return os.Symlink("none", p) }), []string{mainFile, "no such file"}},
		"sshd_config is binary":             {instead(mainFile, text("\x7fELF\x02\x01\x01\x00\x00")), []string{mainFile, "NUL"}},
		"an included file is a directory":   {instead(extra, directory), []string{extra, "is not a regular file"}},
		"an included file is a socket":      {instead(extra, func(p string) error { return syscall.Mknod(p, syscall.S_IFSOCK|0o644, 0) }), []string{extra, "no such device"}},
		"an included file is binary":        {instead(extra, text("\x00\xff\xfe")), []string{extra, "NUL"}},
		"rubbish without NUL":               {instead(extra, text("\xff\xfe\x01\x02 \x80\n")), []string{extra, "line 1"}},
		"a keyword that sshd doesn't know":  {instead(extra, text("# a\nPortt 22\n")), []string{extra, "line 2", "Portt"}},
		"a value that sshd doesn't know":    {instead(extra, text("PrintMotd perhaps\n")), []string{extra, "line 1"}},
		"an open quote":                     {instead(extra, text("Include \"x\n")), []string{extra + ":1", "quote"}},
		"a file that includes itself":       {func(m *machine) error { return text("Include " + m.path(extra) + "\n")(m.path(extra)) }, []string{extra + ":1", "nested more than 16 deep"}},
		"a Match with nothing":              {instead(extra, text("Match\n")), []string{extra, "1"}},
		"a Match with what there is not":    {instead(extra, text("Match Moon full\n")), []string{extra, "1"}},
		"sshd_config.d links somewhere":     {func(m *machine) error { return m.linkFolder() }, []string{"etc/sshd_config.d", "is a link"}},
		"ten that include one another":      {func(m *machine) error { return m.tangle() }, []string{"Include", "sshd_config.d"}},
		"the pattern finds a whole machine": {instead(extra, text("Include /*/*/*/*/*/*\n")), []string{extra + ":1"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			if err := c.do(m); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			err := m.mustRefuse(c.want...)
			var short *NotVerifiedError
			if lines := strings.Split(err.Error(), "\n"); errors.As(err, &short) && len(short.Problems) != 1 || short == nil && len(lines) != 1 {
				t.Errorf("it is not one line: %v", err)
			}
			if len(err.Error()) > 4000 {
				t.Errorf("%d bytes: %.400s", len(err.Error()), err)
			}
			if m.read(dropIn) != "" {
				t.Error("something was changed")
			}
			t.Log(time.Since(began), err)
		})
	}
}

func (m *machine) linkFolder() error {
	return errors.Join(os.Rename(m.path("etc/sshd_config.d"), m.path("etc/real")), os.Symlink("real", m.path("etc/sshd_config.d")))
}

// tangle has 10 files that each include all of them: 10 to the power of 16 readings, if nobody counted.
func (m *machine) tangle() error {
	for n := range 10 {
		m.write("etc/sshd_config.d/"+strconv.Itoa(n)+".conf", m.include())
	}
	return nil
}

// sshd_config may be a link, as some who keep /etc in version control have it, as long as nothing has to be changed behind it.
func TestMainFileIsALink(t *testing.T) {
	m := newMachine(t)
	m.must(os.Rename(m.path(mainFile), m.path("real_config")))
	m.must(os.Symlink(m.path("real_config"), m.path(mainFile)))
	m.mustMend()
	m.mustRestore()
	was := "Port 2222\n" + m.read("real_config")
	m.write("real_config", was)
	m.mustRefuse(mainFile+":1", "Port adds up", "is a symbolic link")
	if m.read("real_config") != was || m.read(dropIn) != "" {
		t.Error("something was changed")
	}
}

// Match RDomain, and a criterion with each comparison there is, is no reason to refuse.
func TestMatchRDomain(t *testing.T) {
	m := newMachine(t)
	m.write(guide, "Match RDomain vrf-red\nForceCommand /bin/true\nMatch RDomain * User bob\nPasswordAuthentication yes\n")
	m.mustMend("50-guide.conf:4: commented out")
}
