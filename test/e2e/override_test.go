//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"keyswitchd/internal/override"
	"keyswitchd/internal/record"
	"keyswitchd/internal/status"
)

const program = "/usr/sbin/keyswitchd"

// beginOverride is begin for tests that are refused a lot, and leaves no override behind.
func beginOverride(t *testing.T) {
	t.Helper()
	begin(t)
	freshDaemon(t)
	t.Cleanup(func() {
		freshDaemon(t)
		must(t, serialRoot.at(program, "auto")...)
	})
}

// freshDaemon forgets who was refused how often.
func freshDaemon(t *testing.T) {
	t.Helper()
	must(t, "systemctl", "reset-failed", "keyswitchd")
	must(t, "systemctl", "restart", "keyswitchd")
}

// overrideIs is the condition that the daemon says so.
func overrideIs(mode string) condition {
	return statusIs("override "+mode, func(s status.Status) bool { return s.Override == mode })
}

// openedWithout: SSH is open although the key is off.
func openedWithout(by string) condition {
	return all(listens(22), ledIs(true), statusIs("open by override", func(s status.Status) bool {
		return s.Key == "off" && s.Open && s.Override == "on" && s.OverrideBy == by && s.Code == "override-on" && s.Expires != nil && s.Hardening.Verified && !s.Fault
	}))
}

// lockedDown: SSH is closed although the key is on.
func lockedDown() condition {
	return all(silent(22), ledIs(false), statusIs("locked down", func(s status.Status) bool {
		return s.Key == "on" && !s.Open && s.Override == "off" && s.Code == "lockdown"
	}))
}

// bookmark is a place in the journal.
func bookmark(t *testing.T) string {
	t.Helper()
	_, cursor, _ := strings.Cut(strings.TrimSpace(must(t, "journalctl", "-q", "-n", "0", "--show-cursor")), "cursor: ")
	return cursor
}

// entries are those of a kind since the bookmark.
func entries(t *testing.T, since string, kind record.Kind) (out []map[string]any) {
	t.Helper()
	text, _ := run(t, "journalctl", "-q", "-o", "json", "--all", "--after-cursor="+since, "MESSAGE_ID="+kind.ID) // 1: there are none
	for line := range strings.Lines(text) {
		var e map[string]any
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		out = append(out, e)
	}
	return out
}

// recorded waits for the one entry of a kind since the bookmark, and looks at its fields.
func recorded(t *testing.T, since string, kind record.Kind, fields map[string]string) {
	t.Helper()
	await(t, "one entry "+kind.Name, func() error {
		got := entries(t, since, kind)
		if len(got) != 1 {
			return fmt.Errorf("%d entries: %v", len(got), got)
		}
		for name, want := range fields {
			if is := fmt.Sprint(got[0]["KEYSWITCHD_"+name]); is != want {
				return fmt.Errorf("%s is %q, want %q: %v", name, is, want, got[0])
			}
		}
		return nil
	})
}

// Root on a serial line has no password to give: the line is the proof. on opens, auto ends it, off holds against the key and
// through a restart.
func TestOverrideAtTheConsole(t *testing.T) {
	beginOverride(t)
	freshKey(t, "")
	since := bookmark(t)
	out := must(t, serialRoot.at(program, "on", "--for", "20m")...)
	if !contains(out, "SSH is open until") {
		t.Errorf("on: %s", out)
	}
	if err := openedWithout("root")(); err != nil { // the command waits until it is so
		t.Errorf("after on: %v", err)
	}
	recorded(t, since, record.Override, map[string]string{"OVERRIDE": "on", "BY": "root", "UID": "0", "TTY": "ttyS3", "FOR": "20m", "SERVICE": "login"})

	out = must(t, screenRoot.at(program, "auto")...)
	if err := shut()(); err != nil {
		t.Errorf("after auto: %v", err)
	}
	if !contains(out, "the key decides again: it is off, and SSH is closed") {
		t.Errorf("auto: %s", out)
	}

	turn(t, true)
	await(t, "open", opened())
	out = must(t, serialRoot.at(program, "off")...)
	if err := lockedDown()(); err != nil {
		t.Errorf("after off: %v", err)
	}
	if !contains(out, "SSH is closed and stays closed") {
		t.Errorf("off: %s", out)
	}
	turn(t, false)
	await(t, "the key off", statusIs("off", func(s status.Status) bool { return s.Key == "off" }))
	turn(t, true)
	await(t, "still closed", lockedDown())
	freshDaemon(t)
	await(t, "closed after a restart", lockedDown())
	must(t, serialRoot.at(program, "auto")...)
	if err := opened()(); err != nil {
		t.Errorf("after auto with the key on: %v", err)
	}
}

