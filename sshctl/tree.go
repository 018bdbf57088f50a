package sshctl

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// stat is what proc_pid_stat(5) says of a process.
type stat struct {
	pid, parent, session int
	zombie               bool
	since                uint64 // field 22, clock ticks since boot
}

func readStat(pid int) (stat, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, err
	}
	// The name in field 2 may hold blanks and parentheses; the last ) ends it.
	f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(f) < 20 {
		return stat{}, fmt.Errorf("/proc/%d/stat: too short", pid)
	}
	s := stat{pid: pid, zombie: f[0] == "Z" || f[0] == "X"}
	var errs [3]error
	s.parent, errs[0] = strconv.Atoi(f[1])
	s.session, errs[1] = strconv.Atoi(f[3])
	s.since, errs[2] = strconv.ParseUint(f[19], 10, 64)
	return s, errors.Join(errs[:]...)
}

func startTime(pid int) (uint64, error) {
	s, err := readStat(pid)
	return s.since, err
}

// processes reads all of /proc. What ends meanwhile is left out.
func processes() map[int]stat {
	all := make(map[int]stat)
	dir, err := os.Open("/proc")
	if err != nil {
		return all
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1) // what could be read is as good as there is
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			if s, err := readStat(pid); err == nil {
				all[pid] = s
			}
		}
	}
	return all
}

// sweep kills what an sshd has started and returns how many it found alive in its last look. With a listener, those are its
// descendants, and it looks once: the listener itself reaps them. With none (0), those are our own children which lost their
// parent: started after since, in a session other than ours, as each connection and each login is. It then looks and
// reaps until there are none.
func sweep(listener int, since uint64) int {
	own, _ := unix.Getsid(0) // of ourselves; it can't fail
	for {
		all := processes()
		below := make(map[int]bool)
		var grow func(pid int)
		grow = func(pid int) {
			below[pid] = true
			for _, s := range all {
				if s.parent == pid && !below[s.pid] {
					grow(s.pid)
				}
			}
		}
		var ours []int
		for _, s := range all {
			orphan := listener == 0 && s.parent == os.Getpid() && s.session != own && s.since >= since
			if orphan {
				ours = append(ours, s.pid)
			}
			if orphan || listener != 0 && s.parent == listener {
				grow(s.pid)
			}
		}
		alive := 0
		for pid := range below {
			if !all[pid].zombie {
				alive++
				_ = unix.Kill(pid, unix.SIGKILL) // ESRCH: it has just ended
			}
		}
		if listener != 0 {
			return alive
		}
		if len(ours) == 0 {
			return 0
		}
		for _, pid := range ours {
			for {
				if _, err := unix.Wait4(pid, nil, 0, nil); err != unix.EINTR {
					break // reaped, or ECHILD: somebody else did
				}
			}
		}
	}
}

// Holder says who listens on a TCP port of this machine, as far as this user may know, for messages such as "the port is taken
// by ...".
func Holder(port int) string {
	inodes := make(map[string]bool)
	for _, name := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, _ := os.ReadFile(name) // no IPv6, no file
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			if len(f) > 9 && f[3] == "0A" && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) {
				inodes["socket:["+f[9]+"]"] = true
			}
		}
	}
	for pid := range processes() {
		dir := fmt.Sprintf("/proc/%d", pid)
		fds, _ := os.ReadDir(dir + "/fd") // another user's: can't be seen
		for _, fd := range fds {
			if link, err := os.Readlink(dir + "/fd/" + fd.Name()); err == nil && inodes[link] {
				comm, _ := os.ReadFile(dir + "/comm")
				return fmt.Sprintf("%s (pid %d)", strings.TrimSpace(string(comm)), pid)
			}
		}
	}
	if len(inodes) == 0 {
		return "a process that has gone by now"
	}
	return "a process of another user"
}
