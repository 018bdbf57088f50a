//go:build virtualpi

package faults

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

const tableFile = "../../docs/faults.md"

// debounce is the default of debounce-off.
const debounce = 50 * time.Millisecond

// head is what the table can't say itself.
const head = `# Fault by fault

**SSH is reachable only while a live daemon sees the key on, and everything that breaks, breaks towards closed.** This table shows it.
It is written by ` + "`make test-faults UPDATE=1`" + ` and compared by each ` + "`make test`" + `, which makes all of this go wrong again, and fails if anything
but a time comes out otherwise.

How it is made: in virtual Pis (test/virtualpi: User-mode Linux 6.12, Debian trixie with its systemd, D-Bus, polkit, OpenSSH, and the kernel's
simulated GPIO chip), armed as a Pi is. Each fault strikes a machine in a known good state. All the while a second process tries to
connect, over IPv4 and IPv6; **one connection granted while SSH has to be closed, one listener, or a LED that goes on being lit
without a blink while nobody listens (two seconds and five times a bare stop), fails the run.** Then the cause is taken away, and the key has to open SSH again.

- *time to closed* is the time until nobody listened any more, by the kernel's list of sockets, looked at every 5 ms: from the fault, or, where
  SSH stays open through it, from the turn of the key with the fault in place (debounce included, which is 50 ms). In brackets, without the
  debounce, and beyond the watchdog's 30 s where the fault is noticed by it: how many times what a bare ` + "`systemctl stop ssh`" + ` took in the same
  machine. These machines are slow, their processor is shared: compare ratios, not milliseconds. What takes less than one of them is faster than by hand.
- *LED and status*: what the LED's line showed, and the ` + "`code`" + ` of ` + "`keyswitchd status --json`" + ` ([status.md](status.md)), while the fault lasted.
`

// tail is what isn't in the table, and why.
const notShown = `
## What this does not show

- *What root wants.* Root may start an sshd of his own, or disarm. keyswitchd notices what concerns the units that it guards.
- *systemd itself dead.* When process 1 crashes, systemd by default stops where it is, nobody is there to close anything, and the
  daemon has no right to kill sshd. Let the machine restart then: ` + "`CrashAction=reboot`" + ` and ` + "`RuntimeWatchdogSec=`" + ` (a Pi has the hardware) in
  systemd-system.conf(5).
- *One contact that is welded shut*, or its wire shorted to ground: that is a key turned on. A second contact tells.
- *Suspend.* The virtual Pi wakes from it at once. Time limits count on CLOCK_BOOTTIME, which goes on meanwhile; that is tested with a clock of the tests' own.
- *A SD card that lies.* The cuts of power here lose what the kernel had not given to the disk. A card that loses or garbles what it was
  given is not simulated.
- *A LED whose line keeps its level after the daemon was killed*: the simulated chip lets go of it. ` + "`keyswitchd led-off`" + `, which runs after each end
  of the daemon, is for those that don't.
`

