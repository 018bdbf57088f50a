// Package audit looks over the whole machine for ways round the key: what keyswitchd itself guards, the other doors, the
// accounts behind them and the files that decide. Each subject has a file of its own, each check looks below a root
// directory, so that a tree in a test is as good as a machine. It only reads: it opens no connection, guesses no more
// than a handful of passwords that everybody knows, and leaves the mending to whoever reads it.
package audit

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"keyswitchd/hardening"
	"keyswitchd/internal/accounts"
	"keyswitchd/internal/lockout"
)

// Severity says how much a finding matters.
type Severity int

// The severities. Warning and worse make `keyswitchd audit` exit with 1.
const (
	Info     Severity = iota // worth knowing
	Warning                  // weakens what the key or the policy is for
	Critical                 // a way round the key, or into the machine
)

// String is "info", "warning" or "critical".
func (s Severity) String() string {
	switch s {
	case Info:
		return "info"
	case Warning:
		return "warning"
	default:
		return "critical"
	}
}

// MarshalText writes what String says.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Finding is one thing that was found.
type Finding struct {
	Check    string   `json:"check"`
	Severity Severity `json:"severity"`
	Found    string   `json:"found"`
	Mend     string   `json:"mend,omitempty"` // what to type, or to write where
}

// LeftOut is a check, or a part of one, that could not be made. It is never a pass.
type LeftOut struct {
	Check string `json:"check"`
	Why   string `json:"why"`
}

// Report is the outcome. The JSON names are a promise to scripts; docs/audit.md lists them.
type Report struct {
	At       time.Time `json:"at"`
	Checks   []string  `json:"checks"`   // all that were asked for, by name
	Findings []Finding `json:"findings"` // the worst first
	LeftOut  []LeftOut `json:"left_out"`
}

// Exit codes of `keyswitchd audit`.
const (
	ExitFound      = 1 // at least one warning or worse
	ExitIncomplete = 2 // none, but something was left out
)

// Exit is the exit code for r; 0 says that all checks were made and found nothing above info.
func (r Report) Exit() int {
	switch {
	case slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Severity > Info }):
		return ExitFound
	case len(r.LeftOut) > 0:
		return ExitIncomplete
	}
	return 0
}

// Unit is what systemd says of one unit.
type Unit struct {
	Name    string
	Active  bool // runs, listens, or is about to
	Enabled bool // starts at boot
}

// Machine is what is looked over. Functions that are nil are left out, with a word about it.
type Machine struct {
	Root   string // "/", or a tree in a test
	Now    time.Time
	Policy hardening.Policy
	// PolicyErr is why the policy isn't known; what depends on it is left out.
	PolicyErr error
	// Holds asks sshd whether its configuration has the policy; it returns what falls short of it.
	Holds func(ctx context.Context) ([]string, error)
	// LockedOut is what would lock the admin out.
	LockedOut func() ([]lockout.Problem, error)
	// Units asks systemd which units run. What starts at boot is seen from the files, too.
	Units func(ctx context.Context) ([]Unit, error)
	// Interlocked asks systemd whether a unit is loaded with the interlock; false for one that isn't loaded at all.
	Interlocked func(ctx context.Context, unit string) (loaded, interlocked bool, err error)
	// Addresses are the machine's own.
	Addresses func() ([]netip.Addr, error)

	book  *accounts.Book // what several checks look at, read once
	units []Unit
	armed bool
}

// notes takes down what one check finds.
type notes struct {
	check string
	r     *Report
}

func (n notes) add(s Severity, mend, found string, args ...any) {
	n.r.Findings = append(n.r.Findings, Finding{n.check, s, printable(fmt.Sprintf(found, args...)), printable(mend)})
}

func (n notes) left(why string, args ...any) {
	n.r.LeftOut = append(n.r.LeftOut, LeftOut{n.check, printable(fmt.Sprintf(why, args...))})
}

type check struct {
	name string
	run  func(context.Context, *Machine, notes)
}

// checks are in the order of the report. Names are a promise to scripts.
func checks() []check {
	return []check{
		{"policy", policyHolds}, {"choices", policyChoices}, {"interlock", interlockInPlace}, {"lockout", lockedOut},
		{"doors", otherDoors}, {"enablers", enablers}, {"sockets", listeningSockets}, {"ipv6", ipv6Reach},
		{"passwords", passwords}, {"accounts", rootAccounts}, {"sudo", sudoers},
		{"keys", authorizedKeys}, {"host-keys", hostKeys}, {"moduli", moduli}, {"files", fileModes}, {"openssh", opensshAge},
	}
}

// Run makes all checks. It ends early, with the rest left out, if ctx does.
func (m Machine) Run(ctx context.Context) Report {
	r := Report{At: m.Now, Findings: []Finding{}, LeftOut: []LeftOut{}}
	all := notes{"all", &r}
	book, err := accounts.Read(m.Root)
	if err != nil {
		all.left("the accounts are not known: %v", err)
		book = new(accounts.Book)
	}
	if len(book.Elsewhere) > 0 {
		all.left("accounts from %s are not known here: only those in /etc/passwd were looked at", strings.Join(book.Elsewhere, ", "))
	}
	m.book = book
	if m.Units == nil {
		all.left("systemd was not asked")
	} else if m.units, err = m.Units(ctx); err != nil {
		all.left("systemd can't be asked which units run: %v", err)
	}
	m.armed = exists(m.path("/etc/systemd/system/ssh.service.d/" + dropIn))
	for _, c := range checks() {
		n := notes{c.name, &r}
		r.Checks = append(r.Checks, c.name)
		if ctx.Err() != nil {
			n.left("there was no time left: %v", ctx.Err())
			continue
		}
		c.run(ctx, &m, n)
	}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int { return int(b.Severity) - int(a.Severity) })
	return r
}

func (m *Machine) path(name string) string { return filepath.Join(m.Root, name) }

// unit finds what systemd says of a unit; a template's instances count as the template.
func (m *Machine) unit(name string) (active, enabled bool) {
	for _, u := range m.units {
		if u.Name == name || template(u.Name) == name {
			active, enabled = active || u.Active, enabled || u.Enabled
		}
	}
	return active, enabled || m.wanted(name)
}

// template is getty@.service for getty@tty1.service, else the name itself.
func template(unit string) string {
	before, after, ok := strings.Cut(unit, "@")
	dot := strings.LastIndexByte(after, '.')
	if !ok || dot < 0 {
		return unit
	}
	return before + "@" + after[dot:]
}

// unitDirs are where units lie, systemd.unit(5); what stands first hides what comes later.
var unitDirs = [...]string{"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"}

// wanted looks for the link that `systemctl enable` or a package makes, of a template for any of its instances.
func (m *Machine) wanted(name string) bool {
	name = strings.Replace(name, "@.", "@*.", 1)
	for _, dir := range unitDirs {
		for _, kind := range []string{"wants", "requires", "upholds"} {
			links, err := filepath.Glob(m.path(dir + "/*." + kind + "/" + name))
			if err == nil && len(links) > 0 && !m.masked(filepath.Base(links[0])) {
				return true
			}
		}
	}
	return false
}

// masked: a link to /dev/null, or an empty file, instead of the unit.
func (m *Machine) masked(name string) bool {
	for _, dir := range unitDirs[:2] {
		if to, err := os.Readlink(m.path(dir + "/" + name)); err == nil && to == "/dev/null" {
			return true
		}
	}
	return false
}
