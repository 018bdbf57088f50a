//go:build sshds

package hardening

import (
	"strings"
)

// keyword is one that the generator writes and whose values it knows in both forms.
type keyword struct {
	name    string
	aliases []string
	values  []value
	global  bool // sshd refuses it in a Match block
	adds    bool // several lines add up
	splits  bool // several arguments of a line count one by one
	newer   bool // from 9.8 on
}

// value is how a value is written and how `sshd -T` prints it.
type value struct{ text, printed string }

func same(texts ...string) []value {
	list := make([]value, len(texts))
	for i, text := range texts {
		list[i] = value{text, text}
	}
	return list
}

var yesNo = same("yes", "no")

// keywords is drawn from.
var keywords = []keyword{
	{name: "PermitRootLogin", values: []value{{"yes", "yes"}, {"no", "no"}, {"prohibit-password", "without-password"},
		{"without-password", "without-password"}, {"forced-commands-only", "forced-commands-only"}}},
	{name: "PasswordAuthentication", values: yesNo},
	{name: "KbdInteractiveAuthentication", aliases: []string{"ChallengeResponseAuthentication", "SkeyAuthentication"}, values: yesNo},
	{name: "PubkeyAuthentication", aliases: []string{"DSAAuthentication"}, values: yesNo},
	{name: "PermitEmptyPasswords", values: yesNo},
	{name: "HostbasedAuthentication", values: yesNo},
	{name: "X11Forwarding", values: yesNo},
	{name: "X11UseLocalhost", values: yesNo},
	{name: "AllowAgentForwarding", values: yesNo},
	{name: "AllowTcpForwarding", values: append(same("yes", "no", "local", "remote"), value{"all", "yes"})},
	{name: "AllowStreamLocalForwarding", values: same("yes", "no", "local", "remote")},
	{name: "GatewayPorts", values: same("yes", "no", "clientspecified")},
	{name: "PermitTunnel", values: same("yes", "no", "point-to-point", "ethernet")},
	{name: "MaxAuthTries", values: same("1", "4", "20")},
	{name: "MaxSessions", values: same("1", "50")},
	{name: "ClientAliveInterval", values: []value{{"0", "0"}, {"17", "17"}, {"2m", "120"}, {"1h30m", "5400"}, {"1H5", "3605"}}},
	{name: "ClientAliveCountMax", values: same("0", "9")},
	{name: "LogLevel", values: []value{{"INFO", "INFO"}, {"quiet", "SILENT"}, {"Debug3", "DEBUG3"}, {"VERBOSE", "VERBOSE"}}},
	{name: "Port", values: append(same("22", "2222", "10101"), value{"ssh", "22"}), global: true, adds: true},
	{name: "UseDNS", values: yesNo, global: true},
	{name: "StrictModes", values: yesNo, global: true},
	{name: "PermitUserEnvironment", values: yesNo, global: true},
	{name: "LoginGraceTime", values: []value{{"0", "0"}, {"45", "45"}, {"3m", "180"}}, global: true},
	{name: "MaxStartups", values: []value{{"7:40:90", "7:40:90"}, {"200", "200:30:200"}, {"+5:6:7x", "5:6:7"}, {"12", "12:30:12"}}, global: true},
	{name: "Ciphers", values: same("aes128-cbc", "aes256-ctr,aes128-ctr"), global: true},
	{name: "MACs", values: same("hmac-sha1", "hmac-sha2-256"), global: true},
	{name: "KexAlgorithms", values: same("ecdh-sha2-nistp256", "curve25519-sha256"), global: true},
	{name: "AllowUsers", values: same("pi", "alice", "b*", "root", "pi@192.168.*", "*"), adds: true, splits: true},
	{name: "DenyUsers", values: same("bob", "mallory", "r?ot"), adds: true, splits: true},
	{name: "AllowGroups", values: same("ssh", "wheel", "users"), adds: true, splits: true},
	{name: "DenyGroups", values: same("nogroup", "wheel"), adds: true, splits: true},
	{name: "IgnoreRhosts", values: same("yes", "no", "shosts-only")},
	{name: "PubkeyAcceptedAlgorithms", aliases: []string{"PubkeyAcceptedKeyTypes"}, values: same("ssh-ed25519", "ssh-rsa,rsa-sha2-512")},
	{name: "HostKeyAlgorithms", values: same("ssh-ed25519", "rsa-sha2-256,ssh-ed25519"), global: true},
	{name: "CASignatureAlgorithms", values: same("ssh-ed25519", "ecdsa-sha2-nistp256")},
	{name: "PerSourceMaxStartups", values: same("none", "3"), global: true},
	{name: "PerSourceNetBlockSize", values: []value{{"24:56", "24:56"}, {"8", "8:128"}, {"32:64", "32:64"}}, global: true},
	{name: "RequiredRSASize", values: same("1024", "4096")},
	{name: "GSSAPIAuthentication", values: yesNo},
	{name: "ListenAddress", values: same("127.0.0.1", "0.0.0.0", "::1", "127.0.0.1:2222", "[::1]:22", "192.168.1.1"), global: true, adds: true},
	{name: "PerSourcePenalties", values: same("no", "yes", "crash:1", "max:3600 authfail:1s", "max-sources4:1 overflow:deny-all", "refuseconnection:0 min:2m", "overflow6:permissive crash:90 authfail:5 noauth:1"), global: true, newer: true},
	{name: "PerSourcePenaltyExemptList", values: same("10.0.0.0/8", "127.0.0.1,::1"), global: true, newer: true},

	// Not of the policy: must stay as they are.
	{name: "PrintMotd", values: yesNo, global: true},
	{name: "PrintLastLog", values: yesNo, global: true},
	{name: "TCPKeepAlive", aliases: []string{"KeepAlive"}, values: yesNo, global: true},
	{name: "PermitTTY", values: yesNo},
	{name: "PermitUserRC", values: yesNo},
	{name: "X11DisplayOffset", values: same("10", "77")},
	{name: "Banner", values: same("/etc/issue.net", "none", "/etc/a b", "/etc/x#y")},
	{name: "ChrootDirectory", values: same("none", "/srv/%u")},
	{name: "ForceCommand", values: same("/bin/true", "internal-sftp -l INFO", "none")},
	{name: "AcceptEnv", values: same("LANG", "LC_*", "FOO"), adds: true, splits: true},
	{name: "SyslogFacility", values: []value{{"AUTH", "AUTH"}, {"local3", "LOCAL3"}}, global: true},
	{name: "PidFile", values: same("/run/other.pid"), global: true},
	{name: "TrustedUserCAKeys", values: same("/etc/ssh/ca.pub", "none")},
	{name: "StreamLocalBindUnlink", values: yesNo},
	{name: "AuthorizedKeysFile", values: same(".ssh/authorized_keys", ".ssh/keys", "none")},
}

// canonical finds a keyword by any of its names.
func canonical(name string) (keyword, bool) {
	for _, k := range keywords {
		if strings.EqualFold(k.name, name) {
			return k, true
		}
		for _, alias := range k.aliases {
			if strings.EqualFold(alias, name) {
				return k, true
			}
		}
	}
	return keyword{}, false
}

// print is how sshd prints a value that is written so.
func (k keyword) print(text string) string {
	for _, v := range k.values {
		if v.text == text {
			return v.printed
		}
	}
	for _, v := range k.values {
		if strings.EqualFold(v.text, text) {
			return v.printed
		}
	}
	return text
}