// document is docs/faults.md.
func document(rows []row, figures []reach) string {
	var b strings.Builder
	b.WriteString(head)
	b.WriteString("\n## In figures\n\n")
	var bare, off, killed []time.Duration
	for _, f := range figures {
		bare, off, killed = append(bare, f.Bare...), append(off, f.KeyOff...), append(killed, f.Killed...)
	}
	fmt.Fprintf(&b, "| | median | × bare |\n|---|---|---|\n")
	fmt.Fprintf(&b, "| a bare `systemctl stop ssh` | %s, of %d | 1 |\n", ms(median(bare)), len(bare))
	fmt.Fprintf(&b, "| the key turned off, without the debounce | %s, of %d | %s |\n", ms(median(off)-debounce), len(off), times(median(off)-debounce, median(bare)))
	fmt.Fprintf(&b, "| keyswitchd killed (`kill -9`) | %s, of %d | %s |\n", ms(median(killed)), len(killed), times(median(killed), median(bare)))
	title := ""
	for _, r := range rows {
		if r.Section != title {
			title = r.Section
			fmt.Fprintf(&b, "\n## %s\n\n| fault | what happens | time to closed | LED and status | how it recovers |\n|---|---|---|---|---|\n", title)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", r.Name, r.Happened, r.closed(), r.Said, r.Recovers)
	}
	b.WriteString(notShown)
	return b.String()
}

func ms(d time.Duration) string {
	return fmt.Sprintf("%d ms", d.Round(time.Millisecond).Milliseconds())
}

func times(d, bare time.Duration) string {
	if bare <= 0 {
		return "?"
	}
	return fmt.Sprintf("%.1f", float64(max(d, 0))/float64(bare))
}

func (r row) closed() string {
	if r.Closed == 0 {
		return "never open"
	}
	net, from := r.Closed-r.Watchdog, "from the fault"
	if r.FromKey {
		from = "from the key"
		if r.Watchdog == 0 {
			net -= debounce
		}
	}
	if r.Watchdog > 0 {
		return fmt.Sprintf("%.1f s (%.0f s + %s) %s", r.Closed.Seconds(), r.Watchdog.Seconds(), times(net, r.Bare), from)
	}
	took := ms(r.Closed)
	if r.Closed > 5*time.Second {
		took = fmt.Sprintf("%.1f s", r.Closed.Seconds())
	}
	return fmt.Sprintf("%s (%s) %s", took, times(net, r.Bare), from)
}

// measured are the figures that differ from run to run.
var measured = regexp.MustCompile(`(?m)[0-9.]+ (m?s), of [0-9]+ \| [0-9.]+ \||[0-9.]+ m?s \((30 s \+ )?[0-9.]+\)`)

func withoutTimes(text string) []string {
	return strings.Split(measured.ReplaceAllString(text, "#"), "\n")
}

// compare sees that docs/faults.md says what was seen now.
func compare(t *testing.T, now string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(tableFile, []byte(now), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	kept, err := os.ReadFile(tableFile)
	if err != nil {
		t.Fatal(err)
	}
	want, got := withoutTimes(string(kept)), withoutTimes(now)
	for n := range max(len(want), len(got)) {
		var w, g string
		if n < len(want) {
			w = want[n]
		}
		if n < len(got) {
			g = got[n]
		}
		if w != g {
			t.Errorf("docs/faults.md:%d is not what was seen now (make test-faults UPDATE=1 writes it anew)\nin the file: %s\nseen now:    %s", n+1, w, g)
			return
		}
	}
}

func TestDocument(t *testing.T) {
	rows := []row{
		{Section: "A", Name: "x", Happened: "SSH closes", Said: "dark, `key-off`", Recovers: "by itself", Closed: 150 * time.Millisecond, FromKey: true, Bare: 100 * time.Millisecond},
		{Section: "A", Name: "y", Closed: 30500 * time.Millisecond, Watchdog: 30 * time.Second, Bare: 100 * time.Millisecond},
		{Section: "B", Name: "z"},
	}
	text := document(rows, []reach{{Bare: []time.Duration{100 * time.Millisecond}}})
	for _, want := range []string{
		"| x | SSH closes | 150 ms (1.0) from the key | dark, `key-off` | by itself |\n",
		"| y |  | 30.5 s (30 s + 5.0) from the fault |", "| z |  | never open |", "\n## B\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
	rows[0].Closed, rows[1].Closed = 99*time.Millisecond, 31*time.Second
	other := document(rows, []reach{{Bare: []time.Duration{120 * time.Millisecond}}})
	if a, b := strings.Join(withoutTimes(text), "\n"), strings.Join(withoutTimes(other), "\n"); a != b {
		t.Errorf("times make a difference:\n%s\n%s", a, b)
	}
	rows[0].Said = "solid, `key-on`"
	if strings.Join(withoutTimes(document(rows, nil)), "\n") == strings.Join(withoutTimes(text), "\n") {
		t.Error("what was said makes no difference")
	}
}
