//go:build virtualpi

package power

import (
	"context"
	"strings"
	"testing"
	"time"

	"keyswitchd/test/virtualpi/vm"
)

// One machine is armed, rebooted and cut from power; each step begins with what the one before it left.
func TestPower(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	machine, err := vm.Boot(ctx, vm.Config{Install: []string{image(t), tree(t)}, Key: vm.KeyOff})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := machine.Close(); err != nil {
			t.Error(err)
		}
	})
	step := func(name string, do func(pi)) {
		t.Helper()
		if !t.Run(name, func(t *testing.T) { do(pi{machine, t}) }) {
			t.FailNow()
		}
	}
	step("armed with the key on: open", func(p pi) {
		p.configure("")
		p.turn(true)
		p.must("/usr/sbin/keyswitchd", "arm", "--yes", "--even-if-locked-out")
		p.opened()
	})
	step("rebooted with the key on: open, without anybody's doing", func(p pi) {
		p.SetBootKey(vm.KeyOn)
		if err := p.Reboot(ctx); err != nil {
			t.Fatal(err)
		}
		p.opened()
	})
	step("rebooted with the key on, and on-boot = require-turn: closed until it is turned", func(p pi) {
		p.configure("on-boot = \"require-turn\"\n")
		if err := p.Reboot(ctx); err != nil {
			t.Fatal(err)
		}
		p.await("closed until the key is turned", isClosed("require-turn", "on"))
		p.neverOpen()
		p.turn(false)
		p.await("closed", isClosed("key-off", "off"))
		p.neverOpen()
		p.turn(true)
		p.opened()
	})
	step("power cut while open, booted with the key off: never open", func(p pi) {
		p.must("sync")
		p.Kill()
		p.SetBootKey(vm.KeyOff)
		if err := p.Start(ctx); err != nil {
			t.Fatal(err)
		}
		p.await("closed", isClosed("key-off", "off"))
		p.neverOpen()
		if r := p.run("systemctl", "is-system-running"); r.Stdout != "running\n" {
			p.t.Errorf("systemd after the power cut: %s%s", r.Stdout, p.run("systemctl", "--failed").Stdout)
		}
		if out := p.must("dmesg"); strings.Contains(out, "EXT4-fs error") {
			p.t.Errorf("the file system after the power cut: %s", out)
		}
		p.turn(true)
		p.opened()
		p.must("/usr/sbin/keyswitchd", "disarm")
		if out := p.must("systemctl", "is-active", "ssh"); out != "active\n" {
			p.t.Errorf("ssh after disarm: %s", out)
		}
	})
}
