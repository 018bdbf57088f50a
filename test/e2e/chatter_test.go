//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"keyswitchd/internal/status"
)

// What the chattering process is told, and how fast it is to be.
const (
	chatterForVar = "E2E_CHATTER_FOR"
	chatterEdges  = 10_000 // a second
)

// tally is what the chattering process did.
type tally struct {
	Edges int
	Took  time.Duration
	Used  time.Duration // processor time of the process itself
}

func (y tally) rate() float64 { return float64(y.Edges) / y.Took.Seconds() }

// chatter is a second process that makes edges on the key's line, and leaves the key off.
func chatter() int {
	length, err := time.ParseDuration(os.Getenv(chatterForVar))
	if err != nil {
		fmt.Fprintln(os.Stderr, "chatter:", err)
		return 64
	}
	path, err := line("sim_gpio17/pull")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		fmt.Fprintln(os.Stderr, "chatter:", err)
		return 1
	}
	begun := clock()
	var y tally
	for y.Took < length || y.Edges%2 == 1 {
		// The last of an even number of edges leaves the key off.
		if _, err := unix.Pwrite(fd, []byte(pulls[y.Edges%2 == 0]), 0); err != nil {
			fmt.Fprintln(os.Stderr, "chatter:", err)
			return 1
		}
		y.Edges++
		due := begun + time.Duration(y.Edges)*time.Second/chatterEdges
		for y.Took = clock() - begun; y.Took+begun < due; y.Took = clock() - begun {
		}
	}
	if err := setKey(false); err != nil { // also if the key was off to begin with, and the first edge was none
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		fmt.Fprintln(os.Stderr, "chatter:", err)
		return 1
	}
	y.Used = time.Duration(used.Utime.Nano() + used.Stime.Nano())
	if err := json.NewEncoder(os.Stdout).Encode(y); err != nil {
		return 1
	}
	return 0
}

// startChatter starts the second process; the function that it returns waits for its end.
func startChatter(t *testing.T, length time.Duration) (wait func() tally) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleVar+"=chatter", chatterForVar+"="+length.String())
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return func() (y tally) {
		t.Helper()
		if err := json.NewDecoder(out).Decode(&y); err != nil {
			t.Errorf("the chattering process: %v", err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("the chattering process: %v", err)
		}
		return y
	}
}

// A line that never settles is a fault, which is closed, and costs next to nothing.
func TestChatterIsAFault(t *testing.T) {
	begin(t)
	turn(t, true)
	await(t, "open", opened())
	pid := daemonPID(t)
	before := processorTime(t, pid)
	wait := startChatter(t, 10*time.Second)
	await(t, "closed for a fault", all(silent(22), statusIs("a fault", func(s status.Status) bool {
		return s.Key == "fault" && s.Fault && s.Code == "key-fault" && !s.Open && s.LED == "fast-blink" &&
			strings.Contains(s.Reason, "GPIO17") && strings.Contains(s.Reason, "not been stable")
	})))
	if out, code := run(t, "keyswitchd", "--status"); code != status.ExitFault {
		t.Errorf("--status: exit code %d, want %d: %s", code, status.ExitFault, out)
	}
	y := wait()
	used := processorTime(t, pid) - before
	t.Logf("%.0f edges/s for %s: the daemon used %s, %.1f %% of the processor (closing SSH and the status included); making the edges took %s",
		y.rate(), y.Took, used, 100*used.Seconds()/y.Took.Seconds(), y.Used)
	await(t, "closed once the chatter is over", shut())
	turn(t, true)
	await(t, "open with the next turn", opened())
}

// A real off at the end of chatter that is too short to be a fault is acted on.
func TestOffAfterChatter(t *testing.T) {
	begin(t)
	turn(t, true)
	await(t, "open", opened())
	startChatter(t, time.Second)()
	await(t, "closed", shut())
}

func daemonPID(t *testing.T) int { return mainPID(t, "keyswitchd.service") }

// mainPID is 0 when there is none.
func mainPID(t *testing.T, unit string) int {
	t.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(must(t, "systemctl", "show", "--value", "-p", "MainPID", unit)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// processorTime is what a process has used so far: utime and stime of proc_pid_stat(5), in ticks of 10 ms.
func processorTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	words := strings.Fields(rest) // words[0] is field 3
	user, err := strconv.Atoi(words[11])
	if err != nil {
		t.Fatal(err)
	}
	system, err := strconv.Atoi(words[12])
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}