// The time ends it, without anybody's help; so does turning the key from on to off.
func TestOverrideEnds(t *testing.T) {
	beginOverride(t)
	must(t, serialRoot.at(program, "on", "--for", "1m")...)
	await(t, "open", openedWithout("root"))
	// 61 seconds of truth: the clock of a real machine can't be turned.
	await(t, "over", all(shut(), overrideIs("auto")))

	must(t, serialRoot.at(program, "on", "--for", "24h")...)
	await(t, "open", openedWithout("root"))
	turn(t, true)
	await(t, "the key on", statusIs("on", func(s status.Status) bool { return s.Key == "on" && s.Open }))
	turn(t, false)
	await(t, "over", all(shut(), overrideIs("auto")))
}

// Whoever isn't at the machine is refused, told so, and recorded. The key is on, so that SSH is there to come in by.
func TestOverrideFromAfar(t *testing.T) {
	beginOverride(t)
	key := freshKey(t, "")
	turn(t, true)
	await(t, "open", opened())
	// As sudo: a program that makes pi root, in pi's session.
	const asRoot = "/usr/local/bin/asroot"
	must(t, "install", "-m", "4755", "/usr/bin/setpriv", asRoot)
	t.Cleanup(func() { os.Remove(asRoot) })
	sudo := []string{asRoot, "--reuid=0", "--regid=0", "--clear-groups"}
	for i, c := range []struct {
		name    string
		command []string
		reason  string
		fields  map[string]string
	}{
		{"pi", sshArgs(key, program, "on"), "remote", map[string]string{"BY": "pi", "UID": "1000", "REMOTE_HOST": "127.0.0.1", "SERVICE": "sshd"}},
		{"pi on a terminal", sshArgs(key, "-tt", program, "on"), "remote", map[string]string{"BY": "pi"}},
		{"pi, sudo", sshArgs(key, append(sudo, program, "on")...), "remote",
			map[string]string{"BY": "root, in the session of pi", "UID": "0", "REMOTE_HOST": "127.0.0.1", "SESSION_USER": "pi"}},
		{"pi, sudo, a lockdown", sshArgs(key, append(sudo, program, "off")...), "remote", map[string]string{"OVERRIDE": "off"}},
		{"pi, sudo, no lockdown", sshArgs(key, append(sudo, program, "auto")...), "remote", map[string]string{"OVERRIDE": "auto"}},
		{"pi, sudo, su with a seat of his own choosing", sshArgs(key, append(sudo, "env", "XDG_SEAT=seat0", "su", "-", "root", "-c", "'"+program+" on'")...), "remote",
			map[string]string{"UID": "0"}},
		{"pi, sudo, moved out of the session", sshArgs(key, append(sudo, "systemd-run", "--wait", "--pipe", "-q", program, "on")...), "no-session",
			map[string]string{"BY": "root", "UID": "0"}},
		{"pi, sudo, moved out, su with a seat: a local session to logind", sshArgs(key, append(sudo, "systemd-run", "--wait", "--pipe", "-q",
			"-E", "XDG_SEAT=seat0", "su", "-", "root", "-c", "'"+program+" on'")...), "class", map[string]string{"SEAT": "seat0", "SERVICE": "su-l"}},
		{"root from nowhere, as cron is", []string{program, "on"}, "no-session", map[string]string{"BY": "root"}},
		{"pi from nowhere", []string{"runuser", "-u", "pi", "--", program, "off"}, "no-session", map[string]string{"BY": "pi"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if i%4 == 3 { // five of a user's are looked at, see TestOverrideFlood
				freshDaemon(t)
				await(t, "open", opened())
			}
			since := bookmark(t)
			out, code := run(t, c.command...)
			if code != 77 || !contains(out, "refused", "turn the key") && !contains(out, "refused", "end an override") {
				t.Errorf("exit code %d, want 77: %s", code, out)
			}
			if err := all(listens(22), overrideIs("auto"))(); err != nil {
				t.Error(err)
			}
			c.fields["REASON"] = c.reason
			recorded(t, since, record.OverrideRefused, c.fields)
			if got := entries(t, since, record.Override); len(got) != 0 {
				t.Errorf("entries of something allowed: %v", got)
			}
		})
	}
}

