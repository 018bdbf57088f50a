package simulate

import (
	"context"
	"fmt"
	"io"
	"time"

	"keyswitchd/gpio"
	"keyswitchd/internal/keyswitch"
	"keyswitchd/internal/status"
)

const (
	// settleWithin bounds the wait for the controller, which says itself when it gives up; this is for when it doesn't.
	settleWithin = 2 * time.Minute
	// lookEvery is the time between two tries to connect while SSH must be closed.
	lookEvery = 50 * time.Millisecond
)

// player carries out a script and checks what comes of it.
type player struct {
	pi    *pi
	scene *scene
	hand  hand
	out   io.Writer
	began time.Time
}

// play returns the first difference between what should be and what is.
func (p *player) play(ctx context.Context, steps []Step) error {
	if err := p.settle(ctx); err != nil {
		return fmt.Errorf("simulate: at the start: %w", err)
	}
	if err := p.check(ctx); err != nil {
		return fmt.Errorf("simulate: at the start: %w", err)
	}
	if err := p.say("start", ""); err != nil {
		return err
	}
	for i, s := range steps {
		note, err := p.step(ctx, s)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return fmt.Errorf("simulate: script: word %d, %q: %w", i+1, s.text, err)
		}
		if err := p.say(s.text, note); err != nil {
			return err
		}
	}
	return nil
}

func (p *player) step(ctx context.Context, s Step) (note string, err error) {
	if s.word == wordStay {
		return "", p.stay(ctx, s.stay)
	}
	var h *half
	if p.hand.reads() == gpio.On && p.hand.after(s.word).reads() != gpio.On {
		if h, err = p.pi.halfOpen(ctx); err != nil {
			return "", err
		}
		defer h.Close() // a second time, at worst
	}
	p.hand.do(s.word)
	if err := p.settle(ctx); err != nil {
		return "", err
	}
	if h != nil {
		if err := h.isCut(); err != nil {
			return "", err
		}
		note = ", and a half-open connection was cut"
	}
	return note, p.check(ctx)
}

// settle waits until the controller has done what follows from the key.
func (p *player) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, settleWithin, fmt.Errorf("nothing settles within %v", settleWithin))
	defer cancel()
	key := p.hand.reads()
	err := p.scene.await(ctx, func(st status.Status, _ bool) (bool, error) {
		if st.Key != key.String() {
			return false, nil
		}
		if key != gpio.On {
			return closed(st), nil
		}
		if st.Fault || st.Code == string(keyswitch.Expired) || st.Code == string(keyswitch.NeedsTurn) || st.Code == string(keyswitch.StoppedByHand) {
			return false, fmt.Errorf("SSH does not open: %s", st.Reason)
		}
		return opened(st), nil
	})
	if err != nil {
		st, lit, _ := p.scene.now()
		return fmt.Errorf("%w (key %s, LED %s%s, %s)", err, st.Key, st.LED, map[bool]string{true: " and lit", false: ""}[lit], st.Line())
	}
	return p.led(ctx)
}

func opened(st status.Status) bool {
	return st.Open && st.SSH == "active" && (st.LED == gpio.Solid.String() || st.LED == gpio.Wink.String() || st.LED == gpio.DoubleWink.String())
}

func closed(st status.Status) bool {
	return !st.Open && (st.SSH == "inactive" || st.SSH == "failed") && (st.LED == gpio.Dark.String() || st.LED == gpio.FastBlink.String())
}

// led waits until the LED itself, not only what was asked of it, shows the state of the key: lit, dark, or blinking.
func (p *player) led(ctx context.Context) error {
	want := []bool{false}
	switch p.hand.reads() {
	case gpio.On:
		want = []bool{true}
	case gpio.Fault:
		want = []bool{true, false, true}
	}
	for _, w := range want {
		if err := p.scene.await(ctx, func(_ status.Status, lit bool) (bool, error) { return lit == w, nil }); err != nil {
			return fmt.Errorf("the LED does not show that the key is %s: %w", p.hand.reads(), err)
		}
	}
	return nil
}

// check tries from outside whether SSH is reachable when the key says so, and not otherwise.
func (p *player) check(ctx context.Context) error {
	if p.hand.reads() != gpio.On {
		if err := p.pi.refused(ctx); err != nil {
			return fmt.Errorf("the key is %s, but %w", p.hand.reads(), err)
		}
		return nil
	}
	if err := p.pi.login(ctx); err != nil {
		return fmt.Errorf("the key is on, but %w", err)
	}
	return nil
}

// stay watches for d that nothing changes.
func (p *player) stay(ctx context.Context, d time.Duration) error {
	p.scene.mark()
	over, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	for over.Err() == nil {
		if p.hand.reads() != gpio.On {
			if err := p.pi.refused(ctx); err != nil {
				return fmt.Errorf("the key is %s, but %w", p.hand.reads(), err)
			}
		}
		_, _, changed := p.scene.now()
		pause := time.NewTimer(lookEvery)
		select {
		case <-over.Done():
		case <-changed:
		case <-pause.C:
		}
		pause.Stop()
	}
	past := p.scene.seen()
	for _, st := range past[1:] {
		if first := past[0]; st.Key != first.Key || st.Open != first.Open || st.SSH != first.SSH || st.Fault != first.Fault {
			return fmt.Errorf("nobody touched the key, but something changed: key %s, LED %s, %s", st.Key, st.LED, st.Line())
		}
	}
	// People may log in meanwhile, and then the LED winks, so it is asked for only now.
	if err := p.settle(ctx); err != nil {
		return err
	}
	return p.check(ctx)
}

func (p *player) say(text, note string) error {
	st, _, _ := p.scene.now()
	what := "closed: " + p.pi.address() + " refuses connections"
	if p.hand.reads() == gpio.On {
		what = "open: a login with a key works"
	}
	led := st.LED
	if led == gpio.Wink.String() {
		led = gpio.Solid.String() // our own login, just leaving
	}
	width := len("bounce ")
	if p.hand.second != "" {
		width = len(wordShortSecond)
	}
	_, err := fmt.Fprintf(p.out, "%8.2fs  %-*s key %-5s  LED %-10s  SSH %s%s\n", time.Since(p.began).Seconds(), width, text, st.Key, led, what, note)
	return err
}
