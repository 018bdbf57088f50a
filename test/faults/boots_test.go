//go:build virtualpi

package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"keyswitchd/internal/status"
	"keyswitchd/test/virtualpi/vm"
)

const bootTitle = "Absent at boot"

// lookout is a unit that tries to connect to SSH from the first moments of the boot on, and leaves a file if it could. It is one
// process that starts no others.
const lookout = `[Unit]
Description=Tries to connect to SSH all the time
DefaultDependencies=no
After=systemd-remount-fs.service

[Service]
ExecStart=/bin/bash -c 'exec 9< <(exec sleep infinity); : >/run/lookout.watching; while :; do { : <>/dev/tcp/127.0.0.1/22; } 2>/dev/null && : >/run/lookout.answered; read -t 0.03 -u 9; done'

[Install]
WantedBy=sysinit.target
`

// absence is a part of the machine that isn't there when it boots.
type absence struct {
	Name, Units string
	// Off and On are what the status says with the key off, then on, and what the LED shows. Opens: it opens.
	Off, LEDOff, On, LEDOn string
	Opens                  bool
	Note                   string
}

var absences = []absence{
	{Name: "D-Bus absent (masked), then the key turned on", Units: "dbus.socket dbus.service", Off: "not-running", LEDOff: "slow-blink", On: "not-running", LEDOn: "slow-blink"},
	{Name: "polkit absent (masked), then the key turned on", Units: "polkit.service", Off: "key-off", LEDOff: "dark", On: "start-failed", LEDOn: "fast-blink"},
	{Name: "logind absent (masked), then the key turned on", Units: "systemd-logind.service", Off: "key-off", LEDOff: "dark", On: "key-on", LEDOn: "solid", Opens: true},
	{Name: "journald absent (masked), then the key turned on", Units: "systemd-journald.service systemd-journald.socket systemd-journald-dev-log.socket", Off: "key-off", LEDOff: "dark", On: "key-on", LEDOn: "solid", Opens: true},
}

// outside is a machine as seen from outside.
type outside struct{ *vm.Machine }

func (o outside) must(ctx context.Context, args ...string) (string, error) {
	r, err := o.Run(ctx, args...)
	if err == nil && r.Code != 0 {
		err = fmt.Errorf("%s: exit code %d: %s%s", strings.Join(args, " "), r.Code, r.Stdout, r.Stderr)
	}
	return r.Stdout, err
}

// await waits until the status is right.
func (o outside) await(ctx context.Context, what string, right func(status.Status) bool) error {
	var s status.Status
	for begun := time.Now(); time.Since(begun) < 2*patience; time.Sleep(100 * time.Millisecond) {
		r, err := o.Run(ctx, "/usr/sbin/keyswitchd", "--status", "--json")
		if err != nil {
			return err
		}
		s = status.Status{}
		if err := json.Unmarshal([]byte(r.Stdout), &s); err != nil {
			return fmt.Errorf("--status --json: %w: %s%s", err, r.Stdout, r.Stderr)
		}
		if right(s) && s.Exit() == r.Code {
			return nil
		}
	}
	return fmt.Errorf("%s: not within %s: the status is %+v", what, 2*patience, s)
}

// neverAnswered sees that nobody could connect since the machine was switched on.
func (o outside) neverAnswered(ctx context.Context) error {
	if _, err := o.ReadFile(ctx, "/run/lookout.watching"); err != nil {
		return fmt.Errorf("the lookout does not watch: %w", err)
	}
	if _, err := o.ReadFile(ctx, "/run/lookout.answered"); err == nil {
		return errors.New("a connection was granted although the key was off since before the boot")
	}
	out, err := o.must(ctx, "systemctl", "show", "-p", "ActiveEnterTimestampMonotonic", "ssh.service", "ssh.socket")
	if err == nil && strings.Count(out, "ActiveEnterTimestampMonotonic=0\n") != 2 {
		err = fmt.Errorf("SSH was active: %s", out)
	}
	return err
}