// Without a password nobody but root may; with it, who is at the screen.
func TestOverrideWithPassword(t *testing.T) {
	beginOverride(t)
	freshKey(t, "")
	const secret = "correct horse"
	password(t, "pi", secret)
	must(t, "usermod", "-aG", "sudo", "pi") // Debian's administrators
	t.Cleanup(func() { must(t, "gpasswd", "-d", "pi", "sudo") })

	t.Run("no terminal to ask on", func(t *testing.T) {
		since := bookmark(t)
		if out, code := run(t, screenPi.at(program, "on")...); code != 77 || !contains(out, "use a terminal") {
			t.Errorf("exit code %d: %s", code, out)
		}
		recorded(t, since, record.OverrideRefused, map[string]string{"REASON": "nobody-to-ask", "BY": "pi", "SEAT": "seat0"})
	})
	t.Run("a serial line", func(t *testing.T) {
		p := sitDown(t, serialPi, program, "on")
		if code := p.leaves(t); code != 77 || !contains(p.said(), "use sudo") {
			t.Errorf("exit code %d: %s", code, p.said())
		}
	})
	t.Run("a wrong password", func(t *testing.T) {
		since := bookmark(t)
		p := sitDown(t, screenPi, program, "on")
		await(t, "asked", p.sees("Password:"))
		p.types(t, "battery staple")
		if code := p.leaves(t); code != 77 {
			t.Errorf("exit code %d: %s", code, p.said())
		}
		recorded(t, since, record.OverrideRefused, map[string]string{"BY": "pi", "FOR": "30m"})
		if err := all(shut(), overrideIs("auto"))(); err != nil {
			t.Error(err)
		}
	})
	t.Run("the password", func(t *testing.T) {
		since := bookmark(t)
		p := sitDown(t, screenPi, program, "on", "--for", "45m")
		await(t, "asked", p.sees("open SSH for 45m without the key", "Password:"))
		p.types(t, secret)
		if code := p.leaves(t); code != 0 || !contains(p.said(), "SSH is open until") {
			t.Errorf("exit code %d: %s", code, p.said())
		}
		await(t, "open", openedWithout("pi"))
		recorded(t, since, record.Override, map[string]string{"BY": "pi", "UID": "1000", "SEAT": "seat0", "FOR": "45m"})
		must(t, serialRoot.at(program, "auto")...)
	})
	t.Run("nobody answers, and then leaves", func(t *testing.T) {
		since := bookmark(t)
		p := sitDown(t, screenPi, program, "off")
		await(t, "asked", p.sees("Password:"))
		must(t, serialRoot.at(program, "on")...) // nobody waits for him
		if err := openedWithout("root")(); err != nil {
			t.Error(err)
		}
		must(t, "pkill", "-x", "-U", "pi", "keyswitchd")
		recorded(t, since, record.OverrideRefused, map[string]string{"REASON": "gone", "BY": "pi", "OVERRIDE": "off"})
		p.leaves(t)
		if err := openedWithout("root")(); err != nil {
			t.Error(err)
		}
		must(t, serialRoot.at(program, "auto")...)
	})
}

