package hardening

import (
	"strings"
	"testing"
)

func release(t *testing.T, text string) Release {
	t.Helper()
	r, err := ParseRelease(text + ", OpenSSL")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// What the same lines are to the three Debian releases, and to some between them.
func TestReleasesDiffer(t *testing.T) {
	type answers map[string]string // by release; "" is every other one
	for text, want := range map[string]answers{
		"MaxStartups 7:40:90\nMaxStartups 5:6:7":                                                    {"": "5:6:7", "10.1": "7:40:90", "10.6": "7:40:90"},
		"MaxStartups 7:40:90\nMaxStartups 200":                                                      {"": "200:40:200", "10.1": "7:40:90", "10.6": "7:40:90"},
		"MaxStartups 200\nMaxStartups 7:40:90":                                                      {"": "7:40:90", "10.1": "10:30:200", "10.6": "200:30:200"},
		"MaxStartups 200\nMaxStartups 100":                                                          {"": "100:30:100", "10.1": "10:30:200", "10.6": "200:30:200"},
		"MaxStartups \" 7:+40:90x\"":                                                                {"": "7:40:90"},
		"PerSourceMaxStartups 3\nPerSourceMaxStartups 4":                                            {"": "3", "9.2": "4"},
		"PerSourceNetBlockSize 24:56\nPerSourceNetBlockSize 8:48":                                   {"": "8:48", "10.1": "24:56", "10.6": "24:56"},
		"PerSourceNetBlockSize 8":                                                                   {"": "8:0", "10.6": "8:128"},
		"PerSourcePenalties no\nPerSourcePenalties crash:1":                                         {"": "crash:1"},
		"PerSourcePenalties crash:1 min:2\nPerSourcePenalties no\nPerSourcePenalties crash:3 max:4": {"": "crash:1 min:2 max:4"},
		"PerSourcePenalties yes\nPerSourcePenalties NO":                                             {"": "yes"},
		"PerSourcePenalties NO\nPerSourcePenalties yes":                                             {"": "no"},
		"Match User=root\nMaxSessions 3":                                                            {"": "3"},
		"Match User = root\nMaxSessions 3":                                                          {"": "error", "9.2": "3"},
		"Match User * =Host x\nMaxSessions 3":                                                       {"": "error", "9.2": ""},
		"Match User 'root'\nMaxSessions 3":                                                          {"": "3", "9.2": ""},
		"Match User \"root\"\nMaxSessions 3":                                                        {"": "3"},
		"Match User root # why\nMaxSessions 3":                                                      {"": "3"},
		"Match User root =\nMaxSessions 3":                                                          {"": "error", "9.2": "3"},
		"Match User root = Host *\nMaxSessions 3":                                                   {"": "error", "9.2": "3"},
		"Match User root==\nMaxSessions 3":                                                          {"": "", "9.2": "3"},
		"Match invalid-user\nMaxSessions 3":                                                         {"": "", "9.2": "error"},
		"Match version OpenSSH_10.*\nMaxSessions 3":                                                 {"": "error", "10.0": "3", "10.1": "3", "10.6": "3"},
		"Match version *Debian*\nMaxSessions 3":                                                     {"": "error", "10.0": "3", "10.1": "", "10.6": ""},
		"Match exec true\nMaxSessions 3":                                                            {"": "error"},
		"Match User \"#\"\nMaxSessions 3":                                                           {"": "error"},
		"Match Address 192.0.513\nMaxSessions 3":                                                    {"": "3"},
		"Match Address 192.0.2.1/24\nMaxSessions 3":                                                 {"": "error"},
		"Match LocalPort ssh\nMaxSessions 3":                                                        {"": "3"},
	} {
		for _, name := range []string{"OpenSSH_9.2", "OpenSSH_9.5p1", "OpenSSH_10.0p2 Debian-7+deb13u4", "OpenSSH_10.1p1", "OpenSSH_10.6p1"} {
			r := release(t, name)
			answer, own := want[r.version.String()]
			if !own {
				answer = want[""]
			}
			if r.version == (version{9, 5}) && r.looseMatch() && strings.HasPrefix(text, "Match") {
				answer = want["9.2"]
				if _, own := want["9.2"]; !own {
					answer = want[""]
				}
			}
			v, err := readTextAs(r, text, Connection{User: "root", Host: "h", Addr: "192.0.2.1", LAddr: "::1", LPort: 22})
			got := v.first(strings.ToLower(strings.Fields(text)[0]))
			if strings.HasPrefix(text, "Match") {
				got = v.first("maxsessions")
			}
			if err != nil {
				got = "error"
			}
			if got != answer {
				t.Errorf("%s, %q: %q, %v; want %q", name, text, got, err, answer)
			}
		}
	}
}

func TestParseRelease(t *testing.T) {
	for text, want := range map[string]string{
		"OpenSSH_9.2, OpenSSL 3.0.19\n":                     "OpenSSH_9.2",
		"OpenSSH_10.0p2 Debian-7+deb13u4, OpenSSL 3.5.7\n":  "OpenSSH_10.0p2 Debian-7+deb13u4",
		"unknown option -- V\nOpenSSH_8.4p1 Debian-5, x\ny": "OpenSSH_8.4p1 Debian-5",
		"OpenSSH_10.0p2": "OpenSSH_10.0p2",
	} {
		if r, err := ParseRelease(text); err != nil || r.name != want {
			t.Errorf("%q: %q, %v", text, r.name, err)
		}
	}
	if r := (Result{SSHD: "OpenSSH_9.2p1"}).Release(); !r.looseMatch() {
		t.Error("the kept result's release is not used")
	}
	if r := (Result{}).Release(); r.looseMatch() || !r.KnowsInvalidUser() {
		t.Error("an unknown release is not the newest")
	}
}

func TestPenaltiesPrinted(t *testing.T) {
	usual := "crash:90.000000 authfail:5.000000 max-sources4:65536 overflow:permissive overflow6:permissive"
	for value, want := range map[string]string{
		"":                                 "authfail:5 crash:90 max-sources4:65536 overflow6:permissive overflow:permissive",
		"yes":                              "authfail:5 crash:90 max-sources4:65536 overflow6:permissive overflow:permissive",
		"no":                               "no",
		"crash:1m overflow:deny-all":       "authfail:5 crash:60 max-sources4:65536 overflow6:deny-all overflow:deny-all",
		"overflow6:deny-all authfail:1.5s": "authfail:1.5 crash:90 max-sources4:65536 overflow6:deny-all overflow:permissive",
	} {
		if got := strings.Join(allPenalties(value, usual), " "); got != want {
			t.Errorf("%q: %q, want %q", value, got, want)
		}
	}
}
