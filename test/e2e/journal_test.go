//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"keyswitchd/internal/record"
)

// journalEntry are the fields of an entry.
type journalEntry map[string]any

func (e journalEntry) text(name string) string {
	s, _ := e[name].(string)
	return s
}

// fromNow is the option of journalctl for what is written from now on. After a cursor, bookworm's leaves out the first entry that a
// query is about.
func fromNow(t *testing.T) string {
	t.Helper()
	must(t, "journalctl", "--sync")
	now := time.Now().UnixMicro()
	return fmt.Sprintf("--since=@%d.%06d", now/1e6, now%1e6)
}

// daemonEntries is what the daemon has written since.
func daemonEntries(t *testing.T, since string) (entries []journalEntry) {
	t.Helper()
	out := must(t, "journalctl", "-q", "-o", "json", "--all", since, "_SYSTEMD_UNIT=keyswitchd.service")
	for line := range strings.Lines(out) {
		e := journalEntry{}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		entries = append(entries, e)
	}
	return entries
}

func kindsOf(entries []journalEntry) (names []string) {
	for _, e := range entries {
		names = append(names, e.text("KEYSWITCHD_KIND"))
	}
	return names
}

// promised are the fields that the installed docs/journal.md promises for each kind.
func promised(t *testing.T) map[string][]string {
	t.Helper()
	data, err := os.ReadFile("/usr/share/doc/keyswitchd/docs/journal.md")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	code := regexp.MustCompile("`([^`]+)`")
	for line := range strings.Lines(string(data)) {
		cells := strings.Split(line, "|")
		if len(cells) != 6 {
			continue
		}
		name := code.FindStringSubmatch(cells[1])
		if name == nil {
			continue
		}
		fields := []string{}
		if strings.Contains(cells[4], "state") {
			fields = append(fields, "KEY", "REASON", "PERMIT", "OPEN", "LED", "OVERRIDE", "BY", "SESSIONS", "UNIT")
		}
		for _, m := range code.FindAllStringSubmatch(cells[4], -1) {
			fields = append(fields, m[1])
		}
		all[name[1]] = fields
	}
	return all
}

// One turn on and off is four entries, no more: each with what its kind promises, explained by journalctl -x, and found by its id.
func TestJournalOfATurn(t *testing.T) {
	begin(t)
	freshKey(t, "")                           // nobody who could log in would be a problem
	must(t, "journalctl", "--update-catalog") // as make install does
	promises := promised(t)
	since := fromNow(t)

	turn(t, true)
	await(t, "open", opened())
	turn(t, false)
	await(t, "closed", shut())
	must(t, "journalctl", "--sync")

	entries := daemonEntries(t, since)
	if got, want := kindsOf(entries), []string{"key-turned", "opened", "key-turned", "closed"}; !slices.Equal(got, want) {
		t.Errorf("a turn is told as %q, want %q", got, want)
	}
	for _, e := range entries {
		i := slices.IndexFunc(record.Kinds(), func(k record.Kind) bool { return k.ID == e.text("MESSAGE_ID") })
		if i < 0 || record.Kinds()[i].Name != e.text("KEYSWITCHD_KIND") || e.text("SYSLOG_IDENTIFIER") != "keyswitchd" || e.text("_TRANSPORT") != "journal" ||
			e.text("PRIORITY") != "6" || e.text("KEYSWITCHD_AT") != "" {
			t.Errorf("entry: %v", e)
		}
		for _, name := range promises[e.text("KEYSWITCHD_KIND")] {
			if _, ok := e["KEYSWITCHD_"+name]; !ok {
				t.Errorf("docs/journal.md promises %s for %s, which has only %v", name, e.text("KEYSWITCHD_KIND"), e)
			}
		}
		t.Log(e.text("MESSAGE"))
	}
	if out := must(t, "journalctl", "-q", "-o", "cat", since, "SYSLOG_IDENTIFIER=keyswitchd", "_SYSTEMD_UNIT=ssh.service"); out != "" {
		t.Errorf("the start of SSH says something, too: %s", out)
	}

	explained := must(t, "journalctl", "-q", "-x", since, "_SYSTEMD_UNIT=keyswitchd.service")
	for _, want := range []string{
		"Subject: The key was turned", "The key has been on for its whole", "The key has been off for its whole",
		"Subject: SSH is open", "SSH can be reached on ssh.service,", "Why: key-on",
		"Subject: SSH is closed", "confirmed that ssh.service no longer runs", "Why: key-off",
		"Defined-By: keyswitchd",
	} {
		if !strings.Contains(explained, want) {
			t.Errorf("journalctl -x does not say %q: %s", want, explained)
		}
	}
	list := must(t, "journalctl", "--list-catalog")
	for _, k := range record.Kinds() {
		if !strings.Contains(list, k.ID) {
			t.Errorf("the catalog lacks %s", k.Name)
		}
	}
	out := must(t, "journalctl", "-q", since, "MESSAGE_ID="+record.Opened.ID)
	if strings.Count(out, "\n") != 1 || !strings.Contains(out, "SSH is open: the key is on") {
		t.Errorf("the openings: %q, want one", out)
	}
	queries(t)
}

