//go:build virtualpi

package faults

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"keyswitchd/test/inside"
)

const (
	daemonUnit  = "keyswitchd.service"
	daemonGroup = "/sys/fs/cgroup/system.slice/keyswitchd.service"
	watchdog    = 30 * time.Second // WatchdogSec= of keyswitchd.service
)

// signal sends a signal to a unit's main process. The fault strikes then, not while its process is being looked for.
func (s *site) signal(unit string, what syscall.Signal) error {
	pid, err := mainPID(unit)
	if err != nil {
		return err
	}
	s.struck = inside.Clock()
	return syscall.Kill(pid, what)
}

// and does one thing after the other.
func and(steps ...func(*site) error) func(*site) error {
	return func(s *site) error {
		for _, do := range steps {
			if err := do(s); err != nil {
				return err
			}
		}
		return nil
	}
}

func killed(unit string) func(*site) error {
	return func(s *site) error { return s.signal(unit, syscall.SIGKILL) }
}

func command(words string) func(*site) error {
	return func(*site) error { return run(strings.Fields(words)...) }
}

func keyTurnedOff(s *site) error { return s.key(false) }

var daemonFaults = section{Title: "The daemon", Faults: []fault{
	{Name: "keyswitchd killed (SIGKILL)", On: true, Do: killed(daemonUnit), Effect: reopens, Code: "key-on", LED: "solid",
		Note: "systemd starts keyswitchd anew after 1 s"},
	{Name: "keyswitchd killed, and the key turned off at that moment", On: true, Off: true, Do: and(killed(daemonUnit), keyTurnedOff),
		Effect: closes, Code: "key-off", LED: "dark"},
	{Name: "keyswitchd killed, the key turned off, and `systemctl start ssh` before it is back", On: true, Off: true,
		Do: func(s *site) error {
			if err := s.signal(daemonUnit, syscall.SIGKILL); err != nil {
				return err
			}
			if err := s.key(false); err != nil {
				return err
			}
			if _, err := s.silentFrom(inside.Clock()); err != nil {
				return err
			}
			return refused("systemctl", "start", "ssh.service")
		}, Effect: closes, Code: "key-off", LED: "dark", Note: "the start is refused"},
	{Name: "keyswitchd stopped by hand (`systemctl stop keyswitchd`)", On: true, Do: command("systemctl stop keyswitchd.service"),
		Effect: closes, Code: "not-running", LED: "dark", Recover: "systemctl start keyswitchd.service"},
	{Name: "keyswitchd stopped (SIGSTOP), then the key turned off", On: true, Off: true, Watchdog: watchdog,
		Do: func(s *site) error {
			if err := s.signal(daemonUnit, syscall.SIGSTOP); err != nil {
				return err
			}
			return s.key(false)
		}, Effect: closes, Code: "key-off", LED: "dark", Note: "the watchdog ends keyswitchd, which comes back and sees the key off"},
	{Name: "keyswitchd out of file descriptors", On: true, Do: func(s *site) error {
		pid, err := mainPID(daemonUnit)
		if err != nil {
			return err
		}
		var before unix.Rlimit
		if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 0, Max: 524288}, &before); err != nil {
			return err
		}
		s.later(func() error { return unix.Prlimit(pid, unix.RLIMIT_NOFILE, &before, nil) })
		return nil
	}, Effect: stays, Code: "key-on", LED: "solid", Again: "permit-failed fast-blink"},
	{Name: "keyswitchd out of memory (killed by the kernel, and at each new start)", On: true, Do: func(s *site) error {
		s.later(func() error {
			return systemctl("set-property --runtime keyswitchd.service MemoryMax=infinity MemorySwapMax=infinity")
		})
		return systemctl("set-property --runtime keyswitchd.service MemoryMax=1M MemorySwapMax=0")
	}, Effect: closes, Code: "not-running", LED: "dark", Recover: byItself},
	{Name: "keyswitchd may start no thread or process more (TasksMax=1)", On: true, Do: func(s *site) error {
		s.later(func() error { return systemctl("set-property --runtime keyswitchd.service TasksMax=infinity") })
		return systemctl("set-property --runtime keyswitchd.service TasksMax=1")
	}, Effect: stays, Code: "key-on", LED: "solid"},
	{Name: "the machine too busy: four processes that never wait", On: true, Do: func(s *site) error {
		for range 4 {
			hog := exec.Command("bash", "-c", "while :; do :; done")
			if err := hog.Start(); err != nil {
				return err
			}
			s.later(func() error {
				err := hog.Process.Kill()
				hog.Wait() // it was killed
				return err
			})
		}
		return nil
	}, Effect: stays, Code: "key-on", LED: "solid"},
	{Name: "a second keyswitchd started by hand", On: true, Do: func(s *site) error {
		second := exec.Command("/usr/sbin/keyswitchd", "run")
		var out strings.Builder
		second.Stdout, second.Stderr = &out, &out
		if err := second.Start(); err != nil {
			return err
		}
		s.later(func() error {
			second.Process.Kill() // it may have ended
			second.Wait()
			fmt.Fprintf(s.log, "the second keyswitchd said: %s\n", out.String())
			return nil
		})
		time.Sleep(3 * time.Second)
		return nil
	}, Effect: closes, Code: "stopped-by-hand", LED: "dark", Recover: byTurn},
	{Name: "the program /usr/sbin/keyswitchd missing", On: true, Do: func(s *site) error { return s.hide("/usr/sbin/keyswitchd") },
		Effect: stays, Code: "key-on", LED: "solid"},
	{Name: "the permit deleted by root", On: true, Do: func(*site) error { return os.Remove(inside.PermitFile) },
		Effect: stays, Code: "key-on", LED: "solid", Again: "opens"},
	{Name: "the permit's folder replaced by root's own", On: true, Do: func(s *site) error {
		if err := os.Rename("/run/keyswitchd", "/run/keyswitchd.away"); err != nil {
			return err
		}
		s.later(func() error { return os.RemoveAll("/run/keyswitchd.away") })
		return os.Mkdir("/run/keyswitchd", 0o755)
	}, Effect: stays, Code: "key-on", LED: "solid", Again: "opens", Note: "keyswitchd can't revoke its permit and ends; it comes back, and systemd makes the folder anew"},
	{Name: "a permit made by root's hand, then `systemctl start ssh`", Do: func(s *site) error {
		s.later(func() error { return os.RemoveAll(inside.PermitFile) })
		if err := os.WriteFile(inside.PermitFile, nil, 0o644); err != nil {
			return err
		}
		out, code, err := tryRun("systemctl", "start", "ssh.service")
		fmt.Fprintf(s.log, "systemctl start ssh with a permit made by hand: exit code %d: %s\n", code, out)
		return err
	}, Effect: never, Code: "key-off", LED: "dark", Note: "keyswitchd stops it before sshd listens"},
}}

var frozenFaults = section{Title: "The daemon frozen", Faults: []fault{
	{Name: "keyswitchd frozen (cgroup freezer), then the key turned off", On: true, Off: true, Watchdog: watchdog,
		Do: func(s *site) error {
			freezer := daemonGroup + "/cgroup.freeze"
			s.later(func() error { return os.WriteFile(freezer, []byte("0"), 0) })
			s.struck = inside.Clock()
			if err := os.WriteFile(freezer, []byte("1"), 0); err != nil {
				return err
			}
			return s.key(false)
		}, Effect: closes, Code: "not-running", LED: "dark",
		Note: "systemd itself then waits, for it can start nothing in a group that is frozen; it goes on when the group is thawed"},
}}
