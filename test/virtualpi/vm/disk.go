package vm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"keyswitchd/test/virtualpi/image"
)

// Disk is what a machine's disk holds after its power was cut at one instant.
type Disk struct {
	overlay *os.File // a copy, without a name
	base    string
}

// Disk returns the disk that the machine would find if its power were cut now; a running machine is held for as long as the
// copying takes, and notices nothing. What the machine has not yet given to its disk is not there. Close it.
func (m *Machine) Disk() (*Disk, error) {
	m.mu.Lock()
	p := m.process
	m.mu.Unlock()
	if p != nil {
		release, err := p.hold()
		if err != nil {
			return nil, err
		}
		defer release()
	}
	f, err := nameless(m.tmp)
	if err != nil {
		return nil, err
	}
	if err := copySparse(f, m.overlay); err != nil {
		return nil, errors.Join(fmt.Errorf("vm: copying the disk: %w", err), f.Close())
	}
	return &Disk{f, m.images.Root.Path(image.RootFile)}, nil
}

// Close throws the copy away.
func (d *Disk) Close() error { return d.overlay.Close() }

// WriteFile writes the whole disk to path, which becomes an image of a file system, sparse.
func (d *Disk) WriteFile(path string) error {
	if err := d.writeFile(path); err != nil {
		return fmt.Errorf("vm: writing the disk to %s: %w", path, err)
	}
	return nil
}

func (d *Disk) writeFile(path string) error {
	base, err := os.Open(d.base)
	if err != nil {
		return err
	}
	defer base.Close()
	info, err := base.Stat()
	if err != nil {
		return err
	}
	to, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer to.Close()
	if err := copySparse(to, base); err != nil {
		return err
	}
	start, data := cowLayout(info.Size())
	bitmap := make([]byte, data-start)
	if _, err := d.overlay.ReadAt(bitmap, start); err != nil {
		return err
	}
	here := func(sector int64) bool { return bitmap[sector/8]&(1<<(sector%8)) != 0 }
	sectors := info.Size() / cowSector
	for from := int64(0); from < sectors; {
		if bitmap[from/8] == 0 {
			from = from/8*8 + 8
			continue
		}
		if !here(from) {
			from++
			continue
		}
		end := from
		for end < sectors && here(end) {
			end++
		}
		part := io.NewSectionReader(d.overlay, data+from*cowSector, (end-from)*cowSector)
		if _, err := io.Copy(io.NewOffsetWriter(to, from*cowSector), part); err != nil {
			return err
		}
		from = end
	}
	return to.Close()
}

// nameless makes a file in dir that is gone when it is closed.
func nameless(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "virtualpi-overlay-*")
	if err == nil {
		err = os.Remove(f.Name())
	}
	if err != nil {
		return nil, fmt.Errorf("vm: making an overlay: %w", err)
	}
	return f, nil
}

// copySparse makes to, which is empty, the same as from, holes included.
func copySparse(to, from *os.File) error {
	info, err := from.Stat()
	if err != nil {
		return err
	}
	if err := to.Truncate(info.Size()); err != nil {
		return err
	}
	// Their own offsets: the machine has the same open file.
	source, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", from.Fd()))
	if err != nil {
		return err
	}
	defer source.Close()
	for at := int64(0); at < info.Size(); {
		at, err = source.Seek(at, unix.SEEK_DATA)
		if errors.Is(err, syscall.ENXIO) {
			return nil // nothing but a hole is left
		}
		if err != nil {
			return err
		}
		end, err := source.Seek(at, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.NewOffsetWriter(to, at), io.NewSectionReader(source, at, end-at)); err != nil {
			return err
		}
		at = end
	}
	return nil
}

// hold stops those processes of the machine that write its disk: the kernel and its helpers. Its programs are traced by the
// kernel, and a signal to them would be a signal to the program inside.
func (p *process) hold() (release func(), err error) {
	held := map[int]bool{}
	release = func() {
		for pid := range held {
			syscall.Kill(pid, syscall.SIGCONT) // gone already is fine
		}
	}
	for again := true; again; { // until there is none that was started meanwhile
		again = false
		pids, err := untracedBelow(p.started.Pid)
		if err != nil {
			release()
			return nil, err
		}
		for _, pid := range pids {
			if !held[pid] {
				held[pid], again = true, true
				syscall.Kill(pid, syscall.SIGSTOP)
			}
		}
		for _, pid := range pids {
			for !stoppedOrGone(pid) {
				time.Sleep(time.Millisecond)
			}
		}
	}
	return release, nil
}

// untracedBelow lists a process and all below it that nobody traces.
func untracedBelow(root int) ([]int, error) {
	parent, traced := map[int]int{}, map[int]bool{}
	paths, err := filepath.Glob("/proc/[0-9]*/status")
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it ended
		}
		pid, _ := strconv.Atoi(strings.Split(path, "/")[2])
		parent[pid] = field(b, "PPid")
		traced[pid] = field(b, "TracerPid") != 0
	}
	var list []int
	for pid := range parent {
		for up, steps := pid, 0; up > 0 && steps < 100; up, steps = parent[up], steps+1 {
			if up == root {
				if !traced[pid] {
					list = append(list, pid)
				}
				break
			}
		}
	}
	return list, nil
}

func field(status []byte, name string) int {
	_, rest, _ := bytes.Cut(status, []byte("\n"+name+":"))
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	n, _ := strconv.Atoi(string(bytes.TrimSpace(line)))
	return n
}

func stoppedOrGone(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err != nil || bytes.Contains(b, []byte("\nState:\tT")) || bytes.Contains(b, []byte("\nState:\tZ"))
}
