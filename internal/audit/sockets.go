package audit

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// socket is one that waits for others, proc_net(5).
type socket struct {
	proto string // "tcp", "udp"
	at    netip.AddrPort
	inode string
}

// process is the one that holds a socket.
type process struct {
	pid  int
	comm string // "sshd"; "" if it isn't known
	unit string // systemd's unit, from its control group; "" if it isn't known, or if it is one of a user's own
}

// shellPrograms let somebody in who has not been here before.
var shellPrograms = [...]string{"sshd", "dropbear", "tinysshd", "telnetd", "in.telnetd", "inetd", "xinetd", "vncserver-x11-c", "vncserver-virtu", "wayvnc",
	"Xvnc", "Xtigervnc", "x11vnc", "xrdp", "gnome-remote-de", "cockpit-ws", "cockpit-tls", "ttyd", "shellinaboxd", "in.rshd", "in.rlogind", "rustdesk", "anydesk", "teamviewerd"}

// listeningSockets names every program that can be reached from other machines.
func listeningSockets(_ context.Context, m *Machine, n notes) {
	var all []socket
	for _, f := range []struct{ proto, name, state string }{{"tcp", "tcp", "0A"}, {"tcp", "tcp6", "0A"}, {"udp", "udp", "07"}, {"udp", "udp6", "07"}} {
		// What /proc says grows while it is read, and its size is 0: not the way of other files.
		content, err := os.ReadFile(m.path("/proc/net/" + f.name))
		if err != nil {
			if !os.IsNotExist(err) || f.name == "tcp" { // no IPv6 is fine
				n.left("/proc/net/%s can't be read: %s", f.name, why(err))
			}
			continue
		}
		all = append(all, parseSockets(string(content), f.proto, f.state)...)
	}
	holders, complete := m.holders()
	if !complete {
		n.left("which programs listen: %s", needs())
	}
	said := map[string]bool{}
	for _, s := range all {
		if s.at.Addr().IsLoopback() {
			continue
		}
		p, known := holders[s.inode]
		who := p.comm
		switch {
		case known && p.unit != "":
			who += " (" + p.unit + ")"
		case !known && complete:
			who = "the kernel, or a program that can't be seen from here," // NFS, WireGuard; another container
		case !known:
			who = "some program"
		}
		severity, mend := m.judge(s, p)
		text := fmt.Sprintf("%s listens on %s %s", who, s.proto, s.at)
		if !said[text] {
			said[text] = true
			n.add(severity, mend, "%s", text)
		}
	}
}

// judge says how bad it is that p holds s.
func (m *Machine) judge(s socket, p process) (Severity, string) {
	stop := "if nobody needs it: systemctl disable --now " + p.unit
	if p.unit == "" {
		stop = "find out what it is: ss -lntup"
	}
	guarded := m.armed && (p.unit == "ssh.service" || p.unit == "ssh.socket" || template(p.unit) == "ssh@.service" || template(p.unit) == "sshd@.service") ||
		m.armed && p.pid == 1 && m.PolicyErr == nil && int(s.at.Port()) == m.Policy.Port // ssh.socket
	switch {
	case guarded && m.PolicyErr == nil && int(s.at.Port()) != m.Policy.Port:
		return Warning, "keyswitchd harden, and turn the key off and on"
	case guarded:
		return Info, "that is the one which the key guards"
	case slices.Contains(shellPrograms[:], p.comm) && s.proto == "tcp":
		if p.unit == "ssh.service" {
			return Critical, "keyswitchd arm"
		}
		return Critical, stop
	}
	return Info, stop
}

// parseSockets reads one of /proc/net/{tcp,udp}{,6}.
func parseSockets(text, proto, state string) []socket {
	var out []socket
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 10 || f[3] != state {
			continue
		}
		if at, ok := parseAddress(f[1]); ok {
			out = append(out, socket{proto, at, f[9]})
		}
	}
	return out
}

// parseAddress reads "0100007F:0016": the address in 32-bit words of this machine's byte order, which is little-endian on
// every Pi.
func parseAddress(text string) (netip.AddrPort, bool) {
	a, p, ok := strings.Cut(text, ":")
	raw, err := hex.DecodeString(a)
	port, err2 := strconv.ParseUint(p, 16, 16)
	if !ok || err != nil || err2 != nil || len(raw) != 4 && len(raw) != 16 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		slices.Reverse(raw[i : i+4])
	}
	addr, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(addr.Unmap(), uint16(port)), ok
}

// holders finds the processes by their open sockets. complete is false if some could not be looked into.
func (m *Machine) holders() (found map[string]process, complete bool) {
	found, complete = map[string]process{}, m.Root != "/" || os.Geteuid() == 0 // others may not even see all processes
	pids, err := os.ReadDir(m.path("/proc"))
	if err != nil {
		return found, false
	}
	for _, e := range pids {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		dir := m.path("/proc/" + e.Name())
		fds, err := os.ReadDir(dir + "/fd")
		if err != nil {
			complete = complete && os.IsNotExist(err) // it may have ended meanwhile
			continue
		}
		var p *process
		for _, fd := range fds {
			to, err := os.Readlink(filepath.Join(dir, "fd", fd.Name()))
			inode, ok := strings.CutPrefix(to, "socket:[")
			if err != nil || !ok {
				continue
			}
			if p == nil {
				p = m.process(dir)
				p.pid = pid
			}
			inode = strings.TrimSuffix(inode, "]")
			// systemd holds the sockets of socket units beside the service: the service is the one to name.
			if other, taken := found[inode]; !taken || other.pid == 1 {
				found[inode] = *p
			}
		}
	}
	return found, complete
}

func (m *Machine) process(dir string) *process {
	p := new(process)
	if comm, err := os.ReadFile(dir + "/comm"); err == nil {
		p.comm = strings.TrimSpace(string(comm))
	}
	if group, err := os.ReadFile(dir + "/cgroup"); err == nil {
		p.unit = unitOf(string(group))
	}
	return p
}

// unitOf is the unit in "0::/system.slice/ssh.service". In /user.slice the users give names as they like.
func unitOf(cgroup string) string {
	for line := range strings.Lines(cgroup) {
		if _, path, ok := strings.Cut(strings.TrimSpace(line), "::"); ok && !strings.HasPrefix(path, "/user.slice/") {
			parts := strings.Split(path, "/")
			for _, part := range slices.Backward(parts) {
				if e := filepath.Ext(part); e == ".service" || e == ".socket" || e == ".scope" {
					return part
				}
			}
		}
	}
	return ""
}
