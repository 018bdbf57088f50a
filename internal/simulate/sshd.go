package simulate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"keyswitchd/hardening"
	"keyswitchd/internal/keyswitch"
	"keyswitchd/sshctl"
)

// The programs that a simulation runs, and sshd's privilege separation directory, which it wants when root runs it.
const (
	sshdPath   = hardening.DefaultSSHD
	sshPath    = hardening.DefaultSSH
	keygenPath = "/usr/bin/ssh-keygen"
	privsepDir = "/run/sshd"
)

// alias is the Host of the client configuration, so that the line to try is short.
const alias = "pi"

// pi is the sshd side of the simulated Pi: what lies in its folder.
type pi struct {
	folder *folder
	user   *user.User
	port   int
	root   bool // root runs it
	policy hardening.Policy
	source string // where the policy is from
}

// ErrNoSSHD is a machine without the server or the client programs.
var ErrNoSSHD = errors.New("simulate: this machine has no OpenSSH server or client to simulate with; apt install openssh-server openssh-client")

func havePrograms() error {
	for _, p := range []string{sshdPath, sshPath, keygenPath} {
		if _, err := os.Stat(p); err != nil {
			return fmt.Errorf("%w (%w)", ErrNoSSHD, err)
		}
	}
	return nil
}

// fit narrows the policy to the simulation: who may log in and where is its own matter.
func fit(p hardening.Policy, who string, port int, root bool) hardening.Policy {
	p.Port, p.Listen = port, []string{host}
	p.AllowUsers, p.DenyUsers, p.AllowGroups = []string{who}, nil, nil
	if root {
		p.RootLogin = hardening.RootKeysOnly
	}
	return p
}

// furnish writes everything but sshd's configuration, which hardening writes.
func (p *pi) furnish(ctx context.Context) error {
	if p.root {
		if err := os.Mkdir(privsepDir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("simulate: making sshd's %s: %w", privsepDir, err)
		}
	}
	for _, name := range []string{"host_key", "key"} {
		cmd := exec.CommandContext(ctx, keygenPath, "-q", "-t", "ed25519", "-N", "", "-C", "keyswitchd simulate", "-f", p.folder.file(name))
		cmd.Env, cmd.Dir = cleanEnv(p.user), "/"
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("simulate: making a key with ssh-keygen: %w: %s", err, bytes.TrimSpace(out))
		}
	}
	hostKey, err := os.ReadFile(p.folder.file("host_key.pub"))
	if err != nil {
		return fmt.Errorf("simulate: reading the new host key: %w", err)
	}
	key, err := os.ReadFile(p.folder.file("key.pub"))
	if err != nil {
		return fmt.Errorf("simulate: reading the new key: %w", err)
	}
	for name, text := range map[string]string{
		"authorized_keys": string(key),
		"known_hosts":     fmt.Sprintf("[%s]:%d %s", host, p.port, hostKey),
		"ssh":             p.clientConfig(),
	} {
		if err := os.WriteFile(p.folder.file(name), []byte(text), 0o600); err != nil {
			return fmt.Errorf("simulate: writing into the folder: %w", err)
		}
	}
	return nil
}

// clientConfig is for ssh -F: with it nothing of the user's or the machine's ssh_config applies, and no question is asked.
func (p *pi) clientConfig() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Host %s\n", alias)
	for _, line := range []string{
		"HostName " + host,
		"Port " + strconv.Itoa(p.port),
		"User " + p.user.Username,
		"IdentityFile " + p.folder.file("key"),
		"IdentitiesOnly yes",
		"IdentityAgent none",
		"UserKnownHostsFile " + p.folder.file("known_hosts"),
		"GlobalKnownHostsFile /dev/null",
		"StrictHostKeyChecking yes",
		"UpdateHostKeys no",
	} {
		b.WriteString("    " + line + "\n")
	}
	return b.String()
}

// tryLine is what a person types to log in.
func (p *pi) tryLine() string { return "ssh -F " + p.folder.file("ssh") + " " + alias }

func (p *pi) permit() keyswitch.PermitFile { return keyswitch.PermitFile(p.folder.file("permit")) }

func (p *pi) result() string { return p.folder.file("hardened/result.json") }

// door is the Pi's sshd. Each start does what the interlock and its ExecStartPre= do on a real one.
func (p *pi) door(log io.Writer) *sshctl.Child {
	return sshctl.NewChild(sshctl.ChildConfig{
		Dir:        p.folder.path,
		SSHD:       sshdPath,
		ConfigFile: p.folder.file("sshd_config"),
		Log:        log,
		Prepare: func(ctx context.Context) error {
			if _, err := os.Stat(string(p.permit())); err != nil {
				return fmt.Errorf("simulate: starting sshd: the permit is missing: %w", err)
			}
			_, err := hardening.Harden(ctx, hardening.Options{
				Policy: p.policy, Source: p.source, Standalone: true,
				ConfigFile: p.folder.file("sshd_config"), ResultFile: p.result(),
				SSHD: sshdPath, SSH: sshPath, Extra: p.extra(),
			})
			return err
		},
	})
}

// extra is what the policy says nothing about.
func (p *pi) extra() []string {
	return []string{
		"HostKey " + p.folder.file("host_key"),
		// The second one is the user's own; sshd takes it only if nobody else can write it.
		"AuthorizedKeysFile " + p.folder.file("authorized_keys") + " .ssh/authorized_keys",
		"Subsystem sftp internal-sftp",
		// Through PAM a login would show up with the machine's own (logind, wtmp). Without it sshd admits no account whose
		// password is locked, which for root is the usual state: then PAM it is.
		"UsePAM " + map[bool]string{true: "yes", false: "no"}[p.root && locked(p.user.Username)],
	}
}

// locked says whether sshd takes the account for a locked one: shadow(5) with "!". Only root can tell, and only root's sshd
// looks.
func locked(name string) bool {
	text, err := os.ReadFile("/etc/shadow")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Split(line, ":")
		if len(f) > 1 && f[0] == name {
			return strings.HasPrefix(f[1], "!")
		}
	}
	return false
}

func cleanEnv(u *user.User) []string {
	return []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=" + u.HomeDir, "USER=" + u.Username, "LOGNAME=" + u.Username}
}

// whoami is the account that sshd will log in. One without a name can't be.
func whoami() (*user.User, error) {
	u, err := user.LookupId(strconv.Itoa(os.Geteuid()))
	if err != nil {
		// LDAP and the like, which package user can't ask: the environment has to do.
		u, err = user.Current()
	}
	if err != nil {
		return nil, fmt.Errorf("simulate: looking up who you are: %w; sshd can only log in an account that this machine knows", err)
	}
	if !filepath.IsAbs(u.HomeDir) {
		return nil, fmt.Errorf("simulate: looking up who you are: %s has no home directory; sshd needs one", u.Username)
	}
	return u, nil
}
