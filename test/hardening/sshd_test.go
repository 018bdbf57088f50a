//go:build sshds

package hardening

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"keyswitchd/hardening"
)

// connections that trees are asked about, beside none in particular. A stranger is one to sshd only if -C says so, from 9.9 on; what
// sshd finds out at run time can't be asked for.
func connections(r hardening.Release) []hardening.Connection {
	return []hardening.Connection{
		{User: "root", Host: "localhost", Addr: "127.0.0.1", LAddr: "127.0.0.1", LPort: 22},
		{User: "pi", Host: "client.example.org", Addr: "192.168.1.7", LAddr: "192.168.1.1", LPort: 22},
		{User: "alice", Host: "evil.test", Addr: "10.1.2.3", LAddr: "192.168.1.1", LPort: 10101},
		{User: "bob", Host: "client.example.org", Addr: "2001:db8::5", LAddr: "::1", LPort: 2222},
		{User: "stranger", Host: "evil.test", Addr: "203.0.113.9", LAddr: "192.168.1.1", LPort: 22, Invalid: r.KnowsInvalidUser()},
		{User: "alice", Host: "localhost", Addr: "fe80::1", LAddr: "::1", LPort: 22, RDomain: "blue"},
	}
}

// ask runs `sshd -T` on a file. An error is sshd's own refusal; anything else ends the test.
func ask(t testing.TB, file string, c hardening.Connection) (string, error) {
	args := []string{"-T", "-f", file}
	if spec := c.Spec(); spec != "" {
		args = append(args, "-C", spec)
	}
	cmd := exec.CommandContext(t.Context(), "/usr/sbin/sshd", args...)
	var out, complaint bytes.Buffer
	cmd.Env = []string{"LC_ALL=C", "PATH=/usr/sbin:/usr/bin"}
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return out.String(), nil
	case errors.As(err, &exit) && (exit.ExitCode() == 255 || exit.ExitCode() == 1): // 1: "no hostkeys available"
		return "", errors.New(strings.TrimSpace(complaint.String()))
	}
	t.Fatalf("sshd %q: %v\n%s", args, err, complaint.Bytes())
	return "", nil
}

// printed is what sshd printed, keyword in lower case -> lines in its order.
func printed(text string) map[string][]string {
	values := map[string][]string{}
	for line := range strings.Lines(text) {
		name, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		name = strings.ToLower(name)
		values[name] = append(values[name], rest)
	}
	return values
}

// lay makes /etc/ssh hold the tree and a host key, and nothing else.
func lay(t testing.TB, tr *tree) {
	t.Helper()
	key, err := os.ReadFile(hostKey)
	if errors.Is(err, fs.ErrNotExist) {
		key, err = makeHostKey(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir("/etc/ssh")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.RemoveAll("/etc/ssh/" + e.Name()); err != nil {
			t.Fatal(err)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir(dropIns, 0o755))
	must(os.WriteFile(hostKey, key, 0o600))
	must(tr.write())
}

func makeHostKey(ctx context.Context) ([]byte, error) {
	out, err := exec.CommandContext(ctx, "/usr/bin/ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", hostKey).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("ssh-keygen: %w: %s", err, out)
	}
	return os.ReadFile(hostKey)
}

// snapshot is every file below /etc/ssh with its content, mode and owner.
func snapshot(t testing.TB) map[string]string {
	t.Helper()
	state := map[string]string{}
	err := filepath.WalkDir("/etc/ssh", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		content := []byte{}
		if info.Mode().IsRegular() {
			if content, err = os.ReadFile(path); err != nil {
				return err
			}
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			content = []byte(target)
		}
		state[path] = fmt.Sprintf("%v %v\n%s", info.Mode(), owner(info), content)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// changes names the files in which two snapshots differ.
func changes(before, after map[string]string) []string {
	var names []string
	for path, state := range before {
		if now, there := after[path]; !there {
			names = append(names, path+" is gone")
		} else if now != state {
			names = append(names, fmt.Sprintf("%s was %q, is %q", path, state, now))
		}
	}
	for path := range maps.Keys(after) {
		if _, there := before[path]; !there {
			names = append(names, path+" is new")
		}
	}
	slices.Sort(names)
	return names
}
