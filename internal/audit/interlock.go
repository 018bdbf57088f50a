package audit

import (
	"context"
	"strings"

	"keyswitchd/internal/interlock"
)

const dropIn = "50-keyswitchd.conf"

// guardKeys are what another drop-in could take back of the interlock, systemd.unit(5).
var guardKeys = [...]string{"AssertPathExists", "BindsTo", "KillMode", "ExecStartPre", "ExecReload", "ExecStart", "ExecCondition", "RefuseManualStart"}

// interlockInPlace: without it the key is an ornament.
func interlockInPlace(ctx context.Context, m *Machine, n notes) {
	missing := false
	for _, unit := range interlock.Units {
		source := unit
		if source == "sshd@.service" {
			source = "ssh@.service"
		}
		file := "/etc/systemd/system/" + unit + ".d/" + dropIn
		has, err := m.text(file)
		want, err2 := m.text("/usr/lib/keyswitchd/interlock/" + source + ".conf")
		switch {
		case err != nil || err2 != nil:
			n.add(Critical, "keyswitchd arm", "the interlock of %s can't be read", unit)
		case has == "":
			missing = true
		case has != want:
			n.add(Critical, "keyswitchd arm", "%s is not the interlock that this keyswitchd brings", file)
		}
		for _, name := range m.names(n, "/etc/systemd/system/"+unit+".d") {
			if name != dropIn && strings.HasSuffix(name, ".conf") {
				otherDropIn(m, n, "/etc/systemd/system/"+unit+".d/"+name)
			}
		}
	}
	if missing {
		n.add(Critical, "keyswitchd arm", "no key guards SSH: the interlock is not in place, or not on every unit")
		return
	}
	if m.Interlocked == nil {
		n.left("systemd was not asked whether it has loaded the interlock")
		return
	}
	for _, unit := range []string{"ssh.service", "ssh.socket"} {
		loaded, locked, err := m.Interlocked(ctx, unit)
		switch {
		case err != nil:
			n.left("systemd can't be asked about %s: %v", unit, err)
		case loaded && !locked:
			n.add(Critical, "systemctl daemon-reload", "systemd has not loaded the interlock of %s: it would start without the key", unit)
		}
	}
}

// otherDropIn: a later or an additional word on the same keys.
func otherDropIn(m *Machine, n notes, file string) {
	text := m.textOrLeave(n, file)
	for number, line := range lines(text) {
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			continue
		}
		key = strings.TrimSpace(key)
		for _, g := range guardKeys {
			if key == g {
				n.add(Warning, "look at it; systemctl cat shows what is in force", "%s:%d changes what the interlock depends on: %s=%s", file, number, key, strings.TrimSpace(value))
			}
		}
	}
}
