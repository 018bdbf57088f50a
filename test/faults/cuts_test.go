//go:build virtualpi

package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"keyswitchd/internal/status"
	"keyswitchd/test/virtualpi/vm"
)

var seed = flag.Uint64("seed", uint64(time.Now().UnixNano()), "of the instants at which the power is cut")

// The cuts: in each machine some rounds, each of some instants at which the disk is taken as a cut would leave it, while the
// machine goes on, and one at which its power is cut indeed and it is switched on again.
const (
	cutMachines = 2
	cutRounds   = 5
	cutCopies   = 4
)

// cutter is a machine whose power is cut.
type cutter struct {
	outside
	random *rand.Rand
	known  contents
	checks sync.WaitGroup
	room   chan struct{} // one check at a time: each takes a disk's room in memory

	mu    sync.Mutex
	errs  []error
	cuts  int
	boots int
	armed bool
}

func (c *cutter) failed(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.errs = append(c.errs, err)
}

// start has this program run inside.
func (c *cutter) start(what string, out *bytes.Buffer) (*vm.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := c.Command(self)
	cmd.Env = []string{writingVar + "=" + what}
	cmd.Stdout, cmd.Stderr = out, out
	return cmd, cmd.Start()
}

func (c *cutter) sleep(most time.Duration) {
	time.Sleep(time.Duration(c.random.Int64N(int64(most))))
}

// copyDisk takes the disk as a cut at this instant would leave it, and has it looked at.
func (c *cutter) copyDisk(what string) error {
	d, err := c.Disk()
	if err != nil {
		return err
	}
	c.cuts++
	n, armed := c.cuts, c.armed
	c.checks.Go(func() {
		defer d.Close()
		c.room <- struct{}{}
		defer func() { <-c.room }()
		if err := c.checkDisk(d, armed); err != nil {
			c.failed(fmt.Errorf("cut %d, %s: %w", n, what, err))
		}
	})
	return nil
}

// checkDisk sees that the file system is sound once its journal is replayed, as mounting does, and that each file is whole: as
// it was before a change, or as after it.
func (c *cutter) checkDisk(d *vm.Disk, armed bool) error {
	dir, err := os.MkdirTemp(scratch(), "faults-disk-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	disk := filepath.Join(dir, "disk")
	if err := d.WriteFile(disk); err != nil {
		return err
	}
	if out, err := exec.Command("/usr/sbin/e2fsck", "-y", "-E", "journal_only", disk).CombinedOutput(); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() > 1 { // 1: replayed
			return fmt.Errorf("e2fsck -E journal_only: %w: %s", err, out)
		}
	}
	if out, err := exec.Command("/usr/sbin/e2fsck", "-fn", disk).CombinedOutput(); err != nil {
		return fmt.Errorf("e2fsck -fn: %w: %s", err, out)
	}
	for _, from := range []string{"/etc/ssh", "/etc/systemd/system", "/var/lib/keyswitchd"} {
		to := filepath.Join(dir, "root", filepath.Dir(from))
		if err := os.MkdirAll(to, 0o700); err != nil {
			return err
		}
		if out, err := exec.Command("/usr/sbin/debugfs", "-R", "rdump "+from+" "+to, disk).CombinedOutput(); err != nil {
			return fmt.Errorf("debugfs: %w: %s", err, out)
		}
	}
	return c.checkFiles(filepath.Join(dir, "root"), armed)
}

func scratch() string {
	const memory = "/dev/shm"
	if info, err := os.Stat(memory); err == nil && info.IsDir() {
		return memory
	}
	return os.TempDir()
}

func (c *cutter) checkFiles(root string, armed bool) error {
	seen := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		name := strings.TrimPrefix(path, root)
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if strings.HasPrefix(filepath.Base(name), ".") {
			return nil // half written beside its place: nobody reads it, and the next run sweeps it away
		}
		seen[name] = true
		switch {
		case strings.HasPrefix(name, "/etc/ssh/"):
			if !c.known[name][digest(content)] {
				return fmt.Errorf("%s is neither as before nor as after any change: %q", name, content)
			}
		case strings.HasPrefix(name, "/var/lib/keyswitchd/") && strings.HasSuffix(name, ".json"):
			if !json.Valid(content) {
				return fmt.Errorf("%s is not whole: %q", name, content)
			}
		case strings.Contains(name, ".d/") && strings.Contains(name, "keyswitchd"):
			whole := false
			for path, digests := range c.known {
				whole = whole || strings.HasPrefix(path, "/usr/lib/keyswitchd/interlock/") && digests[digest(content)]
			}
			if !whole {
				return fmt.Errorf("%s is not whole: %q", name, content)
			}
		}
		return nil
	})
	if err != nil || !armed {
		return err
	}
	for _, name := range []string{sshdConfig, "/etc/ssh/sshd_config.d/00-keyswitchd.conf", c.interlock()} {
		if !seen[name] {
			err = errors.Join(err, fmt.Errorf("%s is gone", name))
		}
	}
	return err
}

func (c *cutter) interlock() string { return "/etc/systemd/system/ssh.service.d/50-keyswitchd.conf" }

