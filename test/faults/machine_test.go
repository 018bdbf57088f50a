//go:build virtualpi

package faults

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"keyswitchd/test/inside"
)

// fill fills the file system of a folder to the last byte, until the undoing.
func fill(dir string) func(*site) error {
	return func(s *site) error {
		path := filepath.Join(dir, "fault-fill")
		f, err := os.Create(path)
		if err != nil {
			return err
		}
		defer f.Close()
		s.later(func() error { return os.Remove(path) })
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err != nil {
			return err
		}
		size := int64(st.Bfree) * st.Bsize
		for ; size > 4096; size = size * 15 / 16 { // not all that is free may be had
			if err = unix.Fallocate(int(f.Fd()), 0, 0, size); err == nil {
				break
			}
		}
		// The rest byte by byte, as a log that nobody looks after would.
		if _, err := f.Seek(0, 2); err != nil {
			return err
		}
		for block := make([]byte, 4096); ; {
			if _, err := f.Write(block); err != nil {
				if len(block) == 1 {
					break
				}
				block = block[:1]
			}
		}
		return nil
	}
}

// jump sets the wall clock, and back by as much with the undoing.
func jump(by time.Duration) func(*site) error {
	set := func(by time.Duration) error {
		var now unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_REALTIME, &now); err != nil {
			return err
		}
		now = unix.NsecToTimespec(now.Nano() + int64(by))
		return unix.ClockSettime(unix.CLOCK_REALTIME, &now)
	}
	return func(s *site) error {
		s.later(func() error { return set(-by) })
		return set(by)
	}
}

// configured gives the running daemon a configuration, and the former one back.
func configured(top string) func(*site) error {
	return func(s *site) error {
		s.later(func() error { return systemctl("reload keyswitchd.service") })
		if err := s.put(configFile, top+baseConfig); err != nil {
			return err
		}
		return systemctl("reload keyswitchd.service")
	}
}

// hup has keyswitchd read its configuration again, and once more with the undoing.
func hup(change func(s *site) error) func(*site) error {
	return func(s *site) error {
		s.later(func() error { return systemctl("reload keyswitchd.service") })
		if err := change(s); err != nil {
			return err
		}
		return systemctl("reload keyswitchd.service")
	}
}

const year = 365 * 24 * time.Hour

