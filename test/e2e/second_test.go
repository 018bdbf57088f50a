//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"keyswitchd/internal/status"
)

// contact closes or opens one of the key's contacts; the lines are active low.
func contact(t *testing.T, name string, closed bool) {
	t.Helper()
	path, err := line(name + "/pull")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(pulls[closed]), 0); err != nil {
		t.Fatal(err)
	}
}

// The lines of the key's contact and of the opposite one.
const (
	first  = "sim_gpio17"
	second = "sim_gpio22"
)

// turnBoth turns a key with two contacts, which break before they make.
func turnBoth(t *testing.T, on bool) {
	t.Helper()
	from, to := first, second
	if on {
		from, to = second, first
	}
	contact(t, from, false)
	contact(t, to, true)
}

// supervised has the daemon read the second contact, with the key off.
func supervised(t *testing.T) {
	t.Helper()
	t.Cleanup(func() { contact(t, second, false) })
	configure(t, "", "second = \"GPIO22\"\n")
	turnBoth(t, false)
	must(t, "systemctl", "restart", "keyswitchd")
	await(t, "closed", shut())
}

// contradicting: closed, and everything says that the contacts were both so, and which wires to look at.
func contradicting(both string) condition {
	return all(silent(22), statusIs("a fault, both "+both, func(s status.Status) bool {
		return s.Key == "fault" && s.Fault && s.Code == "key-fault" && !s.Open && s.SSH == "inactive" && s.LED == "fast-blink" &&
			contains(s.Reason, "GPIO17 and GPIO22", "both contacts were "+both, "to ground", "stays closed until the key has been seen off")
	}))
}

// stays checks that nothing changes for a while. That a slow machine takes longer only makes it look more often.
func stays(t *testing.T, what string, c condition) {
	t.Helper()
	for end := time.Now().Add(1500 * time.Millisecond); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err := c(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// The opposite contact: a turn opens and closes, and each wire cut or shorted is a fault that names both, is closed, and lasts
// until the key has been seen off.
func TestSecondContact(t *testing.T) {
	for _, c := range []struct {
		name    string
		on      bool             // where the key is when it happens
		happens func(*testing.T) // and stays so
		both    string
		mend    func(*testing.T)
	}{
		{"the second wire cut while off", false, func(t *testing.T) { contact(t, second, false) }, "open", func(t *testing.T) { contact(t, second, true) }},
		{"the key's line shorted while off", false, func(t *testing.T) { contact(t, first, true) }, "closed", func(t *testing.T) { contact(t, first, false) }},
		{"the key's wire cut while on", true, func(t *testing.T) { contact(t, first, false) }, "open", func(t *testing.T) { contact(t, first, true) }},
		{"the second line shorted while on", true, func(t *testing.T) { contact(t, second, true) }, "closed", func(t *testing.T) { contact(t, second, false) }},
		{"the cable cut while on", true, func(t *testing.T) { contact(t, second, false); contact(t, first, false) }, "open", func(t *testing.T) { turnBoth(t, true) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			begin(t)
			supervised(t)
			turnBoth(t, true)
			await(t, "open", opened())
			turnBoth(t, false)
			await(t, "closed", shut())
			if c.on {
				turnBoth(t, true)
				await(t, "open again", opened())
			}
			begun := time.Now()
			c.happens(t)
			await(t, "a fault", contradicting(c.both))
			t.Logf("closed, and said so, after %s", time.Since(begun).Round(time.Millisecond))
			countDark(t, 5)
			if out, code := run(t, "keyswitchd", "--status"); code != status.ExitFault || !contains(out, "GPIO17", "GPIO22", c.both) {
				t.Errorf("--status: exit code %d, want %d: %s", code, status.ExitFault, out)
			}
			if out := must(t, "journalctl", "-q", "--no-pager", "-u", "keyswitchd", fmt.Sprintf("--since=@%d", begun.Unix())); !contains(out, "both contacts were "+c.both, "GPIO17", "GPIO22") {
				t.Errorf("the journal does not say it: %s", out)
			}
			// Mended is not enough, and what reads as on opens nothing.
			if c.on {
				c.mend(t)
				stays(t, "mended, with the key on", contradicting(c.both))
			}
			// Off is seen, and is the end of it.
			if !c.on {
				c.mend(t)
			} else {
				turnBoth(t, false)
			}
			await(t, "closed by the key once it was seen off", shut())
			turnBoth(t, true)
			await(t, "open with the next turn", opened())
			turnBoth(t, false)
			await(t, "closed by the key", shut())
		})
	}
}

// What is wrong already when the daemon starts opens nothing.
func TestSecondContactWrongAtStart(t *testing.T) {
	begin(t)
	supervised(t)
	contact(t, first, true)
	must(t, "systemctl", "restart", "keyswitchd")
	await(t, "a fault", contradicting("closed"))
	contact(t, second, false) // reads as on
	stays(t, "reads as on", contradicting("closed"))
	turnBoth(t, false)
	await(t, "closed by the key", shut())
}

// The second line held by another: the error names it, not the key's own line.
func TestSecondLineHeldByAnother(t *testing.T) {
	begin(t)
	other := exec.Command("gpiomon", "--consumer=doorbell", "GPIO22")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		other.Process.Kill() // unless the test did
		other.Wait()
	})
	await(t, "the line held", func() error {
		if out := must(t, "gpioinfo", "GPIO22"); !contains(out, "doorbell") {
			return fmt.Errorf("gpioinfo: %s", out)
		}
		return nil
	})
	configure(t, "", "second = \"GPIO22\"\n")
	turnBoth(t, true)
	t.Cleanup(func() { contact(t, second, false) })
	must(t, "systemctl", "restart", "keyswitchd")
	await(t, "a fault that names the line and the consumer", all(silent(22), statusIs("a fault", func(s status.Status) bool {
		return s.Key == "fault" && s.Fault && !s.Open && contains(s.Reason, "requesting GPIO22", "doorbell") && !strings.Contains(s.Reason, "GPIO17")
	})))
	if err := other.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	await(t, "open once the line is free", opened())
}

