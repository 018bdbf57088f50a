package audit

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// enabling finds commands that start or enable SSH; sshServer finds servers that are not ssh.service's own.
const (
	enabling  = `(systemctl\b.*\b(start|restart|enable|reenable|unmask)\b|service\b|invoke-rc\.d\b|rc-update\b).*\bsshd?(\.service|\.socket)?\b`
	sshServer = `(^|/)(sshd|dropbear|telnetd|in\.telnetd)\b`
)

// ownUnits may have sshd in them.
var ownUnits = [...]string{"ssh.service", "ssh@.service", "sshd@.service", "sshd.service", "ssh.socket", "sshd-keygen.service", "sshswitch.service",
	"sshd-unix-local@.service", "sshd-vsock@.service", "sshd-unix-local.socket", "sshd-vsock.socket", "rescue-ssh.target", "sshd@sshd-keygen.service.service"}

// enablers: what could switch SSH on again, or bring a server of its own.
func enablers(_ context.Context, m *Machine, n notes) {
	enable, server := regexp.MustCompile(enabling), regexp.MustCompile(sshServer)
	seen := map[string]bool{}
	for _, dir := range unitDirs {
		for _, name := range m.names(n, dir) {
			if seen[name] || !slices.Contains([]string{".service", ".socket", ".timer", ".path", ".target"}, filepath.Ext(name)) {
				continue
			}
			seen[name] = true // a unit of /etc hides one of /usr
			if slices.Contains(ownUnits[:], name) || strings.HasPrefix(name, "keyswitchd") {
				continue
			}
			if _, known := doorOf(name); known {
				continue
			}
			unitFile(m, n, dir+"/"+name, enable, server)
		}
	}
	scripts := []string{"/etc/rc.local", "/etc/crontab", "/etc/inetd.conf"}
	for _, dir := range []string{"/etc/cron.d", "/etc/cron.hourly", "/etc/cron.daily", "/etc/cron.weekly", "/etc/cron.monthly", "/var/spool/cron/crontabs", "/etc/xinetd.d"} {
		for _, name := range m.names(n, dir) {
			scripts = append(scripts, dir+"/"+name)
		}
	}
	for _, file := range scripts {
		for number, line := range lines(m.textOrLeave(n, file)) {
			if enable.MatchString(line) || server.MatchString(line) {
				n.add(Warning, "look at it, and take the line out", "%s:%d starts SSH or a server like it: %.120s", file, number, line)
			}
		}
	}
}

func doorOf(unit string) (door, bool) {
	for _, d := range doorsKnown {
		if d.unit == unit || d.unit == template(unit) {
			return d, true
		}
	}
	return door{}, false
}

func unitFile(m *Machine, n notes, file string, enable, server *regexp.Regexp) {
	text, err := m.text(file)
	if errors.Is(err, fs.ErrPermission) {
		n.left("%s can't be read: %s", file, why(err))
	}
	if err != nil {
		return // a link to /dev/null is a masked unit; other things no unit
	}
	name := filepath.Base(file)
	for number, line := range lines(text) {
		key, value, _ := strings.Cut(line, "=")
		switch key = strings.TrimSpace(key); {
		case strings.HasPrefix(key, "Exec") && enable.MatchString(value):
			n.add(Warning, "systemctl disable --now "+name, "%s:%d would switch SSH on: %.120s", file, number, value)
		case strings.HasPrefix(key, "Exec") && server.MatchString(strings.Fields(value + " -")[0]):
			n.add(Critical, "systemctl disable --now "+name, "%s:%d runs a server that no key guards: %.120s", file, number, value)
		case slices.Contains([]string{"Wants", "Requires", "Requisite", "BindsTo", "Upholds", "OnFailure", "OnSuccess", "Sockets"}, key) && wantsSSH(value):
			n.add(Warning, "systemctl disable --now "+name+", or take the line out with systemctl edit", "%s:%d pulls SSH in: %s", file, number, line)
		}
	}
}

func wantsSSH(value string) bool {
	return slices.ContainsFunc(strings.Fields(value), func(u string) bool { return u == "ssh.service" || u == "ssh.socket" || u == "sshd.service" })
}