var machineFaults = section{Title: "Files and disks", Faults: []fault{
	{Name: "/etc read-only", On: true, Do: func(s *site) error {
		if err := unix.Mount("/etc", "/etc", "", unix.MS_BIND, ""); err != nil {
			return err
		}
		s.later(func() error { return unix.Unmount("/etc", unix.MNT_DETACH) })
		return unix.Mount("", "/etc", "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, "")
	}, Effect: stays, Code: "key-on", LED: "solid", Again: "opens", Note: "nothing is to be written when the hardening holds"},
	{Name: "/etc read-only, and a second port in sshd's configuration, against the policy", On: true, Do: func(s *site) error {
		if err := s.put("/etc/ssh/sshd_config.d/90-fault.conf", "Port 2222\n"); err != nil {
			return err
		}
		if err := unix.Mount("/etc", "/etc", "", unix.MS_BIND, ""); err != nil {
			return err
		}
		s.later(func() error { return unix.Unmount("/etc", unix.MNT_DETACH) })
		return unix.Mount("", "/etc", "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, "")
	}, Effect: stays, Code: "key-on", LED: "solid", Again: "hardening-refused fast-blink", Note: "what was hardened when it started stays so; SSH is not started unhardened"},
	{Name: "/run full", On: true, Do: fill("/run"), Effect: stays, Code: "key-on", LED: "solid"},
	{Name: "the disk full", On: true, Do: fill("/var/tmp"), Effect: stays, Code: "key-on", LED: "solid", Again: "opens"},
	{Name: "the configuration deleted, then SIGHUP", On: true, Do: hup(func(s *site) error { return s.keepAndDelete(configFile) }),
		Effect: stays, Code: "key-on", LED: "solid", Note: "the former one stays in force"},
	{Name: "the configuration emptied, then SIGHUP", On: true, Do: hup(func(s *site) error { return s.put(configFile, "") }),
		Effect: stays, Code: "key-on", LED: "solid"},
	{Name: "the configuration made invalid, then SIGHUP", On: true, Do: hup(func(s *site) error { return s.put(configFile, "max-on = \"soon\n") }),
		Effect: stays, Code: "key-on", LED: "solid", Note: "the former one stays in force"},
	{Name: "the configuration made invalid, then keyswitchd restarted", On: true, Do: func(s *site) error {
		if err := s.put(configFile, "max-on = \"soon\n"); err != nil {
			return err
		}
		return refused("systemctl", "restart", daemonUnit)
	}, Effect: closes, Code: "not-running", LED: "dark", Recover: "systemctl start keyswitchd.service"},
	{Name: "inotify exhausted (no user may have an instance)", On: true, Do: func(s *site) error {
		const limit = "/proc/sys/fs/inotify/max_user_instances"
		if err := s.keep(limit); err != nil {
			return err
		}
		return os.WriteFile(limit, []byte("0"), 0)
	}, Effect: stays, Code: "key-on", LED: "solid", Again: "opens"},
}}

var clockFaults = section{Title: "Time", Faults: []fault{
	{Name: "the clock set back a year, with max-on", On: true, Do: and(configured("max-on = \"1h\"\n"), jump(-year)), Effect: stays, Code: "key-on", LED: "solid", Again: "opens"},
	{Name: "the clock set forward ten years, with max-on", On: true, Do: and(configured("max-on = \"1h\"\n"), jump(10*year)), Effect: stays, Code: "key-on", LED: "solid", Again: "opens",
		Note: "max-on counts on a clock that nobody sets"},
	{Name: "another time zone", On: true, Do: func(s *site) error {
		before, err := os.Readlink("/etc/localtime")
		s.later(func() error {
			os.Remove("/etc/localtime")
			if err == nil {
				return os.Symlink(before, "/etc/localtime")
			}
			return nil
		})
		os.Remove("/etc/localtime")
		return os.Symlink("/usr/share/zoneinfo/Pacific/Kiritimati", "/etc/localtime")
	}, Effect: stays, Code: "key-on", LED: "solid"},
}}

// plug makes the simulated chip go or come. When it comes, its lines are pulled down, as those of a Pi are: "on".
func plug(live string) error { return os.WriteFile(inside.ChipLive, []byte(live), 0) }

// held has another process hold a line while keyswitchd starts anew.
func held(args ...string) func(*site) error {
	return func(s *site) error {
		if err := systemctl("stop keyswitchd.service"); err != nil {
			return err
		}
		other := exec.Command(args[0], args[1:]...)
		if err := other.Start(); err != nil {
			return err
		}
		s.later(func() error {
			err := other.Process.Kill()
			other.Wait() // it was killed
			return err
		})
		line := args[len(args)-1]
		if err := await("the line held", func() error {
			out, _, err := tryRun("gpioinfo", "GPIO17", "GPIO27")
			if err == nil && !contains(out, "doorbell") {
				err = fmt.Errorf("%s: %s", line, out)
			}
			return err
		}); err != nil {
			return err
		}
		return systemctl("start keyswitchd.service")
	}
}

var lineFaults = section{Title: "The key, the LED and their wires", Faults: []fault{
	{Name: "the key's wire cut", On: true, Off: true, Do: keyTurnedOff, Effect: closes, Code: "key-off", LED: "dark", Note: "an open contact is off"},
	{Name: "the GPIO chip gone (unbound) while on", On: true, Do: func(s *site) error {
		s.later(func() error { return plug("1") })
		return plug("0")
	}, Effect: closes, Code: "key-fault", Recover: byItself},
	{Name: "the GPIO chip gone (unbound) while off", Do: func(s *site) error {
		s.later(func() error { return plug("1") })
		return plug("0")
	}, Effect: never, Code: "key-fault"},
	{Name: "the key's line held by another process when keyswitchd starts", On: true, Do: held("gpiomon", "--consumer=doorbell", "GPIO17"),
		Effect: closes, Code: "key-fault", LED: "fast-blink", Recover: byItself},
	{Name: "the LED's line held by another process when keyswitchd starts", On: true, Do: held("gpioset", "--consumer=doorbell", "GPIO27=0"),
		Effect: reopens, Code: "key-on", Note: "the status says who holds it (`led_error`)"},
}}

var chatterFaults = section{
	Title: "A contact that chatters",
	Before: func(s *site) error {
		s.later(func() error { return systemctl("restart keyswitchd.service") })
		// Longer than this machine may be held up by the one it runs on: edges that do not come would be a contact at rest.
		if err := s.put(configFile, baseConfig+"debounce-on = \"500ms\"\ndebounce-off = \"500ms\"\n"); err != nil {
			return err
		}
		if err := systemctl("restart keyswitchd.service"); err != nil {
			return err
		}
		return await("closed", s.isClosed)
	},
	Faults: []fault{
		{Name: "the key's contact chatters for a minute, some hundred times a second (debounce 500 ms)", On: true, Do: chatter, Effect: closes, Code: "key-fault", LED: "fast-blink", Recover: byItself,
			Note: "when it has not been stable for two seconds; it stays closed for all of the minute"},
	},
}
