package simulate

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"keyswitchd/gpio"
	"keyswitchd/hardening"
	"keyswitchd/internal/status"
)

// A script must not pass if SSH isn't what the key says. The real thing always is, so the wrong ones are made here.
func TestPlayFindsOut(t *testing.T) {
	listen := func(t *testing.T, greet string) *pi {
		l, err := net.Listen("tcp4", host+":0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = io.WriteString(conn, greet)
				conn.Close()
			}
		}()
		return &pi{port: l.Addr().(*net.TCPAddr).Port}
	}
	on := hand{on: true, board: gpio.NewSimulated()}
	off := hand{board: gpio.NewSimulated()}
	for _, c := range []struct {
		name string
		do   func(t *testing.T, p *player) error
		want string
	}{
		{"off, yet something listens", func(t *testing.T, p *player) error {
			p.pi, p.hand = listen(t, ""), off
			return p.check(t.Context())
		}, "the key is off, but something accepts connections"},
		{"off, and something listens for a moment", func(t *testing.T, p *player) error {
			p.pi, p.hand = listen(t, ""), off
			return p.stay(t.Context(), time.Minute)
		}, "something accepts connections"},
		{"on, and a fault", func(t *testing.T, p *player) error {
			p.hand = on
			p.scene.publish(status.Status{Key: "on", SSH: "failed", Fault: true, Reason: "no disk", LED: "fast-blink"})
			return p.settle(t.Context())
		}, "SSH does not open: no disk"},
		{"on, and expired", func(t *testing.T, p *player) error {
			p.hand = on
			p.scene.publish(status.Status{Key: "on", SSH: "inactive", Code: "expired", Reason: "too long", LED: "dark"})
			return p.settle(t.Context())
		}, "SSH does not open: too long"},
		{"open, and not SSH", func(t *testing.T, p *player) error {
			p.pi = listen(t, "HTTP/1.0 400\n")
			_, err := p.pi.halfOpen(t.Context())
			return err
		}, "which is not SSH"},
		{"the LED lies", func(t *testing.T, p *player) error {
			p.hand = on
			ctx, cancel := context.WithCancelCause(t.Context())
			cancel(io.ErrNoProgress)
			return p.led(ctx)
		}, "the LED does not show that the key is on"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &player{pi: &pi{}, scene: newScene(), out: io.Discard}
			if err := c.do(t, p); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

// What changes while nobody touches the key is found out, even if it changes back.
func TestStayFindsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &player{pi: &pi{}, scene: newScene(), hand: hand{on: true}}
		open := status.Status{Key: "on", SSH: "active", Open: true, LED: "solid"}
		p.scene.publish(open)
		said := make(chan error)
		go func() { said <- p.stay(t.Context(), time.Hour) }()
		synctest.Wait()
		p.scene.publish(status.Status{Key: "on", SSH: "inactive", Reason: "it died", LED: "slow-blink"})
		p.scene.publish(open)
		const want = "nobody touched the key, but something changed: key on, LED slow-blink, SSH closed: it died"
		if err := <-said; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	})
}

// fit may only narrow who and where; the rest is the configuration's.
func TestFit(t *testing.T) {
	p := hardening.DefaultPolicy()
	p.DenyUsers, p.AllowGroups, p.TCPForwarding = []string{"ada"}, []string{"ssh"}, hardening.ForwardLocal
	got := fit(p, "ada", 2222, false)
	if got.Port != 2222 || len(got.Listen) != 1 || got.Listen[0] != "127.0.0.1" || len(got.AllowUsers) != 1 || got.AllowUsers[0] != "ada" ||
		got.DenyUsers != nil || got.AllowGroups != nil || got.RootLogin != hardening.RootNo || got.TCPForwarding != hardening.ForwardLocal {
		t.Errorf("got %+v", got)
	}
	if got := fit(p, "root", 2222, true); got.RootLogin != hardening.RootKeysOnly {
		t.Errorf("root: %q", got.RootLogin)
	}
}

func TestPort(t *testing.T) {
	port, err := freePort(0)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp4", (&pi{port: port}).address())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := freePort(port); err == nil || !strings.Contains(err.Error(), "simulate.test (pid ") {
		t.Errorf("got %v; want the holder named, which is this test", err)
	}
}

func TestLogLines(t *testing.T) {
	sc := newScene()
	log := slog.New(logLines{scene: sc}).With("left", 1)
	for range keptLines {
		log.Info("the key is off", "key", "off", "permit", false)
	}
	log.Warn("stopping SSH", "err", io.ErrUnexpectedEOF)
	lines, _ := sc.logs()
	if len(lines) != keptLines || !strings.HasSuffix(lines[0], " the key is off left=1") || !strings.HasSuffix(lines[keptLines-1], " stopping SSH left=1 err=unexpected EOF") {
		t.Errorf("got %q", lines)
	}
	if _, err := (sshdLines{sc}).Write([]byte("one\n")); err != nil {
		t.Fatal(err)
	}
	if _, sshd := sc.logs(); len(sshd) != 1 || !bytes.Equal([]byte(sshd[0]), []byte("one")) {
		t.Errorf("got %q", sshd)
	}
}
