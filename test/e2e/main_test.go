//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"keyswitchd/test/inside"
)

// roleVar names what a second process of the test binary is to do instead of testing.
const roleVar = "E2E_ROLE"

// configFile is where the daemon's configuration is.
const configFile = "/etc/keyswitchd/keyswitchd.toml"

// baseConfig is the default but for the pull: the simulated chip takes a requested pull for somebody's hand on the key.
const baseConfig = `# test/e2e
[gpio]
pull = "none"
`

func TestMain(m *testing.M) {
	inside.Role()
	switch os.Getenv(roleVar) {
	case "":
	case "chatter":
		os.Exit(chatter())
	case "askpass":
		os.Exit(askpass())
	default:
		fmt.Fprintln(os.Stderr, "e2e: no such role:", os.Getenv(roleVar))
		os.Exit(64)
	}
	os.Exit(around(m))
}

// around runs the tests on an armed machine, and then looks whether disarming puts everything back.
func around(m *testing.M) int {
	if os.Getenv("VIRTUALPI") == "" {
		fmt.Fprintln(os.Stderr, "e2e: these tests break the machine they run on; run them in the virtual Pi (package comment)")
		return 64
	}
	if err := os.WriteFile(configFile, []byte(baseConfig), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	before, err := lookAround()
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	if err := keyswitchd("arm", "--yes", "--even-if-locked-out"); err != nil {
		fmt.Fprintln(os.Stderr, "e2e: arming:", err)
		return 1
	}
	code := m.Run()
	if err := keyswitchd("disarm"); err != nil {
		fmt.Fprintln(os.Stderr, "e2e: disarming:", err)
		return 1
	}
	after, err := lookAround()
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	if diff := before.diff(after); diff != "" {
		fmt.Fprintf(os.Stderr, "FAIL: disarm left the machine other than it was before arm:\n%s", diff)
		code = max(code, 1)
	}
	return code
}

func keyswitchd(args ...string) error {
	out, err := exec.Command("/usr/sbin/keyswitchd", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("keyswitchd %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}
