package hardening

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"keyswitchd/internal/folder"
)

// The paths of Debian and of keyswitchd's units.
const (
	DefaultConfigFile = "/etc/ssh/sshd_config"
	DefaultDropIn     = "/etc/ssh/sshd_config.d/00-keyswitchd.conf"
	DefaultResultFile = "/run/keyswitchd-harden/result.json"
	DefaultBackup     = "/var/lib/keyswitchd/backup"
	DefaultSSHD       = "/usr/sbin/sshd"
	DefaultSSH        = "/usr/bin/ssh"
)

// Options is what Harden works on. Every empty path has its default; each must be absolute.
type Options struct {
	Policy Policy
	// Source is the file that the policy came from, for the drop-in's first line.
	Source string

	ConfigFile string // DefaultConfigFile: sshd's main file; as all that it draws in, it is mended where it contradicts the policy
	DropIn     string // DefaultDropIn: keyswitchd's own file
	Backup     string // DefaultBackup: the folder that keeps each file as it was
	ResultFile string // DefaultResultFile: in a directory of its own
	SSHD       string // DefaultSSHD
	SSH        string // DefaultSSH, asked what is supported (-Q)

	// SSHDArgs is what sshd gets on its command line beside -f: Debian's SSHD_OPTS, which beats every file.
	SSHDArgs []string

	// Standalone makes ConfigFile itself the file that is written, whole: the policy and the Extra lines.
	// For an sshd of one's own, as any user; DropIn is ignored.
	Standalone bool
	// Extra is lines of keywords that the policy doesn't govern (HostKey, PidFile), for Standalone only.
	Extra []string

	// Warnings are the caller's own findings, one line each. They are kept with the result and don't touch Verified.
	Warnings []string

	// Force verifies even if nothing has changed.
	Force bool
	// CheckOnly verifies what is there and changes nothing, the result file neither.
	CheckOnly bool

	exec      runner                       // nil: the real programs
	addresses func() ([]netip.Addr, error) // nil: this machine's
	release   Release                      // set by abilities
}

func (o *Options) fill() error {
	for _, p := range []struct {
		what  string
		path  *string
		usual string
	}{
		{"sshd's configuration", &o.ConfigFile, DefaultConfigFile}, {"the drop-in", &o.DropIn, DefaultDropIn},
		{"the backups", &o.Backup, DefaultBackup}, {"the result", &o.ResultFile, DefaultResultFile}, {"sshd", &o.SSHD, DefaultSSHD}, {"ssh", &o.SSH, DefaultSSH},
	} {
		if *p.path == "" {
			*p.path = p.usual
		}
		if !filepath.IsAbs(*p.path) || filepath.Clean(*p.path) != *p.path {
			return fmt.Errorf("hardening: the path of %s is %q; give an absolute one without . and ..", p.what, *p.path)
		}
	}
	if o.Standalone {
		o.DropIn = o.ConfigFile
	} else if len(o.Extra) > 0 {
		return errors.New("hardening: extra lines are for a stand-alone configuration only")
	}
	if strings.ContainsFunc(o.Source, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("hardening: the policy's file %q has a control character in its name; rename it", o.Source)
	}
	if err := validateArgs(o.SSHDArgs); err != nil {
		return err
	}
	if err := o.Policy.Validate(); err != nil {
		return fmt.Errorf("hardening: the policy: %w", err)
	}
	return nil
}

func (o *Options) run(ctx context.Context, path string, args ...string) (output, error) {
	if o.exec != nil {
		return o.exec(ctx, path, args...)
	}
	return runProgram(ctx, path, args...)
}

// Harden makes the policy hold for the next start of sshd, or returns why it doesn't: a *NotVerifiedError
// if sshd was asked and differs, another error if something could not be read, written or run. With an
// error, Result is never Verified; Problems then says the same. The result is kept for ReadResult, whatever
// it is. If nothing has changed since the last verification, no process is run and nothing is written.
//
// It needs root, unless all its paths belong to the caller.
func Harden(ctx context.Context, o Options) (Result, error) {
	if err := o.fill(); err != nil {
		return o.refuse(err)
	}
	warnings, err := o.missing()
	if err != nil {
		return o.refuse(err)
	}
	o.Warnings = slices.Concat(o.Warnings, warnings)
	if !o.Force && !o.CheckOnly {
		r, ok := o.unchanged()
		r.Changes = nil // those were the former run's
		if ok && slices.Equal(r.Warnings, o.Warnings) {
			return r, nil
		} else if ok {
			return o.warn(ctx)
		}
	}
	s, err := o.thorough(ctx)
	return s.Result, err
}