// queries runs every query of docs/journal.md.
func queries(t *testing.T) {
	t.Helper()
	data, err := os.ReadFile("/usr/share/doc/keyswitchd/docs/journal.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("`(journalctl [^`]+)`").FindAllStringSubmatch(string(data), -1)
	if len(found) < 7 {
		t.Errorf("docs/journal.md has %d queries", len(found))
	}
	for _, m := range found {
		args := strings.Fields(strings.ReplaceAll(m[1], "'", ""))
		if slices.Contains(args, "KEYSWITCHD_BY") {
			args = append(args, "-q")
		}
		// No entry at all is exit code 1 for some releases: only what journalctl can't read is wrong.
		if out, _ := run(t, append(args, "--no-pager", "-n", "5")...); strings.Contains(out, "Failed") || strings.Contains(out, "nvalid") || strings.Contains(out, "nrecognized") {
			t.Errorf("%s: %s", m[1], out)
		}
	}
}

// journaldUnits are all through which the journal can be had.
var journaldUnits = []string{"systemd-journald.socket", "systemd-journald-dev-log.socket", "systemd-journald.service"}

// The key works while the journal is stopped, and what happened is told afterwards, in its order.
func TestJournalStopped(t *testing.T) {
	begin(t)
	freshKey(t, "") // nobody who could log in would be a problem
	since := fromNow(t)
	pid := daemonPID(t)
	t.Cleanup(func() { must(t, append([]string{"systemctl", "start"}, journaldUnits...)...) })
	must(t, append([]string{"systemctl", "stop"}, journaldUnits...)...)
	turn(t, true)
	await(t, "open without a journal", opened())
	turn(t, false)
	await(t, "closed without a journal", shut())
	if now := daemonPID(t); now != pid {
		t.Errorf("the daemon has become process %d, was %d", now, pid)
	}
	must(t, append([]string{"systemctl", "start"}, journaldUnits...)...)
	awaitKinds(t, since, "key-turned", "opened", "key-turned", "closed")
	for _, e := range daemonEntries(t, since) {
		if e.text("KEYSWITCHD_AT") == "" {
			t.Errorf("a late entry does not say when it was made: %v", e)
		}
	}
}

// A journal that is restarted in the middle of a turn loses nothing.
func TestJournalRestarted(t *testing.T) {
	begin(t)
	freshKey(t, "") // nobody who could log in would be a problem
	since := fromNow(t)
	must(t, "systemctl", "restart", "systemd-journald")
	turn(t, true)
	await(t, "open", opened())
	must(t, "systemctl", "restart", "systemd-journald")
	turn(t, false)
	await(t, "closed", shut())
	awaitKinds(t, since, "key-turned", "opened", "key-turned", "closed")
}

// A journal that is frozen, with its socket filled by somebody else, holds up neither the opening nor the closing.
func TestJournalFrozenAndFull(t *testing.T) {
	begin(t)
	freshKey(t, "") // nobody who could log in would be a problem
	since := fromNow(t)
	pid := daemonPID(t)
	journald := mainPID(t, "systemd-journald.service")
	t.Cleanup(func() { kill(t, journald, syscall.SIGCONT) })
	kill(t, journald, syscall.SIGSTOP)
	fill(t)
	turn(t, true)
	await(t, "open with the journal's socket full", opened())
	fill(t)
	turn(t, false)
	await(t, "closed with the journal's socket full", shut())
	if now := daemonPID(t); now != pid {
		t.Errorf("the daemon has become process %d, was %d", now, pid)
	}
	kill(t, journald, syscall.SIGCONT)
	awaitKinds(t, since, "key-turned", "opened", "key-turned", "closed")
}

// fill sends the journal entries until it takes no more.
func fill(t *testing.T) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for {
		err := unix.Sendto(fd, []byte("MESSAGE=filling the journal's socket\nPRIORITY=7\n"), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL,
			&unix.SockaddrUnix{Name: "/run/systemd/journal/socket"})
		if errors.Is(err, unix.EAGAIN) {
			return
		}
		if err != nil {
			t.Fatalf("filling the journal's socket: %v", err)
		}
	}
}

func awaitKinds(t *testing.T, since string, want ...string) {
	t.Helper()
	await(t, "the entries", func() error {
		if got := kindsOf(daemonEntries(t, since)); !slices.Equal(got, want) {
			return fmt.Errorf("the journal has %q, want %q", got, want)
		}
		return nil
	})
}

// A configuration that is wrong is the first and last thing the new daemon says; it is found under its unit all the same.
func TestJournalOfABadConfiguration(t *testing.T) {
	begin(t)
	since := fromNow(t)
	configure(t, "nonsense = 1\n", "")
	if out, code := run(t, "systemctl", "restart", "keyswitchd"); code == 0 {
		t.Errorf("it starts: %s", out)
	}
	await(t, "the reason", func() error {
		var kinds []string
		for _, e := range daemonEntries(t, since) {
			if e.text("KEYSWITCHD_KIND") != "" { // led-off, which systemd runs afterwards, has none
				kinds = append(kinds, e.text("KEYSWITCHD_KIND")+" "+e.text("PRIORITY"))
			}
		}
		if want := []string{"stopped 6", "not-started 3"}; !slices.Equal(kinds, want) {
			return fmt.Errorf("the journal has %q, want %q", kinds, want)
		}
		return nil
	})
}
