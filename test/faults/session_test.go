//go:build virtualpi

package faults

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"keyswitchd/test/inside"
)

// upgradeVar tells the program that it is to upgrade keyswitchd, from within an SSH session.
const upgradeVar = "FAULTS_UPGRADE"

const upgrader = "/usr/local/sbin/fault-upgrade"

// upgrade is what a person types who is logged in over SSH: other files, and a restart. It is root by its setuid bit, as sudo is.
func upgrade() error {
	if err := syscall.Setgid(0); err != nil {
		return err
	}
	if err := syscall.Setuid(0); err != nil {
		return err
	}
	program, err := os.ReadFile("/usr/sbin/keyswitchd")
	if err != nil {
		return err
	}
	if err := os.WriteFile("/usr/sbin/keyswitchd.new", append(program, 0), 0o755); err != nil {
		return err
	}
	if err := os.Rename("/usr/sbin/keyswitchd.new", "/usr/sbin/keyswitchd"); err != nil {
		return err
	}
	os.Setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
	if err := systemctl("daemon-reload"); err != nil {
		return err
	}
	fmt.Println(int64(inside.Clock()))
	for _, words := range []string{"restart keyswitchd.service", "is-active keyswitchd.service"} {
		if err := systemctl(words); err != nil {
			return err
		}
	}
	fmt.Println("upgraded")
	fmt.Scanln() // and stays logged in
	return nil
}

// upgraded logs in over SSH, and has everything replaced and restarted from there.
func upgraded(s *site) error {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return err
	}
	s.later(func() error { return os.Remove(upgrader) })
	if err := os.WriteFile(upgrader, self, 0o755); err != nil {
		return err
	}
	if err := os.Chmod(upgrader, 0o755|os.ModeSetuid); err != nil {
		return err
	}
	key, err := s.freshKey()
	if err != nil {
		return err
	}
	login := exec.Command("ssh", "-F", "none", "-i", key, "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no",
		"-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "pi@127.0.0.1", "env", upgradeVar+"=1", upgrader)
	login.Stderr = s.log
	out, err := login.StdoutPipe()
	if err != nil {
		return err
	}
	in, err := login.StdinPipe()
	if err != nil {
		return err
	}
	if err := login.Start(); err != nil {
		return err
	}
	s.later(func() error {
		// The key was turned off: that ended the session.
		err := login.Wait()
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			return fmt.Errorf("the session did not end with the key: %v", err)
		}
		in.Close()
		return nil
	})
	said := bufio.NewReader(out)
	restarted, err := said.ReadString('\n')
	if err == nil {
		var at int64
		if at, err = strconv.ParseInt(strings.TrimSpace(restarted), 10, 64); err == nil {
			s.struck = time.Duration(at)
		}
	}
	if err != nil {
		return fmt.Errorf("in the session: %q, %w", restarted, err)
	}
	if upgraded, err := said.ReadString('\n'); err != nil || strings.TrimSpace(upgraded) != "upgraded" {
		return fmt.Errorf("in the session: %q, %v", upgraded, err)
	}
	return nil
}

// freshKey makes a key pair that admits to pi's account until the undoing.
func (s *site) freshKey() (path string, err error) {
	dir, err := os.MkdirTemp("/root", "fault-*")
	if err != nil {
		return "", err
	}
	s.later(func() error { return os.RemoveAll(dir) })
	path = filepath.Join(dir, "id")
	if err := run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path); err != nil {
		return "", err
	}
	public, err := os.ReadFile(path + ".pub")
	if err != nil {
		return "", err
	}
	const home = "/home/pi/.ssh"
	if err := run("install", "-d", "-m", "0700", "-o", "pi", "-g", "pi", home); err != nil {
		return "", err
	}
	if err := s.put(home+"/authorized_keys", string(public)); err != nil {
		return "", err
	}
	return path, run("chown", "pi:pi", home+"/authorized_keys")
}

var sessionFaults = section{Title: "Upgrade", Faults: []fault{
	{Name: "keyswitchd upgraded and restarted by somebody logged in over SSH, from that very session", On: true, Do: upgraded,
		Effect: reopens, Code: "key-on", LED: "wink", Note: "the session lives on; the key ends it"},
}}
