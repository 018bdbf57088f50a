package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"keyswitchd/test/virtualpi/wire"
)

// The machine's places. newRoot is in the shared directory that the kernel booted from, ownDir is where the
// running machine keeps what is ours.
const (
	serialLine = "/dev/ttyS0"
	newRoot    = "/newroot"
	ownDir     = "/run/virtualpi"
	systemd    = "/sbin/init"
)

// initMachine is process 1 until systemd takes over. It returns only if the boot can't go on; the kernel
// then panics, which the outside sees.
func initMachine() error {
	line, err := openLine(serialLine)
	if err != nil {
		return err
	}
	out := wire.NewWriter(line)
	in := wire.NewReader(wire.Acknowledge(line, out))
	if err := out.Flush(); err != nil {
		return fmt.Errorf("guest: greeting: %w", err)
	}
	if err := out.SendJSON(wire.Hello, 0, wire.Greeting{Stage: wire.StageInit}); err != nil {
		return fmt.Errorf("guest: greeting: %w", err)
	}
	order, err := receiveOrder(in)
	if err == nil {
		err = prepare(order, line)
	}
	if err == nil {
		err = syscall.Exec(systemd, []string{systemd}, []string{"TERM=linux"})
		err = fmt.Errorf("guest: starting %s: %w", systemd, err)
	}
	out.Send(wire.Frame{Kind: wire.Failed, Payload: []byte(err.Error())})
	return err
}

func receiveOrder(in *wire.Reader) (wire.BootOrder, error) {
	var order wire.BootOrder
	f, err := in.Receive()
	if err != nil {
		return order, fmt.Errorf("guest: waiting for the boot order: %w", err)
	}
	if f.Kind != wire.Boot {
		return order, fmt.Errorf("guest: waiting for the boot order: got a frame of kind %d; both ends must be built from the same tree", f.Kind)
	}
	return order, f.JSON(&order)
}

// prepare mounts the disk, brings the install trees, creates the GPIO chip, makes the disk the root, and starts
// the part that serves.
func prepare(order wire.BootOrder, line *os.File) error {
	mounts := []struct {
		source, target, kind string
		flags                uintptr
		data                 string
	}{
		{"/dev/ubda", newRoot, "ext4", 0, ""},
		{"/dev", newRoot + "/dev", "", unix.MS_MOVE, ""},
		{"proc", newRoot + "/proc", "proc", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
		{"sysfs", newRoot + "/sys", "sysfs", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
		{"configfs", newRoot + "/sys/kernel/config", "configfs", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
		{"tmpfs", newRoot + "/run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=0755"},
	}
	for _, m := range mounts {
		if err := unix.Mount(m.source, m.target, m.kind, m.flags, m.data); err != nil {
			return fmt.Errorf("guest: mounting %s on %s: %w", m.source, m.target, err)
		}
	}
	if err := unix.Chdir(newRoot); err != nil {
		return fmt.Errorf("guest: entering the disk: %w", err)
	}
	self, err := os.ReadFile("/init")
	if err != nil {
		return fmt.Errorf("guest: reading itself: %w", err)
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("guest: making the disk the root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("guest: making the disk the root: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return fmt.Errorf("guest: making the disk the root: %w", err)
	}
	if order.Hostname != "" {
		if err := unix.Sethostname([]byte(order.Hostname)); err != nil {
			return fmt.Errorf("guest: naming the machine: %w", err)
		}
	}
	for _, tree := range order.Install {
		if err := installTree(tree); err != nil {
			return err
		}
	}
	if err := createChip(order.Key); err != nil {
		return err
	}
	return startServing(self, line)
}

// startServing leaves a copy of this program in /run, under the names that a person may call it by, and starts it.
// It lives beside systemd, not under it.
func startServing(self []byte, line *os.File) error {
	program := filepath.Join(ownDir, "guest")
	commands := filepath.Join(ownDir, "bin")
	if err := os.MkdirAll(commands, 0o755); err != nil {
		return fmt.Errorf("guest: leaving a copy of itself: %w", err)
	}
	if err := os.WriteFile(program, self, 0o755); err != nil {
		return fmt.Errorf("guest: leaving a copy of itself: %w", err)
	}
	for _, name := range []string{"key", "led"} {
		if err := os.Symlink(program, filepath.Join(commands, name)); err != nil {
			return fmt.Errorf("guest: leaving a copy of itself: %w", err)
		}
	}
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("guest: %w", err)
	}
	defer null.Close()
	console, err := os.OpenFile("/dev/console", os.O_WRONLY|unix.O_NOCTTY, 0)
	if err != nil {
		return fmt.Errorf("guest: %w", err)
	}
	defer console.Close()
	_, err = os.StartProcess(program, []string{program, "serve"}, &os.ProcAttr{
		Dir:   "/",
		Env:   []string{"PATH=" + guestPath},
		Files: []*os.File{null, console, console, line},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return fmt.Errorf("guest: starting the part that serves: %w", err)
	}
	return nil
}

// openLine opens a serial line that carries every byte as it is.
func openLine(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("guest: opening %s: %w", path, err)
	}
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, fmt.Errorf("guest: setting up %s: %w", path, err)
	}
	t.Iflag, t.Oflag, t.Lflag = 0, 0, 0
	t.Cflag = t.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8 | unix.CREAD | unix.CLOCAL
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, t); err != nil {
		return nil, fmt.Errorf("guest: setting up %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}
