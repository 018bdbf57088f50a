//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// unitFolder is where make install puts units.
const unitFolder = "/usr/lib/systemd/system"

// exposures are the highest levels allowed, as `systemd-analyze security` counts: of 10, times 10.
var exposures = map[string]string{
	"keyswitchd.service":              "5",
	"keyswitchd-end-sessions.service": "9",
	"keyswitchd-warn@.service":        "11",
}

// The sandbox is as tight as it was, by systemd's own judgement of the file and of the unit as it runs; what it leaves open has its
// reason in a comment of the unit.
func TestExposure(t *testing.T) {
	begin(t)
	for unit, limit := range exposures {
		t.Run(unit, func(t *testing.T) {
			file := filepath.Join(unitFolder, unit)
			for _, args := range [][]string{{"--offline=yes", file}, {instance(unit)}} {
				if out, code := run(t, append([]string{"systemd-analyze", "security", "--no-pager", "--threshold=" + limit}, args...)...); code != 0 {
					t.Errorf("%s: exposed by more than %s tenths: %s", args, limit, out)
				} else {
					lines := strings.Split(strings.TrimSpace(out), "\n")
					t.Log(args, lines[len(lines)-1])
				}
			}
			for _, setting := range exposed(t, file) {
				if !explained(t, file, setting) {
					t.Errorf("%s leaves %s open without a reason", unit, setting)
				}
			}
		})
	}
}

// instance is a unit that can run, for a template.
func instance(unit string) string { return strings.Replace(unit, "@.", "@closing.", 1) }

// exposed are the names of what systemd counts as open.
func exposed(t *testing.T, file string) (names []string) {
	t.Helper()
	var all []struct {
		Set      *bool
		Name     string
		Exposure string
	}
	out := must(t, "systemd-analyze", "security", "--offline=yes", "--json=short", file)
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, s := range all {
		if s.Set != nil && !*s.Set && s.Exposure != "" && s.Exposure != "0.0" {
			names = append(names, s.Name)
		}
	}
	if len(all) < 50 {
		t.Errorf("systemd-analyze knows %d settings only", len(all))
	}
	return names
}

// explained reports whether a comment of the unit names the setting, such as "PrivateDevices=" or
// "RestrictAddressFamilies=~AF_UNIX", of which it is AF_UNIX.
func explained(t *testing.T, file, setting string) bool {
	t.Helper()
	if _, value, ok := strings.Cut(setting, "~"); ok {
		setting = value
	} else {
		setting, _, _ = strings.Cut(setting, "/")
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, "#") && strings.Contains(line, setting) {
			return true
		}
	}
	return false
}

// This release's systemd knows every setting of our units: one that it ignores is a hole with a warning.
func TestUnitsAreUnderstood(t *testing.T) {
	begin(t)
	files, err := filepath.Glob(unitFolder + "/keyswitchd*.service")
	if err != nil || len(files) < len(exposures) {
		t.Fatalf("units: %q, %v", files, err)
	}
	for _, file := range files {
		out, code := run(t, "systemd-analyze", "verify", "--man=no", instance(file))
		if code != 0 || strings.Contains(out, "keyswitchd") {
			t.Errorf("systemd-analyze verify %s: exit code %d: %s", file, code, out)
		}
	}
	if out, _ := run(t, "journalctl", "-b", "-q", "_PID=1", "-g", "keyswitchd.*(Unknown|Failed to parse|ignoring|not supported)"); out != "" {
		t.Errorf("systemd said: %s", out)
	}
}

// What the sandbox is to keep from the daemon is kept from it: asked from inside, as the daemon, by systemd's own words.
func TestSandboxHolds(t *testing.T) {
	begin(t)
	pid := daemonPID(t)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"CapInh:\t0000000000000000", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000",
		"CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"} {
		if !strings.Contains(string(status), want+"\n") {
			t.Errorf("the daemon's process: want %q: %s", want, status)
		}
	}
	mounts, err := os.ReadFile(fmt.Sprintf("/proc/%d/mounts", pid))
	if err != nil {
		t.Fatal(err)
	}
	writable := map[string]bool{}
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		// A later mount hides an earlier one at the same place.
		writable[f[1]] = !strings.HasPrefix(f[3]+",", "ro,")
	}
	for path, is := range writable {
		if !is {
			continue
		}
		switch {
		case path == "/run/keyswitchd", path == "/var/lib/keyswitchd-lockdown", strings.HasPrefix(path, "/tmp"), path == "/var/tmp", // a /tmp of its own
			path == "/dev", path == "/dev/pts", path == "/proc", strings.HasPrefix(path, "/sys/devices/"): // root's, but for the chip and kernel LEDs
		default:
			t.Errorf("the daemon can write to %s", path)
		}
	}
	if !writable["/run/keyswitchd"] || !writable["/var/lib/keyswitchd-lockdown"] {
		t.Errorf("the daemon can't write what it has to: %s", mounts)
	}
}
