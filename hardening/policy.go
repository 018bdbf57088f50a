package hardening

import (
	"fmt"
	"time"
)

// Policy is what every connection to this machine's sshd must be subject to: the [hardening] table of
// keyswitchd.toml. The zero value opens nothing, and Validate refuses it; start from DefaultPolicy.
type Policy struct {
	// Port is where sshd listens: 22, or 1024 to 65535. Default 22. Another port is obscurity: it keeps
	// the logs quiet, it keeps nobody out. sshd_config(5) Port.
	Port int `toml:"port"`

	// Listen is the addresses that sshd listens on, IPv4 or IPv6, a link-local one with its zone
	// ("fe80::1%eth0"). Default empty: all of them, or what sshd_config itself restricts them to.
	// An address that the machine doesn't have keeps that listener closed. ListenAddress.
	Listen []string `toml:"listen"`

	// AllowUsers is the accounts that may log in, by exact name. Default empty: every account that is
	// not denied and is in AllowGroups. Naming the few who need it is the best single measure. AllowUsers.
	AllowUsers []string `toml:"allow-users"`

	// DenyUsers is the accounts that may not log in, whatever else allows them. Default empty.
	// (The keyword is DenyUsers; the DisallowUsers of some guides does not exist.) DenyUsers.
	DenyUsers []string `toml:"deny-users"`

	// AllowGroups is the groups whose members may log in, by exact name; membership can change without
	// touching sshd. Default empty: any group. With AllowUsers as well, both must admit. AllowGroups.
	AllowGroups []string `toml:"allow-groups"`

	// RootLogin is what root may do: "no", "prohibit-password" (keys only) or "forced-commands-only" (keys
	// bound to one command). Default "no": every machine has a root, so it is the first name tried.
	// PermitRootLogin.
	RootLogin RootLogin `toml:"root-login"`

	// Passwords admits passwords and keyboard-interactive logins (one-time codes by PAM) beside keys.
	// Default false: a password can be guessed from anywhere, a key can't. PasswordAuthentication,
	// KbdInteractiveAuthentication.
	Passwords bool `toml:"passwords"`

	// MaxStartups is "START:RATE:FULL": from START connections that have not logged in yet, new ones are
	// dropped with RATE percent probability, rising to all of them at FULL. Default "10:30:60". It bounds
	// load; it does not count failed logins. MaxStartups.
	MaxStartups string `toml:"max-startups"`

	// LoginGrace is the time to finish logging in, "5s" to "10m" in whole seconds. Default "30s": an idle
	// unauthenticated connection holds one of MaxStartups' places. LoginGraceTime.
	LoginGrace Duration `toml:"login-grace"`

	// MaxAuthTries is the attempts in one connection, 1 to 10. Default 3: each key that an agent offers
	// counts, so a client with many keys needs IdentitiesOnly. MaxAuthTries.
	MaxAuthTries int `toml:"max-auth-tries"`

	// MaxSessions is the shells, commands and sftp sessions in one connection, 1 to 100. Default 10: it
	// bounds what one login can open by multiplexing. MaxSessions.
	MaxSessions int `toml:"max-sessions"`

	// ClientAliveInterval is how long a silent client is waited for before it is asked whether it is
	// there, "0s" (never ask) to "1h" in whole seconds. Default "60s". ClientAliveInterval.
	ClientAliveInterval Duration `toml:"client-alive-interval"`

	// ClientAliveCount is the unanswered questions after which the session ends, 1 to 100. Default 3: with
	// the interval's default a dead session is gone after 3 minutes. ClientAliveCountMax.
	ClientAliveCount int `toml:"client-alive-count"`

	// TCPForwarding is "no", "local" (ssh -L, -J and -D, Visual Studio Code), "remote" (ssh -R) or "yes".
	// Default "no": a forwarded port reaches past this machine's firewall. Shells, scp, sftp, rsync and
	// git need none. AllowTcpForwarding.
	TCPForwarding Forwarding `toml:"tcp-forwarding"`

	// StreamForwarding is the same for Unix sockets: "no", "local", "remote" or "yes". Default "no".
	// AllowStreamLocalForwarding.
	StreamForwarding Forwarding `toml:"stream-forwarding"`

	// AgentForwarding lets a client lend its keys to this machine (ssh -A). Default false: root here could
	// use them; ssh -J does the same job without lending anything. AllowAgentForwarding.
	AgentForwarding bool `toml:"agent-forwarding"`

	// X11Forwarding lets programs here draw on the client's display. Default false: they could read its
	// keyboard too. X11Forwarding.
	X11Forwarding bool `toml:"x11-forwarding"`

	// Tunnel is the tun devices that a client may open: "no", "point-to-point" (IP), "ethernet" or "yes".
	// Default "no": it joins two networks. PermitTunnel.
	Tunnel Tunnel `toml:"tunnel"`

	// PerSourcePenalties makes sshd refuse an address for a while after failed logins (OpenSSH 9.8 and
	// newer; older ones have nothing like it). Default true. PerSourcePenalties.
	PerSourcePenalties bool `toml:"per-source-penalties"`

	// PerSourceMaxStartups is how many connections that have not logged in yet one address (an IPv6 /64)
	// may hold, 1 to 1000, or 0 for no limit of its own. Default 5: one host can't use up MaxStartups
	// (OpenSSH 8.5 and newer). PerSourceMaxStartups, PerSourceNetBlockSize.
	PerSourceMaxStartups int `toml:"per-source-max-startups"`

	// Profile picks the algorithms, post-quantum key exchange first, from those this sshd supports.
	// "standard": any current client can log in. "strict": post-quantum key exchange and authenticated
	// ciphers only (clients from 2021 on), RSA from 3072 bits. Default "standard". KexAlgorithms, Ciphers,
	// MACs, HostKeyAlgorithms, PubkeyAcceptedAlgorithms, CASignatureAlgorithms, RequiredRSASize.
	Profile Profile `toml:"profile"`

	// Match is the declared exceptions, each a [[hardening.match]] table. Default none: the policy is for everyone. Match.
	Match []Exception `toml:"match"`
}

