package hardening

import (
	"os"
	"strings"
	"testing"
)

// sshd's own answer for some trees that are easily read wrong.
func TestReaderAgrees(t *testing.T) {
	m := newMachine(t)
	key := "HostKey " + m.path("etc/ssh_host_ed25519_key") + "\n"
	ask := func(file string, c Connection) Values {
		t.Helper()
		args := []string{"-T", "-f", file}
		if spec := c.Spec(); spec != "" {
			args = append(args, "-C", spec)
		}
		out, err := runProgram(t.Context(), DefaultSSHD, args...)
		if err != nil {
			t.Fatal(out.explain(err))
		}
		v, err := ParseValues(out.stdout)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	out, err := runProgram(t.Context(), DefaultSSHD, "-V")
	if err != nil && out.stderr == "" {
		t.Fatal(out.explain(err))
	}
	release, err := ParseRelease(out.stderr + out.stdout)
	if err != nil {
		t.Fatal(err)
	}
	m.write("etc/none", key)
	defaults := ask(m.path("etc/none"), Connection{})
	connections := []Connection{
		{}, {User: "root", Host: "a.example", Addr: "10.1.2.3", LAddr: "10.0.0.1", LPort: 22},
		{User: "nobody", Host: "b.example.org", Addr: "fe80::1", LAddr: "::1", LPort: 2222},
		{User: "alice", Host: "B.example", Addr: "192.0.2.9", LAddr: "127.0.0.1", LPort: 22},
	}
	inc := m.path("etc/sshd_config.d")
	for name, files := range map[string]map[string]string{
		"nothing":           {"main": ""},
		"first wins":        {"main": "X11Forwarding yes\nX11Forwarding no\nMaxStartups 5\nLoginGraceTime 1m30s\n"},
		"odd syntax":        {"main": "  X11Forwarding=\"yes\"  # c\r\n\tpermitrootlogin = WITHOUT-password\r\n\"MaxAuthTries\" '4'\nLogLevel debug1"},
		"adds up":           {"main": "Port 1022\nListenAddress 127.0.0.1\nPort 1023\nListenAddress [::1]:99\nAllowUsers a b\nAllowUsers c\nDenyUsers d\n"},
		"lists":             {"main": "Ciphers +3des-cbc\nMACs -hmac-sha1*\nKexAlgorithms ^curve25519-sha256\n"},
		"match":             {"main": "Match User root\nX11Forwarding yes\nAllowUsers z\nMatch Address 10.0.0.0/8,!10.9.0.0/16 User !x,*\nX11Forwarding no\nMaxSessions 3\nMatch all\nGatewayPorts yes\nMaxSessions 4\n"},
		"match all first":   {"main": "X11Forwarding no\nMatch all\nX11Forwarding yes\nPort 1022\nAllowUsers q\n"},
		"match all adds":    {"main": "AllowUsers p\nMatch all\nAllowUsers q\nMatch User root\nAllowUsers r\n"},
		"include":           {"main": "Include " + inc + "/*.inc\nX11Forwarding no\n", "b.inc": "X11Forwarding yes\n", "a.inc": "MaxSessions 2\nMatch User alice\nMaxSessions 5\n"},
		"include in match":  {"main": "Match User root\nInclude " + inc + "/*.inc\nMaxSessions 9\n", "a.inc": "MaxSessions 2\nMatch Host *.example\nMaxSessions 5\nX11Forwarding yes\n"},
		"include after all": {"main": "Match all\nInclude " + inc + "/*.inc\n", "a.inc": "MaxSessions 2\nMatch Host *.example\nX11Forwarding yes\n"},
		"nested":            {"main": "Include " + inc + "/a.inc " + inc + "/none/*\nMaxAuthTries 3\n", "a.inc": "Include " + inc + "/b.inc\nMaxAuthTries 4\n", "b.inc": "Match LocalPort 22\nMaxAuthTries 5\n"},
		"last wins":         {"main": "MaxStartups 7:40:90\nMaxStartups 200\nPerSourceMaxStartups 3\nPerSourceMaxStartups none\nPerSourceNetBlockSize 24:56\nPerSourceNetBlockSize 16:48\n"},
		"loose match":       {"main": "Match User=root, Host *\nMaxSessions 2\nMatch = Address = 10.1 LocalPort 22\nMaxSessions 3\nMatch User 'alice'\nMaxSessions 4\nMatch Address 10.1.515\nMaxSessions 5\n"},
		"brackets":          {"main": "Include " + inc + "/[!a-b]?[.]inc " + inc + "/{a,b}.inc\n", "a1.inc": "MaxSessions 2\n", "c1.inc": "MaxSessions 3\n", "-1.inc": "MaxAuthTries 3\n"},
		"groups":            {"main": "Match Group root\nMaxSessions 2\nMatch Group nogroup,!root\nMaxSessions 3\nMatch LocalAddress 127.*\nMaxSessions 4\n"},
		"aliases":           {"main": "ChallengeResponseAuthentication no\nKbdInteractiveAuthentication yes\nPubkeyAcceptedKeyTypes +ssh-rsa\nDSAAuthentication no\n"},
		"include twice":     {"main": "Include " + inc + "/a.inc\nInclude " + inc + "/a.inc\n", "a.inc": "Port 1022\nAllowUsers a\n"},
		"match in global":   {"main": "Include " + inc + "/a.inc\nMatch User root\nX11Forwarding yes\n", "a.inc": "Match User root\nX11Forwarding no\n"},
	} {
		t.Run(name, func(t *testing.T) {
			os.RemoveAll(inc)
			if err := os.Mkdir(inc, 0o755); err != nil {
				t.Fatal(err)
			}
			for file, text := range files {
				if file == "main" {
					m.write("etc/main", key+text)
				} else {
					m.write("etc/sshd_config.d/"+file, text)
				}
			}
			for i, c := range connections {
				if i == 0 && strings.Contains(files["b.inc"]+files["main"], "LocalPort 22") {
					continue // sshd -T without -C refuses any Match LocalPort
				}
				own, err := ReadEffective(m.path("etc/main"), release, c)
				if err != nil {
					t.Fatal(err)
				}
				for _, d := range Disagreements(own, ask(m.path("etc/main"), c), defaults) {
					t.Errorf("%q: %s", c.Spec(), d)
				}
			}
		})
	}
}
