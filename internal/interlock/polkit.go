package interlock

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/godbus/dbus/v5"
)

const (
	ruleHeader = "// Written by `keyswitchd arm` from units in keyswitchd.toml, taken away by `keyswitchd disarm`."
	ruleText   = ruleHeader + `
// keyswitchd's own user may start, stop and reset these units too. polkit asks this file before 50-keyswitchd.rules.
polkit.addRule(function (action, subject) {
    if (subject.user !== "keyswitchd" || action.id !== "org.freedesktop.systemd1.manage-units") {
        return polkit.Result.NOT_HANDLED;
    }
    var units = %s;
    var verbs = ["start", "stop", "reset-failed"];
    if (units.indexOf(action.lookup("unit")) >= 0 && verbs.indexOf(action.lookup("verb")) >= 0) {
        return polkit.Result.YES;
    }
    return polkit.Result.NOT_HANDLED;
});
`
)

// writeRule has polkit permit exactly units. With none there is no file. polkitd sees it by inotify.
//
// The folder belongs to polkitd in some releases, so it isn't one that package folder would touch; what polkitd puts there it
// could permit anyway. The file appears whole or not at all.
func (m Machine) writeRule(units []string) error {
	if len(units) == 0 {
		return m.removeRule()
	}
	names, err := json.Marshal(units) // the names are plain, and JSON is JavaScript
	if err != nil {
		return err
	}
	text := fmt.Appendf(nil, ruleText, names)
	has, err := os.ReadFile(m.Rule)
	switch {
	case err == nil && bytes.Equal(has, text):
		return nil
	case err == nil && !bytes.HasPrefix(has, []byte(ruleHeader)):
		return fmt.Errorf("interlock: writing %s: somebody else's file is there; move it away", m.Rule)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("interlock: writing %s: %w", m.Rule, err)
	}
	temporary := filepath.Join(filepath.Dir(m.Rule), ".keyswitchd-"+rand.Text()) // polkit reads nothing but *.rules
	err = func() error {
		f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		_, err = f.Write(text)
		return errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	}()
	if err == nil {
		err = os.Rename(temporary, m.Rule)
	}
	if err != nil {
		_ = os.Remove(temporary) // nobody reads it
		return fmt.Errorf("interlock: writing %s: %w; is polkitd installed?", m.Rule, err)
	}
	return nil
}

func (m Machine) removeRule() error {
	has, err := os.ReadFile(m.Rule)
	if err == nil && bytes.HasPrefix(has, []byte(ruleHeader)) {
		err = os.Remove(m.Rule)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("interlock: removing %s: %w", m.Rule, err)
	}
	return nil
}

// polkitWithin is how long polkitd may take to read a rule that has just been written.
const polkitWithin = 20 * time.Second

// AwaitPermits waits until polkit lets the daemon start and stop units. An error says which one it doesn't.
func AwaitPermits(ctx context.Context, sd Permitter, units []string) error {
	ctx, cancel := context.WithTimeout(ctx, polkitWithin)
	defer cancel()
	for _, unit := range units {
		for _, verb := range []string{"start", "stop"} {
			for {
				ok, err := sd.Permits(ctx, verb, unit)
				if ok {
					break
				}
				select {
				case <-time.After(200 * time.Millisecond):
				case <-ctx.Done():
					return errors.Join(fmt.Errorf("interlock: polkit does not let keyswitchd %s %s; type: systemctl restart polkit, then keyswitchd arm", verb, unit), err)
				}
			}
		}
	}
	return nil
}

// Permitter knows what polkit answers. It is implemented by Bus.
type Permitter interface {
	// Permits reports whether polkit lets the daemon that runs do verb with unit.
	Permits(ctx context.Context, verb, unit string) (bool, error)
}

// Permits implements Permitter. Only root may ask polkit about somebody else.
func (b *Bus) Permits(ctx context.Context, verb, unit string) (bool, error) {
	conn, err := dbus.ConnectSystemBus(dbus.WithContext(ctx))
	if err != nil {
		return false, fmt.Errorf("interlock: connecting to the system bus: %w", err)
	}
	defer conn.Close()
	var daemon string
	err = conn.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.GetNameOwner", 0, "org.keyswitchd1").Store(&daemon)
	if err != nil {
		return false, fmt.Errorf("interlock: looking for keyswitchd on the bus: %w", err)
	}
	type subject struct {
		Kind    string
		Details map[string]dbus.Variant
	}
	var answer struct {
		Authorized, Challenge bool
		Details               map[string]string
	}
	err = conn.Object("org.freedesktop.PolicyKit1", "/org/freedesktop/PolicyKit1/Authority").CallWithContext(ctx,
		"org.freedesktop.PolicyKit1.Authority.CheckAuthorization", 0,
		subject{"system-bus-name", map[string]dbus.Variant{"name": dbus.MakeVariant(daemon)}},
		"org.freedesktop.systemd1.manage-units", map[string]string{"unit": unit, "verb": verb}, uint32(0), "").Store(&answer)
	if err != nil {
		return false, fmt.Errorf("interlock: asking polkit: %w", err)
	}
	return answer.Authorized, nil
}
