package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// rest is what the daemon costs while nothing happens.
type rest struct {
	switches int // context switches of all its threads, voluntary or not
	pss, rss int // KiB
}

func mainPID(ctx context.Context) (int, error) {
	out, err := exec.CommandContext(ctx, "/usr/bin/systemctl", "show", "--property=MainPID", "--value", "keyswitchd.service").Output()
	if err != nil {
		return 0, fmt.Errorf("bench: asking for the daemon's process: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil || pid == 0 {
		return 0, fmt.Errorf("bench: the daemon has no process (MainPID %q); journalctl -u keyswitchd may tell why", out)
	}
	return pid, nil
}

// switches sums up over the threads that there are; Go's don't end while the daemon lives.
func switches(pid int) (int, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(files) == 0 {
		return 0, fmt.Errorf("bench: the daemon's process %d is gone; journalctl -u keyswitchd may tell why", pid)
	}
	sum := 0
	for _, file := range files {
		n, err := fields(file, "voluntary_ctxt_switches", "nonvoluntary_ctxt_switches")
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, err
		}
		sum += n[0] + n[1]
	}
	return sum, nil
}

func memory(pid int) (pss, rss int, err error) {
	n, err := fields(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Pss", "Rss")
	if err != nil {
		return 0, 0, err
	}
	return n[0], n[1], nil
}

// fields reads numbers from a file with a "name: number" on each line.
func fields(file string, names ...string) ([]int, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("bench: measuring the daemon: %w", err)
	}
	found := make(map[string]int)
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, ":")
		if f := strings.Fields(value); len(f) > 0 {
			if n, err := strconv.Atoi(f[0]); err == nil {
				found[name] = n
			}
		}
	}
	out := make([]int, len(names))
	for i, name := range names {
		n, ok := found[name]
		if !ok {
			return nil, fmt.Errorf("bench: %s has no %s", file, name)
		}
		out[i] = n
	}
	return out, nil
}
