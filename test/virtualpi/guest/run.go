package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"keyswitchd/test/virtualpi/wire"
)

// drain is how long the output of a program that has ended is still waited for, because a child of its holds it open.
const drain = 2 * time.Second

// run starts a program and connects its input, output and signals to the stream until it ends.
func (s *server) run(id uint32, order wire.RunOrder, in *stream) wire.Outcome {
	cmd, err := command(order)
	if err != nil {
		return wire.Outcome{Err: err.Error()}
	}
	var input io.WriteCloser
	var terminal, inside *os.File
	var output sync.WaitGroup
	if order.Terminal != nil {
		terminal, inside, err = openTerminal(*order.Terminal)
		if err != nil {
			return wire.Outcome{Err: err.Error()}
		}
		defer terminal.Close()
		defer inside.Close()
		cmd.Stdin, cmd.Stdout, cmd.Stderr = inside, inside, inside
		cmd.SysProcAttr.Setctty = true
		input = terminal
	} else {
		cmd.Stdout = wire.Stream{To: s.out, Kind: wire.Stdout, ID: id}
		cmd.Stderr = wire.Stream{To: s.out, Kind: wire.Stderr, ID: id}
		cmd.WaitDelay = drain
		if input, err = cmd.StdinPipe(); err != nil {
			return wire.Outcome{Err: err.Error()}
		}
	}
	if err := cmd.Start(); err != nil {
		return wire.Outcome{Err: fmt.Sprintf("guest: starting %s: %v", order.Args[0], err)}
	}
	if inside != nil {
		inside.Close()
	}
	if terminal != nil {
		output.Go(func() {
			io.Copy(wire.Stream{To: s.out, Kind: wire.Stdout, ID: id}, terminal) // ends with EIO when the last user closes it
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	var feeding sync.WaitGroup
	feeding.Go(func() { feed(ctx, in, input, terminal, cmd.Process.Pid) })
	err = cmd.Wait()
	cancel()
	if terminal != nil {
		terminal.SetReadDeadline(time.Now().Add(drain / 10))
		output.Wait()
	}
	input.Close()
	feeding.Wait()
	return outcome(cmd, err)
}

// feed passes on what comes in for a program.
func feed(ctx context.Context, in *stream, input io.WriteCloser, terminal *os.File, pid int) {
	for {
		f, ok := in.next(ctx)
		if !ok {
			return
		}
		switch f.Kind {
		case wire.Stdin:
			if len(f.Payload) == 0 {
				if terminal == nil {
					input.Close()
				}
			} else {
				input.Write(f.Payload) // a program that doesn't read to the end is not an error
			}
		case wire.Signal:
			var order wire.SignalOrder
			if f.JSON(&order) == nil {
				unix.Kill(-pid, unix.Signal(order.Signal))
			}
		case wire.Resize:
			var size wire.Size
			if terminal != nil && f.JSON(&size) == nil {
				resize(terminal, size)
			}
		}
	}
}

func command(order wire.RunOrder) (*exec.Cmd, error) {
	if len(order.Args) == 0 {
		return nil, errors.New("guest: running nothing; name a program")
	}
	cmd := exec.Command(order.Args[0], order.Args[1:]...)
	cmd.Dir = order.Dir
	if cmd.Dir == "" {
		cmd.Dir = "/"
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	name, home := "root", "/root"
	if order.User != "" {
		credential, dir, err := lookUp(order.User)
		if err != nil {
			return nil, err
		}
		cmd.SysProcAttr.Credential, name, home = credential, order.User, dir
	}
	cmd.Env = append([]string{"PATH=" + guestPath, "LANG=C.UTF-8", "HOME=" + home, "USER=" + name, "LOGNAME=" + name, "VIRTUALPI=1"}, order.Env...)
	return cmd, nil
}

// lookUp finds a user and its groups in the guest's own files. It doesn't ask NSS.
func lookUp(user string) (*syscall.Credential, string, error) {
	passwd, err := os.Open("/etc/passwd")
	if err != nil {
		return nil, "", err
	}
	defer passwd.Close()
	for lines := bufio.NewScanner(passwd); lines.Scan(); {
		f := strings.Split(lines.Text(), ":")
		if len(f) < 7 || f[0] != user {
			continue
		}
		uid, err1 := strconv.ParseUint(f[2], 10, 32)
		gid, err2 := strconv.ParseUint(f[3], 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			return nil, "", err
		}
		groups, err := groupsOf(user)
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid), Groups: groups}, f[5], err
	}
	return nil, "", fmt.Errorf("guest: there is no user %q in the virtual Pi", user)
}

func groupsOf(user string) ([]uint32, error) {
	b, err := os.ReadFile("/etc/group")
	if err != nil {
		return nil, err
	}
	var groups []uint32
	for line := range strings.Lines(string(b)) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) < 4 {
			continue
		}
		for member := range strings.SplitSeq(f[3], ",") {
			if member == user {
				gid, err := strconv.ParseUint(f[2], 10, 32)
				if err != nil {
					return nil, err
				}
				groups = append(groups, uint32(gid))
			}
		}
	}
	return groups, nil
}

func outcome(cmd *exec.Cmd, err error) wire.Outcome {
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		return wire.Outcome{Err: err.Error()}
	}
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ok && status.Signaled() {
		return wire.Outcome{Code: 128 + int(status.Signal()), Signal: int(status.Signal())}
	}
	return wire.Outcome{Code: cmd.ProcessState.ExitCode()}
}

// openTerminal returns both ends of a new pseudo-terminal.
func openTerminal(size wire.Size) (outside, inside *os.File, err error) {
	outside, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("guest: opening a terminal: %w", err)
	}
	connection, err := outside.SyscallConn()
	if err != nil {
		return nil, nil, fmt.Errorf("guest: opening a terminal: %w", err)
	}
	var number uint32
	controlErr := connection.Control(func(fd uintptr) {
		var n int
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err != nil {
			return
		}
		n, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		number = uint32(n)
	})
	if err = errors.Join(err, controlErr); err == nil {
		inside, err = os.OpenFile(fmt.Sprint("/dev/pts/", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err == nil {
		err = resize(outside, size)
	}
	if err != nil {
		outside.Close()
		return nil, nil, fmt.Errorf("guest: opening a terminal: %w", err)
	}
	return outside, inside, nil
}

func resize(terminal *os.File, size wire.Size) error {
	connection, err := terminal.SyscallConn()
	if err != nil {
		return err
	}
	controlErr := connection.Control(func(fd uintptr) {
		err = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: size.Rows, Col: size.Columns})
	})
	return errors.Join(err, controlErr)
}
