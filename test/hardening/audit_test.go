//go:build sshds

package hardening

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"keyswitchd/hardening"
)

// explained is what ssh-audit may say of a profile. Each line stands in docs/hardening.md with its reason.
var explained = map[hardening.Profile][]string{
	hardening.Standard: {
		"(mac) hmac-sha2-256 -- [warn] using encrypt-and-MAC mode",
		"(mac) hmac-sha2-512 -- [warn] using encrypt-and-MAC mode",
	},
	hardening.Strict: nil,
}

var finding = regexp.MustCompile(`\[(warn|fail)\]`)

// ssh-audit, as forky has it, finds nothing in any release that the manual doesn't explain.
func TestSSHAudit(t *testing.T) {
	manual, err := os.ReadFile("../../docs/hardening.md")
	if err != nil {
		t.Fatal(err)
	}
	all := openTrees(t)
	auditor := all[len(all)-1]
	work := keys(t, all[0])
	for profile, want := range explained {
		for _, line := range want {
			if !strings.Contains(string(manual), line) {
				t.Errorf("docs/hardening.md does not explain %q", line)
			}
		}
		for _, tree := range all {
			t.Run(string(profile)+"/"+tree.Suite, func(t *testing.T) {
				s := start(t, tree, work, profile)
				// Its test of the connection rate is what PerSourceMaxStartups is there to stop.
				audit := auditor.Command(t.Context(), work, "/usr/bin/python3", "/usr/bin/ssh-audit", "-n", "-b", "--skip-rate-test", "-p", s.port, "127.0.0.1")
				out, err := audit.CombinedOutput() // exits with 2 for warnings, 3 for failures
				text := string(out)
				if (err == nil) != (len(want) == 0) || !strings.Contains(text, "(kex) sntrup761x25519-sha512@openssh.com") ||
					!strings.Contains(text, "(mac) hmac-sha2-512-etm@openssh.com") {
					t.Fatalf("%v\n%s", err, out)
				}
				var found []string
				for line := range strings.Lines(text) {
					if finding.MatchString(line) {
						found = append(found, strings.TrimSpace(line))
					}
				}
				slices.Sort(found)
				if !slices.Equal(found, want) {
					t.Errorf("found %q, want %q", found, want)
				}
			})
		}
	}
}
