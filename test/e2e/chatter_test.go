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
}

func (y tally) rate() float64 { return float64(y.Edges) / y.Took.Seconds() }

// chatter is a second process that makes edges on the key's line, and leaves the key off.
func chatter() int {
	length, err := time.ParseDuration(os.Getenv(chatterForVar))
	if err != nil {
		fmt.Fprintln(os.Stderr, "chatter:", err)
		return 64
	}
	h, err := takeKey()
	if err != nil {
		fmt.Fprintln(os.Stderr, "chatter:", err)
		return 1
	}
	defer h.Close()
	begun := clock()
	var y tally
	for y.Took < length || y.Edges%2 == 1 {
		// The last of an even number of edges leaves the key off.
		if err := h.set(y.Edges%2 == 0); err != nil {
			fmt.Fprintln(os.Stderr, "chatter:", err)
			return 1
		}
		y.Edges++
		due := begun + time.Duration(y.Edges)*time.Second/chatterEdges
		for y.Took = clock() - begun; y.Took+begun < due; y.Took = clock() - begun {
		}
	}
	if err := h.set(false); err != nil { // also if the key was off to begin with, and the first edge was none
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := json.NewEncoder(os.Stdout).Encode(y); err != nil {
		return 1
	}
	return 0
}

// startChatter starts the second process; the function that it returns waits for its end.
func startChatter(t *testing.T, length time.Duration) (pid int, wait func() tally) {
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
	return cmd.Process.Pid, func() (y tally) {
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
	chattering, wait := startChatter(t, 8*time.Second)
	await(t, "closed for a fault", all(silent(22), statusIs("a fault", func(s status.Status) bool {
		return s.Key == "fault" && s.Fault && s.Code == "key-fault" && !s.Open && s.SSH == "inactive" && s.LED == "fast-blink" &&
			contains(s.Reason, "GPIO17", "not been stable")
	})))
	if out, code := run(t, "keyswitchd", "--status"); code != status.ExitFault {
		t.Errorf("--status: exit code %d, want %d: %s", code, status.ExitFault, out)
	}
	// From here on the daemon does nothing but look at the line. What it costs is compared with what it costs to make the
	// edges: a machine with little time for the virtual Pi slows both down. A daemon that wakes at each edge
	// uses as much as that; of a whole processor it may be 5 %, which gpio's benchmark measures.
	daemon := daemonPID(t)
	begun, usedBefore, madeBefore := clock(), processorTime(t, daemon), processorTime(t, chattering)
	const stretch = 4 * time.Second
	time.Sleep(stretch)
	used, made, took := processorTime(t, daemon)-usedBefore, processorTime(t, chattering)-madeBefore, clock()-begun
	y := wait()
	t.Logf("%.0f edges/s: in %s the daemon used %s (%.1f %% of the processor), making the edges %s", y.rate(), took, used, 100*used.Seconds()/took.Seconds(), made)
	if used > made/5 {
		t.Errorf("watching the edges used %s, making them %s", used, made)
	}
	await(t, "closed once the chatter is over", shut())
	turn(t, true)
	await(t, "open with the next turn", opened())
}

// A real off at the end of chatter that is too short to be a fault is acted on.
func TestOffAfterChatter(t *testing.T) {
	begin(t)
	turn(t, true)
	await(t, "open", opened())
	_, wait := startChatter(t, time.Second)
	wait()
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