// RootLogin is a value of root-login.
type RootLogin string

// The values of root-login.
const (
	RootNo             RootLogin = "no"
	RootKeysOnly       RootLogin = "prohibit-password"
	RootForcedCommands RootLogin = "forced-commands-only"
)

// Forwarding is a value of tcp-forwarding and stream-forwarding.
type Forwarding string

// The values of tcp-forwarding and stream-forwarding.
const (
	ForwardNo     Forwarding = "no"
	ForwardLocal  Forwarding = "local"
	ForwardRemote Forwarding = "remote"
	ForwardYes    Forwarding = "yes"
)

// Tunnel is a value of tunnel.
type Tunnel string

// The values of tunnel.
const (
	TunnelNo           Tunnel = "no"
	TunnelPointToPoint Tunnel = "point-to-point"
	TunnelEthernet     Tunnel = "ethernet"
	TunnelYes          Tunnel = "yes"
)

// Profile is a value of profile.
type Profile string

// The values of profile.
const (
	Standard Profile = "standard"
	Strict   Profile = "strict"
)

// DefaultPolicy returns the policy of an empty [hardening] table.
func DefaultPolicy() Policy {
	return Policy{
		Port:                 22,
		RootLogin:            RootNo,
		MaxStartups:          "10:30:60",
		LoginGrace:           Duration(30 * time.Second),
		MaxAuthTries:         3,
		MaxSessions:          10,
		ClientAliveInterval:  Duration(60 * time.Second),
		ClientAliveCount:     3,
		TCPForwarding:        ForwardNo,
		StreamForwarding:     ForwardNo,
		Tunnel:               TunnelNo,
		PerSourcePenalties:   true,
		PerSourceMaxStartups: 5,
		Profile:              Standard,
	}
}

// Duration is a time span that TOML writes as a string with its unit: "30s", "2m".
type Duration time.Duration

// UnmarshalText reads what time.ParseDuration reads.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a duration; write a number and a unit, such as \"30s\" or \"2m\"", text)
	}
	*d = Duration(v)
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// String is the duration as Go writes it, "30s".
func (d Duration) String() string { return time.Duration(d).String() }

// seconds is the duration in the unit that sshd uses. Validate has refused fractions.
func (d Duration) seconds() int { return int(time.Duration(d) / time.Second) }
