package vm

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// overlayRoom is what a machine's changed disk blocks may need, in MiB.
const overlayRoom = 256

// memoryDir returns where the machine's memory and overlay go: a memory file system if there is a good one.
func memoryDir(memoryMiB int, log io.Writer) string {
	const best = "/dev/shm"
	why := unfit(best, memoryMiB+overlayRoom)
	if why == "" {
		return best
	}
	fmt.Fprintf(log, "virtualpi: %s %s; using %s, which is slower\n", best, why, os.TempDir())
	return os.TempDir()
}

// unfit says why a directory can't hold a machine, or "".
func unfit(dir string, needMiB int) string {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return "can't be used: " + err.Error()
	}
	return unfitStat(s, needMiB)
}

func unfitStat(s unix.Statfs_t, needMiB int) string {
	free := s.Bavail * uint64(s.Bsize) >> 20
	switch {
	case s.Flags&unix.ST_NOEXEC != 0:
		return "is mounted noexec, and the kernel runs programs from its memory file"
	case free < uint64(needMiB):
		return fmt.Sprintf("has %d MiB free of %d needed", free, needMiB)
	}
	return ""
}
