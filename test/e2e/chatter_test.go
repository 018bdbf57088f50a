//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"keyswitchd/internal/status"
)

const chatterEdges = 10_000 // a second

// tally is what the chattering process did.
type tally struct {
	Edges int
	Took  time.Duration
}

func (y tally) rate() float64 { return float64(y.Edges) / y.Took.Seconds() }

// chatter is a second process that makes edges on the key's line until its standard input ends, and leaves the key off.
func chatter() int {
	var stop atomic.Bool
	go func() {
		io.Copy(io.Discard, os.Stdin)
		stop.Store(true)
	}()
	h, err := takeKey()
	if err != nil {
		fmt.Fprintln(os.Stderr, "chatter:", err)
		return 1
	}
	defer h.Close()
	begun := clock()
	var y tally
	for !stop.Load() || y.Edges%2 == 1 {
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

// startChatter starts the second process.
func startChatter(t *testing.T) (stop func() tally) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleVar+"=chatter")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var y tally
	stop = sync.OnceValue(func() tally {
		in.Close()
		if err := json.NewDecoder(out).Decode(&y); err != nil {
			t.Errorf("the chattering process: %v", err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("the chattering process: %v", err)
		}
		return y
	})
	t.Cleanup(func() { stop() })
	return stop
}

// A line that never settles is a fault, which is closed, and costs next to nothing.
func TestChatterIsAFault(t *testing.T) {
	begin(t)
	turn(t, true)
	await(t, "open", opened())
	stop := startChatter(t)
	await(t, "closed for a fault", all(silent(22), statusIs("a fault", func(s status.Status) bool {
		return s.Key == "fault" && s.Fault && s.Code == "key-fault" && !s.Open && s.SSH == "inactive" && s.LED == "fast-blink" &&
			contains(s.Reason, "GPIO17", "not been stable")
	})))
	// When the host stops the chattering process for a moment, the line is at rest, and that is no fault: it is asked again.
	await(t, "--status saying so", func() error {
		if out, code := run(t, "keyswitchd", "--status"); code != status.ExitFault {
			return fmt.Errorf("exit code %d, want %d: %s", code, status.ExitFault, out)
		}
		return nil
	})
	// From here on the daemon does nothing but look at the line. It does so up to 400 times a second however many edges there
	// are, and each look is a wake-up or two; a daemon that wakes at each edge has thousands. Its share of the processor
	// says little here, where a system call costs a hundred times what it does on a Pi, so that is only told:
	// gpio's benchmark measures it.
	daemon := daemonPID(t)
	begun, usedBefore, wokenBefore := clock(), processorTime(t, daemon), wakeUps(t, daemon)
	time.Sleep(4 * time.Second)
	used, woken, took := processorTime(t, daemon)-usedBefore, wakeUps(t, daemon)-wokenBefore, clock()-begun
	y := stop()
	t.Logf("%.0f edges/s: in %s the daemon woke %d times and used %s, %.1f %% of the processor", y.rate(), took, woken, used, 100*used.Seconds()/took.Seconds())
	if limit := 1200 * took.Seconds(); float64(woken) > limit {
		t.Errorf("the daemon woke %d times in %s, want no more than %.0f times", woken, took, limit)
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
	stop := startChatter(t)
	time.Sleep(time.Second)
	stop()
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

// wakeUps is how often the threads of a process have waited for something so far.
func wakeUps(t *testing.T, pid int) (n int) {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(threads) == 0 {
		t.Fatalf("the threads of %d: %v, %v", pid, threads, err)
	}
	for _, path := range threads {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			if value, ok := strings.CutPrefix(line, "voluntary_ctxt_switches:"); ok {
				waits, err := strconv.Atoi(strings.TrimSpace(value))
				if err != nil {
					t.Fatal(err)
				}
				n += waits
			}
		}
	}
	return n
}
