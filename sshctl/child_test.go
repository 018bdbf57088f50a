package sshctl

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func TestChildOpensAndCloses(t *testing.T) {
	l := newLab(t)
	l.run()
	for range 3 {
		l.start()
		if st := l.watch.until(is("active")); !st.Open || st.Closed || !st.Interlocked {
			t.Fatalf("%+v", st)
		}
		if out, err := l.ssh("echo hello").CombinedOutput(); err != nil || string(out) != "hello\n" {
			t.Fatalf("login: %q, %v; sshd: %s", out, err, l.log.String())
		}
		l.stop()
		if st := l.watch.until(is("inactive")); !st.Closed || st.Open {
			t.Fatalf("%+v", st)
		}
		if c, err := l.dial(); err == nil {
			c.Close()
			t.Fatal("the port accepts after Stop")
		}
	}
}

// Start returns no sooner than the port accepts.
func TestChildListensWhenStartReturns(t *testing.T) {
	l := newLab(t)
	l.run()
	for range 10 {
		l.start()
		c, err := l.dial()
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		l.stop()
	}
}

func TestChildCutsEveryConnection(t *testing.T) {
	l := newLab(t)
	l.run()
	l.start()
	_, in := l.half()
	in.ReadByte() // its key exchange has begun
	cmd := l.session()
	l.watch.until(func(s State) bool { return s.Sessions == 1 })
	l.stop()
	if _, err := io.Copy(io.Discard, in); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("half logged in: %v", err)
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the session ended well")
	}
	if st := l.watch.until(is("inactive")); st.Sessions != 0 {
		t.Errorf("%+v", st)
	}
	if n := offspring(); n != 0 {
		t.Errorf("%d processes left", n)
	}
}

// offspring counts our children in other sessions: what an sshd may leave.
func offspring() int {
	n := 0
	own, _ := syscall.Getpgid(0)
	self, _ := readStat(os.Getpid())
	for _, s := range processes() {
		if s.parent == os.Getpid() && s.session != self.session && s.pid != own {
			n++
		}
	}
	return n
}

func TestChildEndSessions(t *testing.T) {
	l := newLab(t)
	l.run()
	l.start()
	cmd := l.session()
	if err := l.child.EndSessions(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the session ended well")
	}
	l.half() // the listener is still there
	l.watch.until(func(s State) bool { return s.Active == "active" && s.Sessions == 0 })
	l.stop()
	if err := l.child.EndSessions(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestChildSessionsThatEnd(t *testing.T) {
	l := newLab(t)
	l.run()
	l.start()
	cmd := l.session()
	l.watch.until(func(s State) bool { return s.Sessions == 1 })
	cmd.Process.Kill()
	l.watch.until(func(s State) bool { return s.Sessions == 0 })
}

func TestChildDiesByItself(t *testing.T) {
	l := newLab(t)
	l.run()
	l.start()
	_, in := l.half()
	l.child.mu.Lock()
	pid := l.child.proc.cmd.Process.Pid
	l.child.mu.Unlock()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if st := l.watch.until(is("failed")); !st.Closed || st.Open || st.Result != "signal" {
		t.Fatalf("%+v", st)
	}
	// Closed means closed: the connection that had no listener any more is gone as well.
	if _, err := io.Copy(io.Discard, in); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatal(err)
	}
	l.start()
	l.watch.until(is("active"))
	l.stop()
	l.watch.until(is("inactive"))
}

func TestChildPortInUse(t *testing.T) {
	l := newLab(t)
	busy, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(l.port)))
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	l.run()
	err = l.child.Start(t.Context())
	e, ok := errors.AsType[*JobError](err)
	if !ok || e.Result != "exit-code" {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"Address already in use", "is held by", "(pid " + strconv.Itoa(os.Getpid()) + ")"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %q", err, want)
		}
	}
	if st := l.watch.until(is("failed")); !st.Closed {
		t.Errorf("%+v", st)
	}
	l.stop() // clears it
	l.watch.until(is("inactive"))
}

func TestChildRefusals(t *testing.T) {
	tests := []struct {
		name, want string
		break_     func(l *lab)
	}{
		{"bad keyword", "DisallowUsers", func(l *lab) { l.write("sshd_config", "DisallowUsers pi\n") }},
		{"no config", "nothing", func(l *lab) { l.child.cfg.ConfigFile = filepath.Join(l.dir, "nothing") }},
		{"no program", "no such file", func(l *lab) { l.child.cfg.SSHD = "/nonexistent/sshd" }},
		{"relative program", "absolute path", func(l *lab) { l.child.cfg.SSHD = "sshd" }},
		{"not prepared", "hardening says no", func(l *lab) {
			l.child.cfg.Prepare = func(context.Context) error { return errors.New("hardening says no") }
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t)
			tt.break_(l)
			l.run()
			err := l.child.Start(t.Context())
			if _, ok := errors.AsType[*JobError](err); !ok || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want it to say %q", err, tt.want)
			}
			if st := l.watch.until(is("failed")); !st.Closed || st.Open {
				t.Errorf("%+v", st)
			}
		})
	}
}

func TestChildStopReplacesStart(t *testing.T) {
	l := newLab(t)
	preparing := make(chan bool)
	l.child.cfg.Prepare = func(ctx context.Context) error {
		close(preparing)
		<-ctx.Done()
		return ctx.Err()
	}
	l.run()
	started := make(chan error)
	go func() { started <- l.child.Start(t.Context()) }()
	<-preparing
	stopped := make(chan error)
	go func() { stopped <- l.child.Stop(t.Context()) }()
	if e, ok := errors.AsType[*JobError](<-started); !ok || e.Result != "canceled" {
		t.Fatalf("Start: %v", e)
	}
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	l.watch.until(is("inactive"))
}

func TestChildTurnsAtRandom(t *testing.T) {
	l := newLab(t)
	l.run()
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() { _ = l.child.Start(t.Context()) }) // most are canceled
		if i%3 == 0 {
			l.stop()
		}
	}
	wg.Wait()
	l.stop()
	if c, err := l.dial(); err == nil {
		c.Close()
		t.Fatal("the port accepts after Stop")
	}
	l.watch.until(func(s State) bool { return s.Active == "inactive" && s.Closed })
	l.start()
	l.watch.until(is("active"))
}

func TestChildEndsWithItsRun(t *testing.T) {
	l := newLab(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	up := make(chan bool)
	go func() {
		var once sync.Once
		ended <- l.child.Run(ctx, func(State) { once.Do(func() { close(up) }) })
	}()
	<-up
	l.start()
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if c, err := l.dial(); err == nil {
		c.Close()
		t.Fatal("the port accepts after Run")
	}
	if err := l.child.Start(t.Context()); err == nil {
		t.Fatal("started with nobody to supervise it")
	}
}