// bootsClosed switches the machine on with the key off, and sees that SSH was never open; then turns the key on, and sees that
// it opens hardened.
func (c *cutter) bootsClosed(ctx context.Context) error {
	if err := c.Start(ctx); err != nil {
		return err
	}
	c.boots++
	if err := c.await(ctx, "closed", func(s status.Status) bool {
		return s.Key == "off" && s.Code == "key-off" && !s.Open && s.SSH == "inactive" && s.LED == "dark" && !s.Fault
	}); err != nil {
		return err
	}
	out, err := c.must(ctx, "systemctl", "show", "-p", "ActiveEnterTimestampMonotonic", "ssh.service", "ssh.socket")
	if err != nil {
		return err
	}
	if strings.Count(out, "ActiveEnterTimestampMonotonic=0\n") != 2 {
		return fmt.Errorf("SSH was open although the key was off: %s", out)
	}
	if r, err := c.Run(ctx, "journalctl", "-b", "-q", "-g", "Server listening"); err != nil || r.Stdout != "" {
		return fmt.Errorf("sshd listened although the key was off: %v: %s", err, r.Stdout)
	}
	if lit, err := c.LED(ctx); err != nil || lit {
		return fmt.Errorf("the LED is lit: %t, %v", lit, err)
	}
	if out, err := c.must(ctx, "dmesg"); err != nil || strings.Contains(out, "EXT4-fs error") {
		return fmt.Errorf("the file system after the cut: %v: %s", err, out)
	}
	if err := c.SetKey(ctx, true); err != nil {
		return err
	}
	if err := c.await(ctx, "open and hardened", func(s status.Status) bool {
		return s.Key == "on" && s.Open && s.SSH == "active" && s.LED == "solid" && s.Hardening.Verified
	}); err != nil {
		return err
	}
	if _, err := c.must(ctx, "/usr/sbin/keyswitchd", "harden", "--check"); err != nil {
		return err
	}
	return c.SetKey(ctx, false)
}

// cut goes through all of one machine's cuts.
func (c *cutter) cut(ctx context.Context) error {
	var said bytes.Buffer
	learning, err := c.start("learn", &said)
	if err != nil {
		return err
	}
	if code, err := learning.Wait(ctx); err != nil || code != 0 {
		return fmt.Errorf("learning what the files may hold: %w, exit code %d: %s", err, code, &said)
	}
	if err := json.Unmarshal(said.Bytes(), &c.known); err != nil {
		return fmt.Errorf("learning what the files may hold: %w: %s", err, &said)
	}
	// While it is armed.
	arming := c.Command("/usr/sbin/keyswitchd", "arm", "--yes", "--even-if-locked-out")
	if err := arming.Start(); err != nil {
		return err
	}
	for range cutCopies {
		c.sleep(700 * time.Millisecond)
		if err := c.copyDisk("while it was armed"); err != nil {
			return err
		}
	}
	if code, err := arming.Wait(ctx); err != nil || code != 0 {
		return fmt.Errorf("arming: %w, exit code %d", err, code)
	}
	if _, err := c.must(ctx, "sync"); err != nil {
		return err
	}
	c.armed = true
	for round := range cutRounds {
		var said bytes.Buffer
		if _, err := c.start(strconv.FormatUint(c.random.Uint64(), 10), &said); err != nil {
			return err
		}
		copies := cutCopies
		if round == 0 {
			copies = 0 // they were taken while it was armed
		}
		for range copies {
			c.sleep(1200 * time.Millisecond)
			if err := c.copyDisk("while the key turned"); err != nil {
				return err
			}
		}
		c.sleep(2500 * time.Millisecond)
		c.Kill()
		if said.Len() > 0 {
			return fmt.Errorf("what turned the key ended before the cut: %s", &said)
		}
		if err := c.copyDisk("indeed, while the key turned"); err != nil {
			return err
		}
		if err := c.bootsClosed(ctx); err != nil {
			return fmt.Errorf("after cut %d: %w", c.cuts, err)
		}
	}
	return nil
}

const cutTitle = "Power"

// powerCuts cuts the power of some machines while the key turns and keyswitchd writes.
func powerCuts(ctx context.Context, image string, machines []*cutter) row {
	begun := time.Now()
	r := row{Section: cutTitle, Name: fmt.Sprintf("power cut at %d random instants while the key turns and keyswitchd arms and hardens, %d of them at the machine itself, which is switched on again",
		cutMachines*(cutRounds*cutCopies+cutRounds), cutMachines*cutRounds)}
	var all sync.WaitGroup
	for _, c := range machines {
		all.Go(func() {
			if err := c.work(ctx, image); err != nil {
				c.failed(err)
			}
		})
	}
	all.Wait()
	var errs []error
	cuts := 0
	for _, c := range machines {
		errs, cuts = append(errs, c.errs...), cuts+c.cuts
	}
	if want := cutMachines * (cutRounds*cutCopies + cutRounds); cuts != want {
		errs = append(errs, fmt.Errorf("%d cuts, want %d", cuts, want))
	}
	if err := errors.Join(errs...); err != nil {
		r.Err = err.Error()
	}
	r.Happened = "each time the file system is sound once its journal is replayed (`e2fsck -fn`), and each file of /etc/ssh, /etc/systemd and /var/lib/keyswitchd is as before a change or as after it. " +
		"Switched on with the key off, SSH was never open; then with the key on, it is hardened"
	r.said("key-off", "dark")
	r.said("key-on", "solid")
	r.Recovers = "by itself"
	r.Took = time.Since(begun)
	return r
}

// work is all that happens with one machine.
func (c *cutter) work(ctx context.Context, image string) (err error) {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if c.Machine, err = vm.Boot(ctx, vm.Config{
		Install: []string{image}, Key: vm.KeyOff,
		Shares: []vm.Share{{Host: filepath.Dir(self), Guest: filepath.Dir(self), ReadOnly: true}},
	}); err != nil {
		return err
	}
	defer func() {
		c.checks.Wait()
		err = errors.Join(err, c.Close())
	}()
	return c.cut(ctx)
}

// newCutters makes the machines, each with a random course of its own.
func newCutters(seed uint64) []*cutter {
	list := make([]*cutter, cutMachines)
	room := make(chan struct{}, 1)
	for n := range list {
		list[n] = &cutter{random: rand.New(rand.NewPCG(seed, uint64(n))), room: room}
	}
	return list
}
