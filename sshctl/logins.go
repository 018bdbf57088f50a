package sshctl

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// listen takes what sshd and its connections say until the pipe ends, and learns from it who logs in. With LogLevel QUIET
// nobody does, as far as this can tell. wg gets a goroutine for each connection that is there when somebody logs in.
func (c *Child) listen(p *process, out *os.File, wg *sync.WaitGroup) {
	login := regexp.MustCompile(`^Accepted \S+ for .* from (\S+) port (\d+)`)
	watched := make(map[int]bool)
	in := bufio.NewScanner(out)
	for in.Scan() {
		line := strings.TrimRight(in.Text(), "\r")
		_, _ = fmt.Fprintln(c.cfg.Log, line) // who can't log can still close
		p.mu.Lock()
		if p.lines = append(p.lines, line); len(p.lines) > lastWords {
			p.lines = p.lines[1:]
		}
		p.mu.Unlock()
		m := login.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		addr, err1 := netip.ParseAddr(m[1])
		port, err2 := strconv.ParseUint(m[2], 10, 16)
		if err1 != nil || err2 != nil {
			continue
		}
		peer := netip.AddrPortFrom(addr.Unmap(), uint16(port))
		c.set(func() { c.sessions[peer] = true })
		for pid, s := range processes() {
			if s.parent == p.cmd.Process.Pid && !watched[pid] {
				watched[pid] = true
				wg.Go(func() {
					awaitExit(pid)
					c.prune()
				})
			}
		}
		c.prune() // it may have gone before it was watched
	}
	// A line too long for the scanner: sshd must not block on a full pipe.
	buf := make([]byte, 4096)
	for {
		if _, err := out.Read(buf); err != nil {
			return
		}
	}
}

// awaitExit returns when the process has ended. It takes no thread meanwhile.
func awaitExit(pid int) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return // it has ended
	}
	f := os.NewFile(uintptr(fd), "pidfd")
	defer f.Close()
	raw, err := f.SyscallConn()
	if err != nil {
		return
	}
	// A pidfd is readable once the process has ended (pidfd_open(2)). An error ends the wait early, and only the count suffers.
	_ = raw.Read(func(fd uintptr) bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return n > 0 || err != nil && err != unix.EINTR
	})
}

// prune forgets logins whose connection is gone.
func (c *Child) prune() {
	there := established()
	c.set(func() {
		for peer := range c.sessions {
			if !there[peer] {
				delete(c.sessions, peer)
			}
		}
	})
}

// established lists the remote ends of this machine's TCP connections, from /proc/net/tcp and tcp6 (proc_net(5)).
func established() map[netip.AddrPort]bool {
	all := make(map[netip.AddrPort]bool)
	for _, name := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, _ := os.ReadFile(name) // no IPv6, no file
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			if len(f) < 4 || f[3] != "01" {
				continue
			}
			if peer, ok := parsePeer(f[2]); ok {
				all[peer] = true
			}
		}
	}
	return all
}

// parsePeer reads "0100007F:08AE": the address as 32-bit words in the byte order of this machine, the port as a number.
func parsePeer(text string) (netip.AddrPort, bool) {
	addr, rest, ok := strings.Cut(text, ":")
	var port uint16
	if _, err := fmt.Sscanf(rest, "%04X", &port); err != nil || !ok {
		return netip.AddrPort{}, false
	}
	raw := make([]byte, 0, 16)
	for len(addr) >= 8 {
		var word uint32
		if _, err := fmt.Sscanf(addr[:8], "%08X", &word); err != nil {
			return netip.AddrPort{}, false
		}
		raw, addr = binary.NativeEndian.AppendUint32(raw, word), addr[8:]
	}
	ip, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(ip.Unmap(), port), ok
}
