package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// restAfter is how long after the last news the daemon counts as at rest.
	restAfter = 5 * time.Second
	// memoryLimit, in bytes, is what the runtime may have mapped before it collects. It is no bound: in use are about
	// 6 MB of addresses, nearly all the runtime's own, and more than the limit makes collections frequent; nothing fails.
	memoryLimit = 10 << 20
)

// rest gives back what a turn of the key took, once it is quiet again: the daemon idles for weeks, on machines with little
// memory. The runtime's own collection every two minutes is off, because an idle daemon wakes nobody.
func rest(ctx context.Context, news <-chan struct{}, log *slog.Logger) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(memoryLimit))
	timer := time.NewTimer(restAfter)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-news:
			timer.Reset(restAfter)
		case <-timer.C:
			debug.FreeOSMemory()
			if err := unmapCode(); err != nil {
				log.Debug("giving back the memory of code", "err", err) // costs memory, nothing else
			}
		}
	}
}

// unmapCode lets go of the pages of this program's file, most of which were needed at the start only. The kernel keeps them
// cached for as long as it likes, and maps them again, by 16, when they are touched.
func unmapCode() error {
	info, ok := debug.ReadBuildInfo()
	if !ok || !slices.Contains(info.Settings, debug.BuildSetting{Key: "-buildmode", Value: "exe"}) {
		// In a position-independent program, what can't be written now may hold what the loader wrote before.
		return nil
	}
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return err
	}
	for line := range bytes.Lines(maps) {
		var from, to uintptr
		var mode string
		line = bytes.TrimSpace(line)
		if !bytes.HasSuffix(line, []byte(" "+self)) {
			continue
		}
		if _, err := fmt.Sscanf(string(line), "%x-%x %s", &from, &to, &mode); err != nil {
			return fmt.Errorf("reading %q: %w", line, err)
		}
		// Only what nobody can have written to: the rest would be lost.
		if mode != "r-xp" && mode != "r--p" {
			continue
		}
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED); errno != 0 {
			return fmt.Errorf("madvise(%q): %w", line, errno)
		}
	}
	return nil
}