// pattern looks at the LED for a while.
func (o outside) pattern(ctx context.Context) (string, error) {
	var lit []change
	begun := time.Now()
	for time.Since(begun) < 4*time.Second {
		is, err := o.LED(ctx)
		if err != nil {
			return "", err
		}
		lit = note(lit, time.Since(begun), is)
		if p := classify(lit, time.Since(begun)); p != "unclear" && time.Since(begun) > 2*time.Second {
			return p, nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return classify(lit, time.Since(begun)), nil
}

// bootWithout boots one machine again and again, each time without another part of it.
func bootWithout(ctx context.Context, image string, log io.Writer, done func(row)) (err error) {
	m, err := vm.Boot(ctx, vm.Config{Install: []string{image}, Key: vm.KeyOff})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	o := outside{m}
	if err := o.WriteFile(ctx, configFile, []byte(baseConfig), 0o644); err != nil {
		return err
	}
	if err := o.WriteFile(ctx, "/etc/systemd/system/lookout.service", []byte(lookout), 0o644); err != nil {
		return err
	}
	for _, words := range []string{"systemctl enable lookout.service", "/usr/sbin/keyswitchd arm --yes --even-if-locked-out"} {
		if _, err := o.must(ctx, strings.Fields(words)...); err != nil {
			return err
		}
	}
	for _, a := range absences {
		begun := time.Now()
		r := row{Section: bootTitle, Name: a.Name}
		if err := o.without(ctx, a, &r); err != nil {
			r.Err = err.Error()
			out, _ := m.Run(ctx, "journalctl", "-b", "-q", "--no-pager", "-u", "keyswitchd", "-u", "ssh.service")
			fmt.Fprintf(log, "%s: %v\n%s\n%s\n", a.Name, err, out.Stdout, m.Console())
		}
		r.Took = time.Since(begun)
		done(r)
	}
	return nil
}

func (o outside) without(ctx context.Context, a absence, r *row) error {
	mask := append([]string{"systemctl", "mask"}, strings.Fields(a.Units)...)
	if _, err := o.must(ctx, mask...); err != nil {
		return err
	}
	if err := o.SetKey(ctx, false); err != nil {
		return err
	}
	if err := o.reboot(ctx); err != nil {
		return err
	}
	unmask := func() error {
		_, err := o.must(ctx, append([]string{"systemctl", "unmask"}, strings.Fields(a.Units)...)...)
		return err
	}
	if err := o.judge(ctx, a, r); err != nil {
		return errors.Join(err, unmask())
	}
	if err := unmask(); err != nil {
		return err
	}
	// Recovery: what was missing is started, and the key turned.
	if _, err := o.must(ctx, append([]string{"systemctl", "start"}, strings.Fields(a.Units)...)...); err != nil {
		return err
	}
	r.Recovers = "nothing to do but to start it: the next turn opens"
	if err := o.SetKey(ctx, true); err != nil {
		return err
	}
	err := o.await(ctx, "open once it is there", func(s status.Status) bool { return s.Open && s.Code == "key-on" && s.LED == "solid" })
	return errors.Join(err, o.SetKey(ctx, false))
}

// reboot does not wait until systemd has finished booting: without D-Bus it never does.
func (o outside) reboot(ctx context.Context) error {
	const id = "/proc/sys/kernel/random/boot_id"
	before, err := o.ReadFile(ctx, id)
	if err != nil {
		return err
	}
	if _, err := o.Run(ctx, "systemctl", "reboot"); err != nil && !errors.Is(err, vm.ErrGone) {
		return err
	}
	for begun := time.Now(); time.Since(begun) < 4*patience; time.Sleep(100 * time.Millisecond) {
		if now, err := o.ReadFile(ctx, id); err == nil && string(now) != string(before) {
			if _, err := o.ReadFile(ctx, "/run/lookout.watching"); err == nil {
				return nil
			}
		}
	}
	return fmt.Errorf("not rebooted within %s; the end of the console:\n%s", 4*patience, o.Console())
}

// shows waits until the LED does.
func (o outside) shows(ctx context.Context, led string) error {
	for begun := time.Now(); ; {
		shown, err := o.pattern(ctx)
		if err != nil || shown == led {
			return err
		}
		if time.Since(begun) > patience {
			return fmt.Errorf("the LED shows %s, want %s", shown, led)
		}
	}
}

func (o outside) judge(ctx context.Context, a absence, r *row) error {
	if err := o.await(ctx, "closed", func(s status.Status) bool { return !s.Open && s.Code == a.Off }); err != nil {
		return err
	}
	if err := o.shows(ctx, a.LEDOff); err != nil {
		return err
	}
	if err := o.neverAnswered(ctx); err != nil {
		return err
	}
	r.said(a.Off, a.LEDOff)
	if err := o.SetKey(ctx, true); err != nil {
		return err
	}
	if err := o.await(ctx, "what the key on does", func(s status.Status) bool { return s.Open == a.Opens && s.Code == a.On }); err != nil {
		return err
	}
	if err := o.shows(ctx, a.LEDOn); err != nil {
		return err
	}
	r.said(a.On, a.LEDOn)
	r.happened("with the key off, SSH was never open")
	if a.Opens {
		r.happened("turned on, it opens; turned off, it closes")
	} else {
		r.happened("turned on, it stays closed")
		if err := o.neverAnswered(ctx); err != nil {
			return err
		}
	}
	if err := o.SetKey(ctx, false); err != nil {
		return err
	}
	return o.await(ctx, "closed again", func(s status.Status) bool { return !s.Open && s.Code == a.Off })
}
