package interlock

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
)

// fakeSystemd records; the real one is in test/e2e. Here are the failures that it can't be made to have.
type fakeSystemd struct {
	enabled map[string]bool
	active  map[string]bool
	units   map[string]Unit
	fail    string // the call that fails, as "verb unit"
	did     []string
}

func (s *fakeSystemd) do(call string) error {
	s.did = append(s.did, call)
	if call == s.fail {
		s.fail = ""
		return errors.New("systemd says no to " + call)
	}
	return nil
}

func (s *fakeSystemd) Reload(context.Context) error { return s.do("reload") }
func (s *fakeSystemd) Enabled(_ context.Context, u string) (bool, error) {
	return s.enabled[u], s.do("enabled " + u)
}
func (s *fakeSystemd) Active(_ context.Context, u string) (bool, error) { return s.active[u], nil }
func (s *fakeSystemd) Unit(_ context.Context, name string) (Unit, error) {
	u, ok := s.units[name]
	if !ok {
		u.Load = "not-found"
	}
	if u.ID == "" {
		u.ID = name
	}
	return u, nil
}
func (s *fakeSystemd) Enable(_ context.Context, u string) error {
	s.enabled[u] = true
	return s.do("enable " + u)
}
func (s *fakeSystemd) Disable(_ context.Context, u string) error {
	s.enabled[u] = false
	return s.do("disable " + u)
}
func (s *fakeSystemd) Restart(_ context.Context, u string) error {
	s.active[u] = true
	return s.do("restart " + u)
}
func (s *fakeSystemd) Start(_ context.Context, u string) error {
	s.active[u] = true
	return s.do("start " + u)
}
func (s *fakeSystemd) Stop(_ context.Context, u string) error {
	s.active[u] = false
	return s.do("stop " + u)
}

// machine is a tree with an administrator's own drop-in and an sshd drop-in from an earlier life.
func machine(t *testing.T) (Machine, *fakeSystemd) {
	root := t.TempDir()
	m := Machine{Source: filepath.Join(root, "src"), Units: filepath.Join(root, "units"), State: filepath.Join(root, "state"),
		SSHConf: filepath.Join(root, "ssh", "00-keyswitchd.conf"), Rule: filepath.Join(root, "polkit", "50-keyswitchd-units.rules"), Root: root}
	for path, text := range map[string]string{
		filepath.Join(m.Source, "ssh.service.conf"):           "[Unit]\n",
		filepath.Join(m.Source, "ssh.socket.conf"):            "[Unit]\n",
		filepath.Join(m.Source, "ssh@.service.conf"):          "[Unit]\n",
		filepath.Join(m.Source, "other.service.conf"):         "[Unit]\n",
		filepath.Join(m.Source, "other.socket.conf"):          "[Unit]\n",
		filepath.Join(m.Source, "other@.service.conf"):        "[Unit]\nPartOf=@SOCKET@\n",
		filepath.Join(filepath.Dir(m.Rule), "10-mine.rules"):  "// mine\n",
		filepath.Join(m.Units, "ssh.service.d", "admin.conf"): "mine\n",
		m.SSHConf: "earlier\n",
	} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o640), os.Chmod(path, 0o640)); err != nil {
			t.Fatal(err)
		}
	}
	return m, &fakeSystemd{enabled: map[string]bool{}, active: map[string]bool{"ssh.service": true}}
}

