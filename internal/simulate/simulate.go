package simulate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"keyswitchd/gpio"
	"keyswitchd/hardening"
	"keyswitchd/internal/config"
	"keyswitchd/internal/keyswitch"
)

// Options is one simulation.
type Options struct {
	Config config.Config
	Source string // where Config is from, for the generated sshd_config
	Port   int    // 1024 to 65535 on 127.0.0.1, or 0 for any free one

	// Script is carried out on Out. Without one, In and Out must be a terminal, and a person turns the key.
	Script []Step
	In     *os.File
	Out    io.Writer
	// Err gets the last lines of the logs when the script fails.
	Err io.Writer
}

// ErrInterrupted is a script that was ended before its end, by a signal.
var ErrInterrupted = errors.New("simulate: interrupted before the end of the script")

// Run simulates until the script or the person is through, or ctx ends. When it returns, sshd has ended and the folder is
// gone. An error of a script is the first difference between what should be and what is.
func Run(ctx context.Context, o Options) (err error) {
	if err := havePrograms(); err != nil {
		return err
	}
	who, err := whoami()
	if err != nil {
		return err
	}
	port, err := freePort(o.Port)
	if err != nil {
		return err
	}
	root := os.Geteuid() == 0
	folder, err := makeFolder(places(who.HomeDir), who.HomeDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, folder.remove()) }()
	p := &pi{folder: folder, user: who, port: port, root: root, source: o.Source, policy: fit(o.Config.Policy, who.Username, port, root)}
	if err := p.policy.Validate(); err != nil {
		return fmt.Errorf("simulate: fitting the policy to %s on port %d: %w", who.Username, port, err)
	}
	if err := p.furnish(ctx); err != nil {
		return err
	}
	if o.Script != nil {
		return o.script(ctx, p)
	}
	return o.picture(ctx, p)
}

func (o Options) script(ctx context.Context, p *pi) error {
	if p.root {
		fmt.Fprintln(o.Err, rootNote)
	}
	var sc *scene
	err := o.with(ctx, p, func(ctx context.Context, s *scene, board *gpio.Simulated) error {
		sc = s
		pl := &player{pi: p, scene: s, hand: o.hand(board), out: o.Out, began: time.Now()}
		return pl.play(ctx, o.Script)
	})
	if err == nil {
		if err = p.refused(context.WithoutCancel(ctx)); err != nil {
			err = fmt.Errorf("simulate: at the end, with everything stopped: %w", err)
		}
	}
	if ctx.Err() != nil {
		return ErrInterrupted
	}
	if err != nil {
		controller, sshd := sc.logs()
		for _, part := range []struct {
			name  string
			lines []string
		}{{"keyswitchd", controller}, {"sshd", sshd}} {
			for _, line := range part.lines[max(0, len(part.lines)-15):] {
				fmt.Fprintf(o.Err, "%s: %s\n", part.name, line)
			}
		}
	}
	return err
}

func (o Options) hand(board *gpio.Simulated) hand {
	h := hand{board: board, second: o.Config.Key.Second}
	if h.second != "" {
		h.changeOver = o.Config.Key.ChangeOver
	}
	return h
}

// rootNote is said when root simulates.
const rootNote = "root-login is \"prohibit-password\" here, because root runs it"

// with runs the controller and everything that it needs around drive.
func (o Options) with(ctx context.Context, p *pi, drive func(context.Context, *scene, *gpio.Simulated) error) error {
	board, sc := gpio.NewSimulated(), newScene()
	led := o.Config.LED
	if led.Name == "none" {
		led.Name = "GPIO27" // the picture has one, whatever the Pi has
	}
	c := &keyswitch.Controller{
		Key:       gpio.NewKey(board, o.Config.Key),
		LED:       gpio.NewLED(board, led),
		Door:      p.door(sshdLines{sc}),
		Permit:    p.permit(),
		Hardening: func() (hardening.Result, error) { return hardening.ReadResult(p.result()) },
		Publish:   sc.publish,
		Ready:     func() {}, // nobody waits for it
		Log:       slog.New(logLines{scene: sc}),
	}
	c.Set(keyswitch.Settings{RequireTurn: o.Config.RequireTurn, MaxOn: o.Config.MaxOn, EndSessions: o.Config.EndSessions, Grace: o.Config.Grace})

	// The controller outlives ctx: it is stopped by us, in order, and waited for.
	alive, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	driving, leave := context.WithCancelCause(ctx)
	defer leave(nil)
	var wait sync.WaitGroup
	wait.Go(func() { sc.watch(alive, board.LEDOn, board.LEDChanged()) })
	var failed error
	wait.Go(func() {
		if failed = c.Run(alive); failed != nil {
			leave(failed)
		}
	})
	err := drive(driving, sc, board)
	stop()
	wait.Wait()
	if failed != nil && !errors.Is(err, failed) {
		err = errors.Join(err, failed)
	}
	return err
}

// Sweep removes what simulations left that were killed.
func Sweep() error {
	who, err := whoami()
	if err != nil {
		return err
	}
	return sweepFolders(places(who.HomeDir), who.HomeDir)
}
