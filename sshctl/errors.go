package sshctl

import (
	"context"
	"errors"
	"fmt"
	"os/user"
	"strings"

	"github.com/godbus/dbus/v5"
)

// errAway is what Start and Stop answer when there is nobody to ask.
var errAway = errors.New("not connected to systemd over the system bus; is dbus running? type: systemctl status dbus")

// errName is the D-Bus name of an error, or "".
func errName(err error) string {
	if e, ok := errors.AsType[dbus.Error](err); ok {
		return e.Name
	}
	if e, ok := errors.AsType[*dbus.Error](err); ok {
		return e.Name
	}
	return ""
}

// transient reports whether the same call may work in a moment: the bus was restarted, or systemd re-executes itself and is
// off the bus meanwhile. The Spawn errors are dbus-daemon's answer when it tries to activate a systemd that is away.
func transient(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) {
		return false
	}
	if _, ok := errors.AsType[*JobError](err); ok {
		return false
	}
	switch name := errName(err); name {
	case "":
		return true // no D-Bus error at all: the connection broke, or the call went unanswered
	case "org.freedesktop.DBus.Error.NoReply",
		"org.freedesktop.DBus.Error.ServiceUnknown",
		"org.freedesktop.DBus.Error.NameHasNoOwner",
		"org.freedesktop.DBus.Error.Disconnected",
		"org.freedesktop.DBus.Error.Timeout",
		"org.freedesktop.DBus.Error.TimedOut",
		"org.freedesktop.DBus.Error.NoServer":
		return true
	default:
		return strings.HasPrefix(name, "org.freedesktop.DBus.Error.Spawn.")
	}
}

// notLoaded: systemd doesn't have the unit in memory, so it is neither running nor failed.
func notLoaded(err error) bool {
	return errName(err) == "org.freedesktop.systemd1.NoSuchUnit"
}

// explain turns a refused call about a unit into a sentence with the way out.
func explain(doing, unit string, err error) error {
	hint := ""
	switch errName(err) {
	case "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired",
		"org.freedesktop.DBus.Error.AccessDenied",
		"org.freedesktop.DBus.Error.AuthFailed":
		hint = fmt.Sprintf("; user %s may not: %s is missing or polkit is not running; reinstall keyswitchd and polkitd",
			whoami(), PolkitRule)
		if !guarded(unit) && !strings.HasPrefix(unit, "keyswitchd-") {
			hint = fmt.Sprintf("; user %s may not: %s does not name it or polkit is not running; type: keyswitchd arm", whoami(), OthersPolkitRule)
		}
	case "org.freedesktop.systemd1.UnitMasked":
		hint = "; type: systemctl unmask " + maskedUnit(err, unit)
	case "org.freedesktop.systemd1.NoSuchUnit":
		switch {
		case guarded(unit):
			hint = "; type: apt install openssh-server"
		case strings.HasPrefix(unit, "keyswitchd-"):
			hint = "; reinstall keyswitchd"
		default:
			hint = "; install what it belongs to, or take it out of units in keyswitchd.toml"
		}
	case "org.freedesktop.systemd1.LoadFailed", "org.freedesktop.systemd1.BadUnitSetting":
		hint = "; type: systemd-analyze verify " + unit
	}
	return fmt.Errorf("sshctl: %s %s: %w%s", doing, unit, err, hint)
}

// maskedUnit is the unit that the error names: it may be polkit's, which was to be asked.
func maskedUnit(err error, unit string) string {
	if _, rest, ok := strings.Cut(err.Error(), "Unit "); ok {
		if named, _, ok := strings.Cut(rest, " is masked"); ok {
			return named
		}
	}
	return unit
}

// whoami names the user of this process for an error text.
func whoami() string {
	u, err := user.Current()
	if err != nil {
		return "unknown"
	}
	return u.Username
}
