package keyswitch

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"keyswitchd/gpio"
)

// kept is a lockdown in memory.
type kept struct {
	by               string
	locked           bool
	load, keep, lift error
	b                *bench
}

func (k *kept) Load() (string, bool, error) { return k.by, k.locked || k.load != nil, k.load }

func (k *kept) Keep(by string) error {
	k.b.note("keep " + by)
	k.b.mu.Lock()
	defer k.b.mu.Unlock()
	if k.keep == nil {
		k.by, k.locked = by, true
	}
	return k.keep
}

func (k *kept) Lift() error {
	k.b.note("lift")
	k.b.mu.Lock()
	defer k.b.mu.Unlock()
	if k.lift == nil {
		k.locked = false
	}
	return k.lift
}

func keeping(k *kept) func(*bench) {
	return func(b *bench) { k.b, b.ctl.Lockdown = b, k }
}

func TestLockdownFile(t *testing.T) {
	dir := t.TempDir()
	l := LockdownFile(filepath.Join(dir, "lockdown"))
	want := func(what, by string, locked, fails bool) {
		t.Helper()
		gotBy, gotLocked, err := l.Load()
		if gotBy != by || gotLocked != locked || (err != nil) != fails {
			t.Errorf("%s: got %q, %t, %v; want %q, %t, error %t", what, gotBy, gotLocked, err, by, locked, fails)
		}
	}
	want("nothing there", "", false, false)
	if err := l.Lift(); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := l.Keep("ada (session 1)"); err != nil {
			t.Error(err)
		}
		want("kept", "ada (session 1)", true, false)
	}
	for range 2 {
		if err := l.Lift(); err != nil {
			t.Error(err)
		}
		want("lifted", "", false, false)
	}
	for what, make := range map[string]func() error{
		"an empty file":    func() error { return os.WriteFile(string(l), nil, 0o600) },
		"a broken link":    func() error { return os.Symlink("nowhere", string(l)) },
		"a link elsewhere": func() error { return os.Symlink("/etc/passwd", string(l)) },
		"a folder":         func() error { return os.Mkdir(string(l), 0o700) },
	} {
		if err := make(); err != nil {
			t.Fatal(err)
		}
		want(what, "", true, false)
		if err := l.Keep("ada"); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if err := l.Lift(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := os.WriteFile(string(l), []byte("a\x1b[2J\nb"+strings.Repeat("c", byMax)), 0o600); err != nil {
		t.Fatal(err)
	}
	by, _, _ := l.Load()
	if !strings.HasPrefix(by, "a [2J b") || len(by) > byMax {
		t.Errorf("a name that would write on a terminal: %q", by)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	want("no folder", "", true, true)
	if err := l.Keep("ada"); err == nil {
		t.Error("kept in no folder")
	}
	if err := l.Lift(); err != nil {
		t.Error(err)
	}
	l = LockdownFile(filepath.Join(dir, strings.Repeat("x", 300)))
	want("unreadable", "", true, true)
}

func TestLockdown(t *testing.T) {
	k := &kept{}
	test(t, Settings{EndSessions: true}, func(b *bench) {
		b.key(keyOn)
		b.becomes(inside)
		if err := b.say(ForceOff, 0); err != nil {
			t.Error(err)
		}
		log := slices.DeleteFunc(b.log, func(s string) bool { return s != "revoke" && s != "keep ada" })
		if !slices.Equal(log, []string{"revoke", "keep ada"}) {
			t.Errorf("did %q, want the permit first, the disk afterwards", log)
		}
		b.want("locked down", false, gpio.Dark)
		if s := b.now(); s.Override != "off" || s.OverrideBy != "ada" || s.Code != "lockdown" || s.Fault || s.Expires != nil {
			t.Errorf("status %+v", s)
		}
		b.key(keyOff)
		b.key(keyOn)
		b.key(keyLost)
		b.key(keyOn)
		b.pass(100 * time.Hour)
		b.want("whatever the key says", false, gpio.Dark)
		b.change(func() { k.lift = errors.New("read-only file system") })
		for _, mode := range []OverrideMode{Auto, ForceOn} {
			if err := b.say(mode, time.Hour); !errors.Is(err, k.lift) {
				t.Errorf("%s: %v", mode, err)
			}
		}
		b.want("what can't be lifted stays", false, gpio.Dark, "lift", "lift")
		b.change(func() { k.lift = nil })
		if err := b.say(Auto, 0); err != nil {
			t.Error(err)
		}
		b.want("lifted, then open", true, gpio.Solid, "lift", "grant", "start")
	}, keeping(k))
}

func TestLockdownOfAFormerLife(t *testing.T) {
	k := &kept{locked: true, by: "ada"}
	test(t, Settings{}, func(b *bench) {
		b.want("before the key was read", false, gpio.Dark, "ready")
		b.told("before the key was read", "override lockdown SSH is locked down by ada")
		b.key(keyOn)
		b.want("the key is on", false, gpio.Dark)
		if err := b.say(ForceOn, time.Hour); err != nil {
			t.Error(err)
		}
		b.want("opened at the console", true, gpio.Solid, "lift", "grant", "start")
	}, keeping(k))
}

func TestLockdownThatCannotBeRead(t *testing.T) {
	k := &kept{load: errors.New("input/output error")}
	test(t, Settings{}, func(b *bench) {
		b.key(keyOn)
		b.want("counts as locked down", false, gpio.FastBlink, "ready")
		if s := b.now(); s.Code != "lockdown" || !s.Fault || !strings.Contains(s.Reason, "input/output error") {
			t.Errorf("status %+v", s)
		}
		if err := b.say(Auto, 0); err != nil {
			t.Error(err)
		}
		b.want("the key decides", true, gpio.Solid, "lift", "grant", "start")
	}, keeping(k))
}

// In force at once; but who locks down must know that a restart would forget it.
func TestLockdownThatCannotBeKept(t *testing.T) {
	k := &kept{keep: errors.New("read-only file system")}
	test(t, Settings{}, func(b *bench) {
		b.key(keyOn)
		if err := b.say(ForceOff, 0); !errors.Is(err, k.keep) {
			t.Errorf("got %v", err)
		}
		b.want("closed all the same", false, gpio.Dark)
		if p := b.now().Problems; len(p) != 1 || !strings.Contains(p[0], "read-only file system") {
			t.Errorf("problems %q", p)
		}
		b.change(func() { k.keep = nil })
		b.pass(lastRetry)
		b.want("tried again", false, gpio.Dark, "keep ada")
		if p := b.now().Problems; len(p) != 0 {
			t.Errorf("problems %q", p)
		}
		rounds := b.rounds()
		b.pass(100 * time.Hour)
		if n := b.rounds() - rounds; n != 0 {
			t.Errorf("%d rounds of the loop afterwards", n)
		}
	}, keeping(k))
}