// unchanged finds the kept result if it still holds. Any doubt means that it doesn't.
func (o *Options) unchanged() (Result, bool) {
	s, err := readStored(o.ResultFile)
	if err != nil || !s.Verified || s.Digest == "" || len(s.Problems) > 0 {
		return Result{}, false
	}
	t, err := readTree(o.ConfigFile)
	if err != nil {
		return Result{}, false
	}
	digest, err := o.digest(t)
	return s.Result, err == nil && digest == s.Digest
}

// warn keeps the present warnings with a result that still holds.
func (o *Options) warn(ctx context.Context) (Result, error) {
	f, err := folder.Open(dirOf(o.ResultFile))
	if err != nil {
		return o.refuse(fmt.Errorf("hardening: opening the result's directory: %w", err))
	}
	defer f.Close()
	release, err := f.Lock(ctx, "lock")
	if err != nil {
		return o.refuse(fmt.Errorf("hardening: %w", err))
	}
	defer release()
	name := filepath.Base(o.ResultFile)
	s, err := readStoredIn(f, name)
	if err != nil {
		return o.refuse(err)
	}
	s.Warnings, s.Changes = o.Warnings, nil
	if err := keep(f, name, s); err != nil {
		return o.refuse(err)
	}
	return s.Result, nil
}

// refuse keeps an error that came before anything was done.
func (o *Options) refuse(err error) (Result, error) {
	r := Result{At: now(), Problems: strings.Split(err.Error(), "\n")}
	if o.CheckOnly || !filepath.IsAbs(o.ResultFile) {
		return r, err
	}
	return r, errors.Join(err, KeepRefusal(o.ResultFile, err))
}

// KeepRefusal replaces the kept result by a refusal that came before Harden could be called, such as a
// configuration that can't be read: what was verified earlier says nothing of the start that now fails.
func KeepRefusal(resultFile string, reason error) error {
	f, err := folder.Make(dirOf(resultFile))
	if err != nil {
		return fmt.Errorf("hardening: opening the result's directory: %w", err)
	}
	defer f.Close()
	r := Result{At: now(), Problems: strings.Split(reason.Error(), "\n")}
	return keep(f, filepath.Base(resultFile), stored{Result: r})
}

// Render is the text that Harden would write, for those who only want to see it. It asks sshd and ssh
// what they support, and changes nothing.
func Render(ctx context.Context, o Options) (string, error) {
	if err := o.fill(); err != nil {
		return "", err
	}
	a, err := o.abilities(ctx, nil)
	if err != nil {
		return "", err
	}
	list, err := o.Policy.directives(a)
	if err != nil {
		return "", err
	}
	return string(o.render(a, list)), validateExtra(o.Extra, list)
}

func (o *Options) render(a abilities, list []directive) []byte {
	return []byte(render(o.Source, a.Version, list, o.Extra, o.Policy.Match))
}

// thorough renders, writes, verifies and keeps the result.
func (o *Options) thorough(ctx context.Context) (stored, error) {
	if o.CheckOnly {
		former, _ := readStored(o.ResultFile) // only spares questions
		return o.judge(ctx, former.Abilities)
	}
	name := filepath.Base(o.ResultFile)
	kept, err := folder.Make(dirOf(o.ResultFile))
	if err != nil {
		return o.failed(stored{}, fmt.Errorf("hardening: opening the result's directory: %w", err))
	}
	defer kept.Close()
	release, err := kept.Lock(ctx, "lock")
	if err != nil {
		return o.failed(stored{}, fmt.Errorf("hardening: %w", err))
	}
	defer release()
	former, _ := readStoredIn(kept, name) // one that can't be believed is overwritten below
	s, err := o.judge(ctx, former.Abilities)
	if lost := errors.Join(kept.Sweep(name), keep(kept, name, s)); lost != nil {
		return o.failed(s, errors.Join(err, lost))
	}
	return s, err
}

// now is the time of day as the result file keeps it.
func now() time.Time { return time.Now().UTC().Round(0) }

