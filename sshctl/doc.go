// Package sshctl opens and closes SSH and tells the truth about it.
//
// A [Door] is one way to do that. [Systemd] starts, stops and watches ssh.service (or ssh.socket where that is the enabled
// way in) over the system bus. [Child] supervises an sshd of its own where there is no systemd: simulation and containers.
//
// What it refuses to do: it decides nothing (internal/keyswitch does), it never touches sshd's configuration (hardening
// does), it never enables, disables, masks or edits a unit, it touches no unit but the ones named here, and it never says
// closed unless it has just seen every guarded unit down. Whatever it doesn't know counts as not closed.
package sshctl

import (
	"context"
	"fmt"
	"reflect"
)

// The names that systemd and deploy/ agree on. They stand in the polkit rule and in the drop-ins too.
const (
	// Service is the sshd unit of Debian, Ubuntu and Raspberry Pi OS. "sshd.service" is only an alias of it there.
	Service = "ssh.service"
	// Socket is its socket unit. Stock Debian ships it disabled and with Accept=no, so that it starts Service.
	Socket = "ssh.socket"
	// EndSessionsUnit is the root-owned oneshot that ends SSH sessions; it runs [TerminateRemoteSessions].
	EndSessionsUnit = "keyswitchd-end-sessions.service"
	// WarnUnit is the root-owned oneshot that writes to the terminals of SSH sessions, without its instance: the unit's name
	// is WarnUnit + Warning + ".service". It runs [WarnRemoteSessions].
	WarnUnit = "keyswitchd-warn@"
	// DaemonUnit is the daemon itself.
	DaemonUnit = "keyswitchd.service"
	// DropIn is how the path of the interlock's drop-in ends, whichever unit it is for.
	DropIn = "/50-keyswitchd.conf"
	// permitPath is what the interlock's assertion asks for.
	permitPath = "/run/keyswitchd/permit"
	// hardenProgram is what the interlock has run, with "harden", before ssh's units start.
	hardenProgram = "/usr/sbin/keyswitchd"
	// PolkitRule is the file that lets the daemon's user start and stop the guarded units.
	PolkitRule = "/usr/share/polkit-1/rules.d/50-keyswitchd.rules"
	// OthersPolkitRule does the same for the other units; `keyswitchd arm` writes it. polkit takes the rules in the order of their
	// names, and this one is asked before PolkitRule, which says no to everything that it doesn't name.
	OthersPolkitRule = "/etc/polkit-1/rules.d/50-keyswitchd-units.rules"
)

// State is what is known of SSH at one moment. The zero value is not a valid state; an unknown one has Active "unknown".
type State struct {
	// Active is the ActiveState of the way in (org.freedesktop.systemd1(5)): "inactive", "activating", "active",
	// "deactivating", "failed"; "unknown" while the bus is away. "reloading" and "refreshing" are shown as "active",
	// "maintenance" as "inactive", because that is what they are for a door.
	Active string
	// Closed: every guarded unit (ssh's service, socket and instances, and the guarded Others) is inactive or failed. False when unknown.
	Closed bool
	// Down: ssh's own units are inactive or failed, whatever the Others are. False when unknown.
	Down bool
	// Open: something may accept connections, because the service or the socket is active.
	Open bool
	// Unit is the way in: "ssh.service" or "ssh.socket"; "sshd" for a Child.
	Unit string
	// Result is systemd's Result of a failed unit ("exit-code", "timeout", ...), else "".
	Result string
	// Interlocked: each guarded unit that exists was loaded with the interlock's drop-in.
	Interlocked bool
	// Sessions counts logged-in SSH sessions.
	Sessions int
	// Others are the further units of SystemdConfig.Units, in that order, each socket followed by the services that it starts.
	Others []Other
	// Err says why the state is unknown. Nil otherwise.
	Err error
}

// Other is a unit beside SSH that the same key guards.
type Other struct {
	// Unit is its name, such as "cockpit.socket".
	Unit string
	// Active is as State.Active.
	Active string
	// Result is as State.Result.
	Result string
	// Guarded: it was loaded with the interlock's drop-in. One that wasn't is neither started nor stopped, and isn't counted in
	// State.Closed: `keyswitchd arm` has not been run since it was named.
	Guarded bool
}

// Warning is what WarnSessions tells the people who are logged in over SSH.
type Warning string

const (
	// Closing: SSH has been closed, and their sessions end when the grace time is over.
	Closing Warning = "closing"
	// Expiring: SSH closes soon by itself, because the time that the key or an override gives it ends.
	Expiring Warning = "expiring"
)

// same reports whether a reader of both would see no difference. Errors are compared by their text.
func (s State) same(t State) bool {
	es, et := "", ""
	if s.Err != nil {
		es = s.Err.Error()
	}
	if t.Err != nil {
		et = t.Err.Error()
	}
	s.Err, t.Err = nil, nil
	return reflect.DeepEqual(s, t) && es == et
}

// Door is one way to open and close SSH. All methods may be called from different goroutines at once.
type Door interface {
	// Run watches until ctx ends, then returns nil. It reports the first State as soon as it is known and then each
	// change; two calls of report never overlap. The other methods only work while Run does.
	Run(ctx context.Context, report func(State)) error
	// Start opens SSH and waits until it is open. A *JobError says that systemd ran the job and how it ended. A Start
	// called while a Stop runs waits for it; a Stop that comes later makes it end with result "canceled".
	Start(ctx context.Context) error
	// Stop closes SSH and returns nil only when every guarded unit has been seen inactive or failed since. It replaces a
	// start in progress, and clears a failed state so that the next start is not held up by it.
	Stop(ctx context.Context) error
	// EndSessions ends logged-in SSH sessions and waits until they are gone.
	EndSessions(ctx context.Context) error
	// StartOthers starts the guarded other units that are down. The errors are joined; each names its unit.
	StartOthers(ctx context.Context) error
	// WarnSessions writes a short message to the terminals of the SSH sessions, and returns when that is done.
	WarnSessions(ctx context.Context, w Warning) error
}

// JobError is a job that ran and did not end "done".
type JobError struct {
	Unit   string // the unit
	Job    string // "start", "stop" or "restart"
	Result string // as in org.freedesktop.systemd1(5), JobRemoved: "failed", "canceled", "timeout", "dependency", "assert", ...
	Detail string // what the program itself said, if known; may have several lines
}

// Error says what was done to which unit, how it ended and where to look.
func (e *JobError) Error() string {
	doing := map[string]string{"start": "starting", "stop": "stopping", "restart": "restarting"}[e.Job]
	text := fmt.Sprintf("sshctl: %s %s: ", doing, e.Unit)
	switch e.Result {
	case "canceled":
		return text + "canceled by a later job"
	case "assert":
		return text + "an assertion of its drop-in does not hold: the permit or the hardening is missing"
	case "dependency":
		return text + "a unit that it needs did not start; type: systemctl list-dependencies " + e.Unit
	case "timeout":
		text += "took longer than systemd allows"
	case "lost":
		text += "systemd was restarted and forgot the job"
	default:
		text += "the job ended " + e.Result
	}
	if e.Detail != "" {
		return text + ": " + e.Detail
	}
	return text + "; type: journalctl -b -u " + e.Unit
}