// tree is every path below the machine's root with its mode and content.
func tree(t *testing.T, m Machine) map[string]string {
	out := map[string]string{}
	root := filepath.Dir(m.Source)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path == m.State {
			return fs.SkipDir
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		out[path] = info.Mode().String()
		if info.Mode().IsRegular() {
			text, err := os.ReadFile(path)
			out[path] += " " + string(text)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (m Machine) pretendHarden(context.Context) error {
	return os.WriteFile(m.SSHConf, []byte("hardened\n"), 0o644)
}

func TestArmAndDisarm(t *testing.T) {
	m, sd := machine(t)
	before := tree(t, m)
	if err := m.Arm(t.Context(), sd, nil, m.pretendHarden); err != nil {
		t.Fatal(err)
	}
	for _, unit := range Units {
		if _, err := os.Stat(filepath.Join(m.Units, unit+".d", dropIn)); err != nil {
			t.Error(err)
		}
	}
	reload, restart := slices.Index(sd.did, "reload"), slices.Index(sd.did, "restart keyswitchd.service")
	if reload < 0 || restart < reload {
		t.Errorf("did %q: the daemon must start when systemd has read the interlock", sd.did)
	}
	// Arming again, as an upgrade does, must not take the armed state for the one to go back to.
	if err := m.Arm(t.Context(), sd, nil, m.pretendHarden); err != nil {
		t.Fatal(err)
	}
	sd.active["ssh.service"] = false
	if err := m.Disarm(t.Context(), sd); err != nil {
		t.Fatal(err)
	}
	if after := tree(t, m); !reflect.DeepEqual(after, before) {
		t.Errorf("after:\n%v\nbefore:\n%v", after, before)
	}
	if sd.enabled["keyswitchd.service"] || sd.active["keyswitchd.service"] || !sd.active["ssh.service"] {
		t.Errorf("enabled %v, active %v", sd.enabled, sd.active)
	}
	if err := m.Disarm(t.Context(), sd); !errors.Is(err, ErrNotArmed) {
		t.Errorf("disarming again: %v", err)
	}
}

// Whatever fails on the way, nothing stays.
func TestArmFails(t *testing.T) {
	for _, fail := range []string{"enabled keyswitchd.service", "reload", "enable keyswitchd.service", "restart keyswitchd.service", "harden"} {
		t.Run(fail, func(t *testing.T) {
			m, sd := machine(t)
			before := tree(t, m)
			sd.fail = fail
			err := m.Arm(t.Context(), sd, nil, func(ctx context.Context) error {
				return errors.Join(m.pretendHarden(ctx), sd.do("harden"))
			})
			if err == nil {
				t.Fatal("armed")
			}
			if after := tree(t, m); !reflect.DeepEqual(after, before) {
				t.Errorf("after:\n%v\nbefore:\n%v", after, before)
			}
			if armed, err := m.Armed(); armed || err != nil {
				t.Errorf("armed %v, %v", armed, err)
			}
			if sd.enabled["keyswitchd.service"] || !sd.active["ssh.service"] {
				t.Errorf("enabled %v, active %v", sd.enabled, sd.active)
			}
		})
	}
}

// A disarming that was cut short is finished by the next.
func TestDisarmAgain(t *testing.T) {
	m, sd := machine(t)
	before := tree(t, m)
	if err := m.Arm(t.Context(), sd, nil, m.pretendHarden); err != nil {
		t.Fatal(err)
	}
	sd.fail = "stop keyswitchd.service"
	if err := m.Disarm(t.Context(), sd); err == nil {
		t.Fatal("the failure was swallowed")
	}
	if err := m.Disarm(t.Context(), sd); err != nil {
		t.Fatal(err)
	}
	if after := tree(t, m); !reflect.DeepEqual(after, before) {
		t.Errorf("after:\n%v\nbefore:\n%v", after, before)
	}
}

// What hardening has changed is put back by disarming, and by an arming that fails, unless it was hardened by hand before.
func TestRestoresWhatWasHardened(t *testing.T) {
	for name, c := range map[string]struct {
		before, fails, want bool
	}{
		"disarming":                     {want: true},
		"disarming, hardened before":    {before: true, want: true},
		"arming fails":                  {fails: true, want: true},
		"arming fails, hardened before": {before: true, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			m, sd := machine(t)
			restored := false
			m.Hardened = func() (bool, error) { return c.before, nil }
			m.Restore = func(context.Context) error { restored = true; return nil }
			if c.fails {
				sd.fail = "restart keyswitchd.service"
			}
			err := m.Arm(t.Context(), sd, nil, m.pretendHarden)
			if (err != nil) != c.fails || restored && !c.fails {
				t.Fatalf("%v, restored %v", err, restored)
			}
			if !c.fails {
				if err := m.Disarm(t.Context(), sd); err != nil {
					t.Fatal(err)
				}
			}
			if restored != c.want {
				t.Errorf("restored %v, want %v", restored, c.want)
			}
		})
	}
}

// A file that can't be put back leaves the machine armed, so that disarming can be tried again.
func TestRestoreFails(t *testing.T) {
	m, sd := machine(t)
	if err := m.Arm(t.Context(), sd, nil, m.pretendHarden); err != nil {
		t.Fatal(err)
	}
	m.Restore = func(context.Context) error { return errors.New("read-only") }
	if err := m.Disarm(t.Context(), sd); err == nil {
		t.Fatal("disarmed")
	}
	if armed, err := m.Armed(); !armed || err != nil {
		t.Errorf("armed %v, %v", armed, err)
	}
	m.Restore = nil
	if err := m.Disarm(t.Context(), sd); err != nil {
		t.Error(err)
	}
}