func (o *Options) failed(s stored, err error) (stored, error) {
	s.Verified, s.Digest, s.At = false, "", now()
	if len(s.Problems) == 0 {
		s.Problems = strings.Split(err.Error(), "\n")
	}
	return s, err
}

// judge is thorough without the result file.
func (o *Options) judge(ctx context.Context, known json.RawMessage) (stored, error) {
	a, err := o.abilities(ctx, known)
	if err != nil {
		return o.failed(stored{}, err)
	}
	s := stored{Result: Result{SSHD: a.Name}}
	if s.Abilities, err = json.Marshal(a); err != nil {
		return o.failed(s, fmt.Errorf("hardening: keeping what sshd supports: %w", err))
	}
	list, err := o.Policy.directives(a)
	if err != nil {
		return o.failed(s, err)
	}
	if err := validateExtra(o.Extra, list); err != nil {
		return o.failed(s, err)
	}
	if !o.CheckOnly {
		if err := o.recover(); err != nil {
			return o.failed(s, err)
		}
	}
	changes, err := o.plan(list, o.render(a, list))
	if err != nil {
		return o.failed(s, err)
	}
	var problems []string
	var digest string
	undo := func() error { return nil }
	done := undo
	if o.CheckOnly {
		for _, c := range changes {
			for _, why := range c.Why {
				problems = append(problems, "sshd_config: `keyswitchd harden` would change this: "+why)
			}
		}
	} else if undo, done, err = o.change(changes); err != nil {
		return o.failed(s, err)
	}
	if len(problems) == 0 { // a check that has found the files wrong needs no sshd to tell it
		problems, digest, err = o.settle(ctx, list)
	}
	if err == nil && len(problems) == 0 {
		err = done()
	}
	if err != nil || len(problems) > 0 {
		if left := undo(); left != nil {
			problems = append(problems, left.Error())
		}
		if err != nil {
			problems = append(problems, strings.Split(err.Error(), "\n")...)
		} else {
			err = &NotVerifiedError{problems}
		}
		s.Problems = problems
		return o.failed(s, err)
	}
	s.Verified, s.Digest, s.At, s.Warnings = true, digest, now(), o.Warnings
	for _, c := range changes {
		s.Changes = append(s.Changes, c.Why...)
	}
	return s, nil
}

// abilities are the known ones if the two programs are still the same files. From then on, the files are read as this release does.
func (o *Options) abilities(ctx context.Context, known json.RawMessage) (abilities, error) {
	sshd, err := identify(o.SSHD)
	if errors.Is(err, fs.ErrNotExist) {
		return abilities{}, fmt.Errorf("hardening: looking at sshd: %w; install openssh-server", err)
	}
	if err != nil {
		return abilities{}, fmt.Errorf("hardening: looking at sshd: %w", err)
	}
	ssh, err := identify(o.SSH)
	if err != nil {
		return abilities{}, fmt.Errorf("hardening: looking at ssh: %w; install openssh-client", err)
	}
	var a abilities
	if len(known) > 0 && json.Unmarshal(known, &a) == nil && a.SSHD == sshd && a.SSH == ssh && a.Release != "" && a.Version.atLeast(oldest.Major, oldest.Minor) {
		o.release = Release{a.Version, a.Release}
		return a, nil
	}
	a, err = askAbilities(ctx, o.run, o.SSHD, o.SSH)
	a.SSHD, a.SSH = sshd, ssh
	o.release = Release{a.Version, a.Release}
	return a, err
}

// settle verifies between two looks at everything that the verification depends on. If they differ,
// somebody is at work there, and nobody knows which state sshd was asked about.
func (o *Options) settle(ctx context.Context, list []directive) (problems []string, digest string, err error) {
	t, err := readTree(o.ConfigFile)
	if err != nil {
		return nil, "", err
	}
	if digest, err = o.digest(t); err != nil {
		return nil, "", fmt.Errorf("hardening: looking at what sshd depends on: %w", err)
	}
	problems = o.verify(ctx, list, t)
	if t, err = readTree(o.ConfigFile); err != nil {
		return problems, "", err
	}
	after, err := o.digest(t)
	if err != nil {
		return problems, "", fmt.Errorf("hardening: looking at what sshd depends on: %w", err)
	}
	if after != digest {
		problems = append(problems, "sshd_config: its files changed while they were verified; try again")
	}
	return problems, digest, nil
}
