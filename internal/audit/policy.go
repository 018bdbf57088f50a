package audit

import (
	"context"

	"keyswitchd/hardening"
)

// policyHolds: what sshd itself says of its configuration.
func policyHolds(ctx context.Context, m *Machine, n notes) {
	if m.PolicyErr != nil {
		n.left("the policy is not known: %v", m.PolicyErr)
		return
	}
	if m.Holds == nil {
		n.left("asking sshd needs root")
		return
	}
	problems, err := m.Holds(ctx)
	if err != nil && len(problems) == 0 {
		problems = []string{err.Error()}
	}
	for _, p := range problems {
		n.add(Critical, "keyswitchd harden", "sshd's configuration is not what the policy wants: %s", p)
	}
}

// policyChoices: what the policy itself leaves open, though it may.
func policyChoices(_ context.Context, m *Machine, n notes) {
	if m.PolicyErr != nil {
		n.left("the policy is not known: %v", m.PolicyErr)
		return
	}
	p := m.Policy
	if p.Passwords {
		n.add(Warning, "ssh-copy-id ACCOUNT@THIS-MACHINE from each client, then passwords = false in [hardening]",
			"passwords are admitted: a password can be guessed from anywhere, a key can't")
	}
	if p.RootLogin != hardening.RootNo {
		n.add(Warning, `root-login = "no" in [hardening], and sudo for those who need it`, "root may log in over SSH (%s)", p.RootLogin)
	}
	if len(p.AllowUsers) == 0 && len(p.AllowGroups) == 0 {
		n.add(Info, `allow-users = ["NAME"] or allow-groups = ["ssh"] in [hardening]`, "every account that has a key may log in; naming the few who need it is the best single measure")
	}
	if len(p.Listen) == 0 {
		n.add(Info, `listen = ["ADDRESS"] in [hardening]`, "sshd listens on every address of this machine")
	}
	if p.Port == 22 {
		n.add(Info, "port = 10101 in [hardening] (obscurity: it keeps the logs quiet, it keeps nobody out)", "sshd listens on the port that everybody tries")
	}
	if p.AgentForwarding || p.X11Forwarding || p.TCPForwarding != hardening.ForwardNo || p.StreamForwarding != hardening.ForwardNo || p.Tunnel != hardening.TunnelNo {
		n.add(Info, "tcp-forwarding, stream-forwarding, agent-forwarding, x11-forwarding and tunnel in [hardening]; leave out what nobody uses", "something may be forwarded through SSH")
	}
	for _, e := range p.Match {
		severity := Info
		if e.Passwords != nil && *e.Passwords || e.RootLogin != nil && *e.RootLogin != hardening.RootNo {
			severity = Warning
		}
		n.add(severity, "take the [[hardening.match]] out when nobody needs it any more", "an exception loosens the policy for some connections (%s)", e.Criterion)
	}
	if p.Profile != hardening.Strict {
		n.add(Info, `profile = "strict" in [hardening], if all clients are from 2021 or later`, "older algorithms are admitted beside post-quantum ones (profile %q)", p.Profile)
	}
}

// lockedOut: the other way a policy can be wrong.
func lockedOut(_ context.Context, m *Machine, n notes) {
	if m.PolicyErr != nil || m.LockedOut == nil {
		n.left("the policy is not known, or this needs root")
		return
	}
	problems, err := m.LockedOut()
	if err != nil {
		n.left("%s", why(err))
	}
	for _, p := range problems {
		n.add(Warning, p.Do, "%s", p.What)
	}
}
