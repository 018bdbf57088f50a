package record

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestEntries(t *testing.T) {
	for _, c := range []struct {
		name string
		log  func(*slog.Logger)
		want map[string]string
	}{
		{"bad: a line break in an error forges no entry", func(l *slog.Logger) {
			l.Error("it broke", Problem.Attr(), "err", errors.New("one\nMESSAGE_ID=44b6219292ae4efba63802668d331d81\x1b[2J\xff"))
		}, map[string]string{
			"MESSAGE": "it broke: one; MESSAGE_ID=44b6219292ae4efba63802668d331d81?[2J?", "PRIORITY": "3", "MESSAGE_ID": Problem.ID, "KEYSWITCHD_KIND": "problem",
			"KEYSWITCHD_ERR": "one\nMESSAGE_ID=44b6219292ae4efba63802668d331d81\x1b[2J\xff",
		}},
		{"bad: a key that the journal would refuse", func(l *slog.Logger) {
			l.Info("x", "_wörd=\n"+strings.Repeat("k", 100), "v")
		}, map[string]string{
			"MESSAGE": "x (_wörd=; " + strings.Repeat("k", 100) + "=v)", "PRIORITY": "6",
			"KEYSWITCHD__W_RD__" + strings.Repeat("K", 46): "v",
		}},
		{"what the message tells is not told twice", func(l *slog.Logger) {
			l.Warn("SSH closes in 5m0s", Expiring.Attr(), "key", "on", "permit", true, "left", 5*time.Minute, "sessions", 2, "by", "")
		}, map[string]string{
			"MESSAGE": "SSH closes in 5m0s (sessions=2)", "PRIORITY": "4", "MESSAGE_ID": Expiring.ID, "KEYSWITCHD_KIND": "expiring",
			"KEYSWITCHD_KEY": "on", "KEYSWITCHD_PERMIT": "true", "KEYSWITCHD_LEFT": "5m0s", "KEYSWITCHD_SESSIONS": "2", "KEYSWITCHD_BY": "",
		}},
		{"attributes given before, groups, nothing", func(l *slog.Logger) {
			l.With("unit", "ssh.service", Opened.Attr()).WithGroup("a").With("b", 1).Info("m", slog.Group("c", "d", 2), slog.Group("", "e", 3), slog.Attr{}, slog.Any("err", nil))
		}, map[string]string{
			"MESSAGE": "m (a.b=1, a.c.d=2, a.e=3)", "PRIORITY": "6", "MESSAGE_ID": Opened.ID, "KEYSWITCHD_KIND": "opened", "KEYSWITCHD_UNIT": "ssh.service",
			"KEYSWITCHD_A_B": "1", "KEYSWITCHD_A_C_D": "2", "KEYSWITCHD_A_E": "3",
		}},
		{"debugging is not for the journal", func(l *slog.Logger) { l.Debug("x") }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := newJournald(t)
			j.start()
			log, _ := logTo(t, j)
			c.log(log)
			got := j.read()
			if c.want == nil {
				if len(got) != 0 {
					t.Errorf("got %v", got)
				}
				return
			}
			c.want["SYSLOG_IDENTIFIER"] = "keyswitchd"
			if len(got) != 1 || !maps.Equal(got[0], c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

// Loggers made of one another share nothing that a second one could overwrite.
func TestLoggersAreApart(t *testing.T) {
	j := newJournald(t)
	j.start()
	log, _ := logTo(t, j)
	base := log.With("a", 1)
	one, two := base.With("b", 1), base.With("b", 2)
	one.Info("one", "c", 1)
	two.Info("two", "c", 2)
	one.Info("one", "c", 1)
	var got []string
	for _, e := range j.read() {
		got = append(got, e["KEYSWITCHD_B"]+e["KEYSWITCHD_C"])
	}
	if !slices.Equal(got, []string{"11", "22", "11"}) {
		t.Errorf("got %q", got)
	}
}

func TestLines(t *testing.T) {
	var out strings.Builder
	h := NewHandler(&out)
	log := slog.New(h)
	log.Error("it broke", Problem.Attr(), "err", errors.New("one\ntwo"))
	log.Debug("x")
	h.Close()
	if want := "<3>msg=\"it broke\" kind=problem err=\"one\\ntwo\"\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

// streamRole makes the test binary tell on stdout which handler it would use.
const streamRole = "RECORD_TEST_STREAM"

func TestMain(m *testing.M) {
	if os.Getenv(streamRole) != "" {
		h := NewHandler(os.Stderr)
		fmt.Print(h.Journal())
		h.Close()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestJournalOnlyIfStderrIsIt(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	stream, other := os.NewFile(uintptr(pair[0]), "stderr"), os.NewFile(uintptr(pair[1]), "journald")
	defer stream.Close()
	defer other.Close()
	var st unix.Stat_t
	if err := unix.Fstat(pair[0], &st); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, variable string
		want           bool
	}{
		{"bad: none", "", false},
		{"bad: nonsense", "x", false},
		{"bad: another inode", fmt.Sprintf("%d:%d", st.Dev, st.Ino+1), false},
		{"bad: another device", fmt.Sprintf("%d:%d", st.Dev+1, st.Ino), false},
		{"the stream", fmt.Sprintf("%d:%d", st.Dev, st.Ino), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := exec.Command("/proc/self/exe")
			cmd.Env = []string{streamRole + "=1", "JOURNAL_STREAM=" + c.variable}
			cmd.Stderr = stream
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			if got := string(out); got != fmt.Sprint(c.want) {
				t.Errorf("a native handler: %s, want %t", got, c.want)
			}
		})
	}
}
