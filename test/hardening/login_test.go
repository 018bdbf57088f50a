//go:build sshds

package hardening

import (
	"context"
	"strings"
	"testing"

	"keyswitchd/hardening"
	"keyswitchd/test/sshds"
)

// Every release's client logs in to every release's server, hardened with each profile, by key; not without one, and
// not as root.
func TestLogins(t *testing.T) {
	all := openTrees(t)
	work := keys(t, all[0])
	for _, profile := range []hardening.Profile{hardening.Standard, hardening.Strict} {
		for _, tree := range all {
			t.Run(string(profile)+"/"+tree.Suite, func(t *testing.T) {
				s := start(t, tree, work, profile)
				known := know(t, work, s)
				for _, client := range all {
					if out, err := ssh(t.Context(), client, work, s.port, known, "pi", "-i", "/mnt/id"); err != nil || !strings.Contains(out, "in42") {
						t.Errorf("%s's client: %v\n%s", client.Suite, err, out)
					}
				}
				for user, args := range map[string][]string{"pi": nil, "root": {"-i", "/mnt/id"}} {
					out, err := ssh(t.Context(), tree, work, s.port, known, user, args...)
					if err == nil || !strings.Contains(out, "Permission denied (publickey).") {
						t.Errorf("%s with %q: %v\n%s", user, args, err, out)
					}
				}
			})
		}
	}
}

// ssh runs a command over ssh with a release's client.
func ssh(ctx context.Context, client *sshds.Tree, work, port, known, user string, args ...string) (string, error) {
	args = append([]string{"-F", "none", "-v", "-p", port, "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes",
		"-o", "UserKnownHostsFile=" + known, "-o", "ConnectTimeout=30"}, args...)
	cmd := client.Command(ctx, work, "/usr/bin/ssh", append(args, user+"@127.0.0.1", "echo in$((40+2))")...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
