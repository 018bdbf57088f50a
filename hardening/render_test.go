package hardening

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

var versions = []string{"9.2", "10.0", "10.6"}

// recordedAbilities is what the sshd of bookworm, trixie or forky answered.
func recordedAbilities(t *testing.T, version string) abilities {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "abilities-"+version+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var a abilities
	if err := json.Unmarshal(text, &a); err != nil {
		t.Fatal(err)
	}
	return a
}

// goldenPolicies are one that changes nothing and one that changes everything.
func goldenPolicies() map[string]Policy {
	full := DefaultPolicy()
	full.Port = 10101
	full.Listen = []string{"127.0.0.1", "::1", "fe80::1%lo"}
	full.AllowUsers = []string{"alice", "root", "web-admin"}
	full.DenyUsers = []string{"eve"}
	full.AllowGroups = []string{"ssh"}
	full.RootLogin = RootKeysOnly
	full.Passwords = true
	full.MaxStartups = "5:50:20"
	full.LoginGrace = Duration(20e9)
	full.MaxAuthTries = 4
	full.MaxSessions = 2
	full.ClientAliveInterval = Duration(90e9)
	full.ClientAliveCount = 2
	full.TCPForwarding = ForwardLocal
	full.StreamForwarding = ForwardRemote
	full.AgentForwarding = true
	full.X11Forwarding = true
	full.Tunnel = TunnelPointToPoint
	full.PerSourcePenalties = false
	full.PerSourceMaxStartups = 0
	full.Profile = Strict
	return map[string]Policy{"default": DefaultPolicy(), "full": full}
}

func TestRenderGolden(t *testing.T) {
	for _, v := range versions {
		for name, policy := range goldenPolicies() {
			if err := policy.Validate(); err != nil {
				t.Fatal(err)
			}
			a := recordedAbilities(t, v)
			list, err := policy.directives(a)
			if err != nil {
				t.Fatal(err)
			}
			text := render("/etc/keyswitchd/keyswitchd.toml", a.Version, list, nil, nil)
			golden := filepath.Join("testdata", "drop-in-"+v+"-"+name+".conf")
			if *update {
				if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if text != string(want) {
				t.Errorf("%s differs from what is rendered (-update writes it):\n%s", golden, text)
			}
		}
	}
}

// The recordings are what each real sshd printed for the golden file: every directive must find itself
// there, and, changed in any way, must be missed.
func TestRecordedEffective(t *testing.T) {
	for _, v := range versions {
		for name, policy := range goldenPolicies() {
			t.Run(v+" "+name, func(t *testing.T) {
				text, err := os.ReadFile(filepath.Join("testdata", "effective-"+v+"-"+name+".txt"))
				if err != nil {
					t.Fatal(err)
				}
				e, err := ParseValues(string(text))
				if err != nil {
					t.Fatal(err)
				}
				list, err := policy.directives(recordedAbilities(t, v))
				if err != nil {
					t.Fatal(err)
				}
				for _, d := range list {
					if diff := e.difference(d); diff != "" {
						t.Error(diff)
					}
					key := strings.ToLower(d.keyword)
					got, printed := e[key]
					if !printed {
						continue
					}
					for _, other := range [][]string{{"surprise"}, {""}, append(slices.Clone(got), "surprise")} {
						narrower := len(d.args) == 0 && strings.HasPrefix(key, "allow") || key == "denyusers" && len(other) > 1
						if d.same(other) && !narrower {
							t.Errorf("%s: %q passes for %q", d.keyword, other, d.want)
						}
					}
					if !d.optional && len(d.args) > 0 && d.same(nil) {
						t.Errorf("%s: passes unprinted", d.keyword)
					}
				}
			})
		}
	}
}

func TestOldKeywords(t *testing.T) {
	a := recordedAbilities(t, "9.2")
	for _, c := range []struct {
		version       version
		with, without []string
	}{
		{version{8, 4}, []string{"ChallengeResponseAuthentication no", "PubkeyAcceptedKeyTypes "}, []string{"PerSource", "RequiredRSASize", "PubkeyAcceptedAlgorithms"}},
		{version{8, 7}, []string{"PerSourceMaxStartups 5", "PubkeyAcceptedAlgorithms "}, []string{"ChallengeResponse", "RequiredRSASize"}},
		{version{9, 1}, []string{"RequiredRSASize 2048"}, []string{"PerSourcePenalties"}},
		{version{9, 8}, []string{"PerSourcePenalties crash:90"}, []string{"ChallengeResponse"}},
		{version{11, 0}, []string{"PerSourcePenalties crash:90", "RequiredRSASize 2048"}, nil},
	} {
		a.Version = c.version
		list, err := DefaultPolicy().directives(a)
		if err != nil {
			t.Fatal(err)
		}
		text := render("", a.Version, list, nil, nil)
		for _, w := range c.with {
			if !strings.Contains(text, "\n"+w) {
				t.Errorf("%s: %q is missing", c.version, w)
			}
		}
		for _, w := range c.without {
			if strings.Contains(text, "\n"+w) {
				t.Errorf("%s: %q is there", c.version, w)
			}
		}
	}
}

func TestStrictNeedsPostQuantum(t *testing.T) {
	a := recordedAbilities(t, "9.2")
	a.Kex = []string{"curve25519-sha256"}
	p := DefaultPolicy()
	p.Profile = Strict
	if _, err := p.directives(a); err == nil || !strings.Contains(err.Error(), "KexAlgorithms") {
		t.Errorf("got %v, want an error about KexAlgorithms", err)
	}
}
