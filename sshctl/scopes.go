package sshctl

import (
	"context"
	"fmt"
	"os"
	"os/user"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	sd "github.com/coreos/go-systemd/v22/dbus"
)

// member is a process of a unit, as systemd sees it.
type member struct {
	Cgroup  string
	PID     uint32
	Command string // its command line or, if it has set one, its title, quoted as for a shell
}

// members asks systemd for the processes of a unit. The daemon can't look itself: other users' processes are hidden from it.
func (l *link) members(ctx context.Context, unit string) ([]member, error) {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	var all []member
	err := l.conn.Object(systemdName, systemdPath).CallWithContext(ctx, managerIface+".GetUnitProcesses", 0, unit).Store(&all)
	if notLoaded(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("sshctl: asking systemd for the processes of %s: %w", unit, err)
	}
	return all, nil
}

// sshdTitle matches what sshd calls the process of root's that watches over a connection: "sshd: pi [priv]", and since OpenSSH 9.8
// "sshd-session: pi [priv]", as systemd quotes it. Before it has set a title it is the command itself.
var sshdTitle = regexp.MustCompile(`^["']?(/\S*/)?sshd(-session)?(: | |$)`)

// ledBySSHD reports whether the leader of a scope is an sshd. Who the leader is logind has from sshd, and the title is set by the
// leader, which is root's. The executable itself would say the same; to see that one needs CAP_SYS_PTRACE.
func (l *link) ledBySSHD(ctx context.Context, scope string, leader uint32) (bool, error) {
	all, err := l.members(ctx, scope)
	for _, p := range all {
		if p.PID == leader && sshdTitle.MatchString(p.Command) {
			return true, err
		}
	}
	return false, err
}

// sessionScope matches the scopes that logind makes, one for each session.
func sessionScope(unit string) bool {
	return strings.HasPrefix(unit, "session-") && strings.HasSuffix(unit, ".scope")
}

// anyOwner and ownedByRoot say which processes are believed to be sshd's when their titles say so. Root's is; a title of anybody
// else's is only good enough to count by.
func anyOwner(uint32) bool { return true }

func ownedByRoot(pid uint32) bool {
	uid, ok := owner(pid)
	return ok && uid == 0
}

// owner is the real user of a process (proc_pid_status(5)): also of one that may not be traced, and of a setuid program that
// somebody runs.
func owner(pid uint32) (uid uint32, ok bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "Uid:" {
			n, err := strconv.ParseUint(f[1], 10, 32)
			return uint32(n), err == nil
		}
	}
	return 0, false
}

// sshScopes finds the SSH sessions where there is no logind to ask: the scopes that it has left with systemd, with an sshd in
// them that trusted believes.
func (l *link) sshScopes(ctx context.Context, trusted func(pid uint32) bool) ([]session, error) {
	all, err := l.sessionScopes(ctx)
	if err != nil {
		return nil, err
	}
	var found []session
	for _, u := range all {
		if !sessionScope(u.Name) || down(u.ActiveState) {
			continue
		}
		processes, err := l.members(ctx, u.Name)
		if err != nil {
			return nil, err
		}
		s := session{id: strings.TrimSuffix(strings.TrimPrefix(u.Name, "session-"), ".scope"), user: "somebody", uid: -1, scope: u.Name}
		ssh := false
		for _, p := range processes {
			ssh = ssh || sshdTitle.MatchString(p.Command) && trusted(p.PID)
			if uid, ok := owner(p.PID); ok && uid != 0 {
				s.user = strconv.FormatUint(uint64(uid), 10)
				if who, err := user.LookupId(s.user); err == nil {
					s.user = who.Username
				}
			}
		}
		if ssh {
			found = append(found, s)
		}
	}
	return found, nil
}

func (l *link) sessionScopes(ctx context.Context) ([]sd.UnitStatus, error) {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	all, err := l.sd.ListUnitsByPatternsContext(ctx, []string{}, []string{"session-*.scope"})
	if err != nil {
		return nil, fmt.Errorf("sshctl: asking systemd for the scopes of sessions: %w", err)
	}
	return all, nil
}

// endScope is endSession without logind. systemd's own stop of a scope gives the processes a minute and a half, so hard doesn't
// wait for it.
func (l *link) endScope(ctx context.Context, s session, hard bool) error {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	manager := l.conn.Object(systemdName, systemdPath)
	err := manager.CallWithContext(ctx, managerIface+".StopUnit", 0, s.scope, "replace").Err
	if err == nil && hard {
		err = manager.CallWithContext(ctx, managerIface+".KillUnit", 0, s.scope, "all", int32(syscall.SIGKILL)).Err
	}
	if err != nil && !notLoaded(err) {
		return fmt.Errorf("sshctl: ending session %s of %s: %w", s.id, s.user, err)
	}
	return nil
}