// A second line that this board doesn't have, or that is taken by the key or the LED, is a mistake in the configuration.
func TestSecondLineThatCannotBe(t *testing.T) {
	for name, config := range map[string]string{
		"GPIO99": "second = \"GPIO99\"\n", "GPIO17": "second = \"GPIO17\"\n", "GPIO27": "second = \"GPIO27\"\n",
	} {
		t.Run(name, func(t *testing.T) {
			begin(t)
			configure(t, "", config)
			if out, code := run(t, "systemctl", "restart", "keyswitchd"); code == 0 {
				t.Errorf("systemctl restart keyswitchd: it starts: %s", out)
			}
			if out := must(t, "systemctl", "show", "-p", "ActiveState,ExecMainStatus,NRestarts", "keyswitchd"); !contains(out, "ActiveState=failed", "ExecMainStatus=78", "NRestarts=0") {
				t.Errorf("systemctl show keyswitchd: %s", out)
			}
			if out := must(t, "journalctl", "--no-pager", "-u", "keyswitchd", "-n", "20"); !contains(out, configFile, "gpio.", name) {
				t.Errorf("the journal names neither file nor line: %s", out)
			}
		})
	}
}

// A chip that vanishes is named by the line that is missed.
func TestVanishedChipIsNamedByItsLine(t *testing.T) {
	begin(t)
	t.Cleanup(func() {
		if _, err := line("sim_gpio17/pull"); err != nil {
			if err := os.WriteFile(chipLive, []byte("1"), 0); err != nil {
				t.Error(err)
			}
		}
	})
	if err := os.WriteFile(chipLive, []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	await(t, "a fault that names the line", statusIs("a fault", func(s status.Status) bool {
		return s.Key == "fault" && s.Fault && contains(s.Reason, "GPIO17", "the chip is gone")
	}))
}
