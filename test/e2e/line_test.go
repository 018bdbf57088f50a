//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"keyswitchd/internal/status"
)

// A line that somebody else holds: a fault that names them, and gone once they let go.
func TestLineHeldByAnother(t *testing.T) {
	begin(t)
	turn(t, true)
	await(t, "open", opened())
	must(t, "systemctl", "stop", "keyswitchd")
	other := exec.Command("gpiomon", "--consumer=doorbell", "GPIO17")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		other.Process.Kill() // unless the test did
		other.Wait()
	})
	await(t, "the line held", func() error {
		if out := must(t, "gpioinfo", "GPIO17"); !contains(out, "doorbell") {
			return fmt.Errorf("gpioinfo: %s", out)
		}
		return nil
	})
	must(t, "systemctl", "start", "keyswitchd")
	await(t, "a fault that names the consumer", all(silent(22), statusIs("a fault", func(s status.Status) bool {
		return s.Key == "fault" && s.Fault && !s.Open && s.LED == "fast-blink" && contains(s.Reason, "GPIO17", "doorbell")
	})))
	countDark(t, 5) // it blinks in truth
	if out, code := run(t, "keyswitchd", "--status"); code != status.ExitFault || !contains(out, "doorbell", "fault: closed") {
		t.Errorf("--status: exit code %d, want %d: %s", code, status.ExitFault, out)
	}
	if err := other.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	await(t, "open once the line is free", opened())
}

// A line that this board doesn't have is a mistake in the configuration: waiting doesn't help, so the daemon doesn't.
func TestLineThatDoesNotExist(t *testing.T) {
	for _, c := range []struct{ name, config, says string }{
		{"no such GPIO", "key = \"GPIO99\"\n", "GPIO99"},
		{"no such line", "key = \"NOPE\"\n", "NOPE"},
		{"one line for both", "led = \"GPIO17\"\n", "GPIO17"},
	} {
		t.Run(c.name, func(t *testing.T) {
			begin(t)
			turn(t, true)
			await(t, "open", opened())
			configure(t, "", c.config)
			if out, code := run(t, "systemctl", "restart", "keyswitchd"); code == 0 {
				t.Errorf("systemctl restart keyswitchd: it starts: %s", out)
			}
			await(t, "closed", all(silent(22), ledIs(false)))
			if out := must(t, "systemctl", "show", "-p", "ActiveState,ExecMainStatus,NRestarts", "keyswitchd"); !contains(out, "ActiveState=failed", "ExecMainStatus=78", "NRestarts=0") {
				t.Errorf("systemctl show keyswitchd: %s", out)
			}
			if out, code := run(t, "keyswitchd", "--status"); code != status.ExitNotRunning || !contains(out, "its configuration is wrong", "keyswitchd config") {
				t.Errorf("--status: exit code %d, want %d: %s", code, status.ExitNotRunning, out)
			}
			if out := must(t, "journalctl", "--no-pager", "-u", "keyswitchd", "-n", "20"); !contains(out, configFile, c.says) {
				t.Errorf("the journal names neither file nor line: %s", out)
			}
		})
	}
}

// The chip vanishes while SSH is open: closed at once, and everything works again when it is back.
func TestChipVanishes(t *testing.T) {
	begin(t)
	turn(t, true)
	await(t, "open", opened())
	plug := func(live string) {
		if err := os.WriteFile(chipLive, []byte(live), 0); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if _, err := line("sim_gpio17/pull"); err != nil {
			plug("1")
		}
	})
	plug("0")
	await(t, "closed for a fault", all(silent(22), statusIs("a fault", func(s status.Status) bool {
		return s.Key == "fault" && s.Fault && !s.Open && s.SSH == "inactive" && contains(s.Reason, "gpio: ") && s.LEDError != ""
	})))
	plug("1")
	turn(t, false)
	await(t, "closed by the key", shut())
	turn(t, true)
	await(t, "open", opened())
}
