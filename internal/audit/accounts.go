package audit

import (
	"context"
	"slices"
	"strings"
)

// rootGroups make their members root by a detour.
var rootGroups = [...]struct{ group, how string }{
	{"docker", "a container can mount the whole disk"}, {"lxd", "a container can mount the whole disk"}, {"incus-admin", "a container can mount the whole disk"},
	{"disk", "the disk can be written past the file system"}, {"shadow", "the password hashes can be read"},
}

// rootAccounts: who is root, or nearly.
func rootAccounts(_ context.Context, m *Machine, n notes) {
	for _, a := range m.book.Accounts {
		if a.UID == 0 && a.Name != "root" {
			n.add(Critical, "userdel "+a.Name+", if it isn't yours", "%s is root under another name (user id 0)", a.Name)
		}
		if a.Name == "pi" && a.Person() {
			n.add(Info, "adduser NAME, give it what pi has, then passwd -l pi", "the account pi is there: the name that is tried first on every Raspberry Pi")
		}
	}
	for _, g := range rootGroups {
		group, ok := m.book.Group(g.group)
		if !ok {
			continue
		}
		for _, a := range m.book.Accounts {
			if a.UID != 0 && a.Person() && slices.Contains(group.Members, a.Name) {
				n.add(Warning, "gpasswd --delete "+a.Name+" "+g.group, "%s is in the group %s, which is as good as root: %s", a.Name, g.group, g.how)
			}
		}
	}
	for _, dir := range []string{"/etc/systemd/system/getty@tty1.service.d", "/etc/lightdm", "/etc/lightdm/lightdm.conf.d"} {
		for _, name := range m.names(n, dir) {
			if !strings.HasSuffix(name, ".conf") {
				continue
			}
			for number, line := range lines(m.textOrLeave(n, dir+"/"+name)) {
				if strings.Contains(line, "--autologin ") || strings.HasPrefix(line, "autologin-user=") && line != "autologin-user=" {
					n.add(Info, "raspi-config: System Options, Boot / Auto Login", "%s/%s:%d logs somebody in at the screen without a password: whoever stands there is in", dir, name, number)
				}
			}
		}
	}
}