// Those who are asked are away: refused in one sentence, and nothing changes.
func TestOverrideNobodyToAsk(t *testing.T) {
	for _, c := range []struct{ name, unit, says string }{
		{"polkit", "polkit.service", "asking polkit"},
		{"logind", "systemd-logind.service", "asking logind"},
	} {
		t.Run(c.name, func(t *testing.T) {
			beginOverride(t)
			mask := func(verb string) { must(t, "systemctl", verb, "--runtime", c.unit) }
			// The session begins while logind is there.
			p := sitDown(t, screenRoot, "sh", "-c", "echo ready; read x; exec "+program+" on")
			await(t, "sitting", p.sees("ready"))
			mask("mask")
			unmask := func() { mask("unmask"); must(t, "systemctl", "restart", c.unit) }
			t.Cleanup(func() { unmask() })
			must(t, "systemctl", "stop", c.unit)
			since := bookmark(t)
			p.types(t, "")
			if code := p.leaves(t); code != 69 || !contains(p.said(), c.says, "systemctl status") {
				t.Errorf("exit code %d: %s", code, p.said())
			}
			recorded(t, since, record.OverrideRefused, map[string]string{"REASON": "unavailable"})
			if err := all(silent(22), overrideIs("auto"))(); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("the daemon", func(t *testing.T) {
		beginOverride(t)
		must(t, "systemctl", "stop", "keyswitchd")
		if out, code := run(t, serialRoot.at(program, "on")...); code != 4 || !contains(out, "keyswitchd is not running") {
			t.Errorf("exit code %d: %s", code, out)
		}
		must(t, "systemctl", "start", "keyswitchd")
	})
}

// A loop from afar fills nothing: the first few are recorded, and then how many there were.
func TestOverrideFlood(t *testing.T) {
	beginOverride(t)
	since := bookmark(t)
	conn, err := dbus.ConnectSystemBus() // root, in no session
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const calls = 500
	object, names := conn.Object(status.BusName, status.Path), map[string]int{}
	began := time.Now()
	for range calls {
		err := object.Call(status.Interface+".Off", 0).Err
		e, ok := err.(dbus.Error)
		if !ok {
			t.Fatalf("Off: %v", err)
		}
		names[e.Name]++
	}
	took := time.Since(began)
	allowed := 5 + 1 + int(took/(10*time.Second)) // see override's limits
	if names[override.NotOnSite] > allowed || names[override.NotOnSite]+names[override.TooMany] != calls {
		t.Errorf("%d calls in %s: %v, want at most %d looked at", calls, took, names, allowed)
	}
	if n := len(entries(t, since, record.OverrideRefused)); n == 0 || n > 2*allowed {
		t.Errorf("%d entries of %d calls, want at most %d", n, calls, 2*allowed)
	}
	t.Logf("%d refused calls in %s, %d entries", calls, took, len(entries(t, since, record.OverrideRefused)))
	if out, code := run(t, "runuser", "-u", "pi", "--", program, "on"); code != 77 {
		t.Errorf("another user: exit code %d, want 77: %s", code, out)
	}
}

// What comes with a message is not kept: the daemon would run out of descriptors.
func TestBusTakesNoDescriptors(t *testing.T) {
	begin(t)
	conn, err := dbus.ConnectSystemBus()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	count := func() int {
		fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", daemonPID(t)))
		if err != nil {
			t.Fatal(err)
		}
		return len(fds)
	}
	before := count()
	for range 50 {
		fd := dbus.UnixFD(os.Stdin.Fd())
		err := conn.Object(status.BusName, status.Path).Call("org.freedesktop.DBus.Properties.Set", 0, status.Interface, "LED", dbus.MakeVariant(fd)).Err
		if err == nil {
			t.Fatal("a descriptor was taken")
		}
	}
	if now := count(); now > before+5 {
		t.Errorf("the daemon has %d descriptors, before 50 messages with one each %d", now, before)
	}
}
