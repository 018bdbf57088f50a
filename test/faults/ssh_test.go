//go:build virtualpi

package faults

import (
	"fmt"
	"os"
	"strings"

	"keyswitchd/test/inside"
)

const sshUnit = "ssh.service"

// refusedStart has somebody try to start SSH in some words of systemctl, and sees that he can't.
func refusedStart(words string) func(*site) error {
	return func(*site) error { return refused(append([]string{"systemctl"}, strings.Fields(words)...)...) }
}

var sshFaults = section{Title: "ssh.service and sshd", Faults: []fault{
	{Name: "sshd killed (SIGKILL)", On: true, Do: killed(sshUnit), Effect: reopens, Code: "key-on", LED: "solid", Note: "keyswitchd starts it anew, hardened"},
	{Name: "ssh.service stopped by hand", On: true, Do: command("systemctl stop ssh.service"), Effect: closes, Code: "stopped-by-hand", LED: "dark", Recover: byTurn},
	{Name: "ssh.service restarted by hand", On: true, Do: command("systemctl restart ssh.service"), Effect: reopens, Code: "key-on", LED: "solid", Note: "hardened again"},
	{Name: "ssh.service reloaded (`systemctl reload ssh`)", On: true, Do: command("systemctl reload ssh.service"), Effect: reopens, Code: "key-on", LED: "solid", Note: "hardened again first; sshd then listens anew"},
	{Name: "ssh.service masked while open", On: true, Do: func(s *site) error {
		s.later(func() error { return systemctl("unmask --runtime ssh.service") })
		return systemctl("mask --runtime ssh.service")
	}, Effect: stays, Code: "key-on", LED: "solid", Again: "start-failed fast-blink"},
	{Name: "the interlock's drop-in deleted while open, and daemon-reload", On: true, Do: func(s *site) error {
		if err := s.interlockGone(); err != nil {
			return err
		}
		err := systemctl("daemon-reload")
		s.struck = inside.Clock()
		return err
	}, Effect: closes, Code: "not-armed", LED: "fast-blink", Recover: byItself, Note: "counted from when systemd has read its files"},
	{Name: "ssh.service edited: `AssertPathExists=` emptied in a drop-in after the interlock's, and daemon-reload", On: true, Do: func(s *site) error {
		err := s.dropIn(sshUnit, "[Unit]\nAssertPathExists=\n")
		s.struck = inside.Clock()
		return err
	}, Effect: closes, Code: "not-armed", LED: "fast-blink", Recover: byItself, Note: "counted from when systemd has read its files"},
	{Name: "ssh.service edited: `ExecStartPre=` emptied in a drop-in after the interlock's, so that nothing is hardened, and daemon-reload", On: true, Do: func(s *site) error {
		err := s.dropIn(sshUnit, "[Service]\nExecStartPre=\n")
		s.struck = inside.Clock()
		return err
	}, Effect: closes, Code: "not-armed", LED: "fast-blink", Recover: byItself, Note: "counted from when systemd has read its files"},
	{Name: "ssh.service edited: another description", On: true, Do: func(s *site) error {
		return s.dropIn(sshUnit, "[Unit]\nDescription=edited\n")
	}, Effect: stays, Code: "key-on", LED: "solid", Again: "opens"},
	{Name: "sshd moved into another control group by root", On: true, Do: func(s *site) error {
		const group = "/sys/fs/cgroup/elsewhere"
		if err := os.MkdirAll(group, 0o755); err != nil {
			return err
		}
		s.later(func() error { return os.Remove(group) })
		pid, err := mainPID(sshUnit)
		if err != nil {
			return err
		}
		return os.WriteFile(group+"/cgroup.procs", fmt.Append(nil, pid), 0)
	}, Effect: stays, Code: "key-on", LED: "solid"},
	{Name: "the program /usr/sbin/sshd missing", On: true, Do: func(s *site) error { return s.hide("/usr/sbin/sshd") },
		Effect: stays, Code: "key-on", LED: "solid", Again: "hardening-refused fast-blink"},
	{Name: "sshd crashes at each start (SIGSEGV)", On: true, Do: func(s *site) error {
		return s.wrapSSHD(`case " $* " in *" -D "*) kill -SEGV $$;; esac`)
	}, Effect: stays, Code: "key-on", LED: "solid", Again: "start-failed fast-blink"},
	{Name: "sshd starts and never says that it is ready", On: true, Do: func(s *site) error {
		return s.wrapSSHD(`case " $* " in *" -D "*) exec sleep infinity;; esac`)
	}, Effect: stays, Code: "key-on", LED: "solid", Again: "key-on slow-blink"},
	{Name: "`systemctl start ssh`", Do: refusedStart("start ssh.service"), Effect: never, Code: "key-off", LED: "dark", Note: "refused: assertion failed"},
	{Name: "`systemctl restart ssh`", Do: refusedStart("restart ssh.service"), Effect: never, Code: "key-off", LED: "dark", Note: "refused: assertion failed"},
	{Name: "`systemctl reload ssh`", Do: refusedStart("reload ssh.service"), Effect: never, Code: "key-off", LED: "dark", Note: "refused: not active"},
	{Name: "`systemctl start ssh.socket`", Do: refusedStart("start ssh.socket"), Effect: never, Code: "key-off", LED: "dark", Note: "refused: assertion failed"},
	{Name: "`systemctl start --job-mode=ignore-requirements ssh.service`", Do: refusedStart("start --job-mode=ignore-requirements ssh.service"),
		Effect: never, Code: "key-off", LED: "dark", Note: "refused: assertion failed"},
	{Name: "ssh.service started by a timer", Do: func(s *site) error {
		if err := run("systemd-run", "--quiet", "--unit=fault", "--on-active=100ms", "--timer-property=AccuracySec=10ms", "systemctl", "start", sshUnit); err != nil {
			return err
		}
		return await("the timer is over", func() error {
			out, _, err := tryRun("journalctl", "-q", "-b", "-u", sshUnit, "-u", "fault.service", "--since=-1min", "-g", "fault.service: Main process exited")
			if err == nil && out == "" {
				err = fmt.Errorf("its command has not ended")
			}
			return err
		})
	}, Effect: never, Code: "key-off", LED: "dark", Note: "refused: assertion failed"},
	{Name: "`systemctl enable --now ssh`", Do: refusedStart("enable --now ssh.service"), Effect: never, Code: "key-off", LED: "dark", Note: "refused: assertion failed"},
}}

// interlockGone deletes the drop-in of ssh.service.
func (s *site) interlockGone() error {
	out, _, err := tryRun("systemctl", "show", "--value", "-p", "DropInPaths", sshUnit)
	if err != nil {
		return err
	}
	for _, path := range strings.Fields(out) {
		if strings.Contains(path, "keyswitchd") {
			s.later(func() error { return systemctl("daemon-reload") })
			return s.keepAndDelete(path)
		}
	}
	return fmt.Errorf("no interlock among the drop-ins of %s: %s", sshUnit, out)
}

func (s *site) keepAndDelete(path string) error {
	if err := s.keep(path); err != nil {
		return err
	}
	return os.Remove(path)
}

// wrapSSHD puts a script in place of sshd that does something first.
func (s *site) wrapSSHD(first string) error {
	if err := s.hide("/usr/sbin/sshd"); err != nil {
		return err
	}
	s.later(func() error { return os.Remove("/usr/sbin/sshd") })
	return os.WriteFile("/usr/sbin/sshd", []byte("#!/bin/bash\n"+first+"\nexec -a /usr/sbin/sshd /usr/sbin/sshd.hidden \"$@\"\n"), 0o755)
}
