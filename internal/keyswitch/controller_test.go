package keyswitch

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"keyswitchd/gpio"
	"keyswitchd/hardening"
	"keyswitchd/internal/status"
	"keyswitchd/sshctl"
)

func TestTurns(t *testing.T) {
	test(t, Settings{}, func(b *bench) {
		b.want("nothing read yet", false, gpio.Dark)
		b.key(keyOff)
		b.want("off", false, gpio.Dark, "ready")
		b.key(keyOn)
		b.want("on: permit before start", true, gpio.Solid, "grant", "start")
		b.key(keyOff)
		b.want("off: permit gone before stop", false, gpio.Dark, "revoke", "stop")
		b.key(keyOn)
		b.key(keyLost)
		b.want("a fault closes", false, gpio.FastBlink, "grant", "start", "revoke", "stop")
		b.key(keyOff)
		b.want("off clears the fault", false, gpio.Dark)
	})
}

func TestReadyBeforeStart(t *testing.T) {
	test(t, Settings{}, func(b *bench) {
		b.key(keyOn)
		// systemd orders ssh.service after us: a start before READY would wait for itself.
		b.want("on at boot", true, gpio.Solid, "grant", "ready", "start")
	})
}

func TestOpenBeforeUs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Settings{})
		b.becomes(open)
		b.key(keyOn)
		b.want("closed first, then opened properly", true, gpio.Solid, "stop", "grant", "ready", "start")
		b.stop()
	})
}

func TestNotArmed(t *testing.T) {
	test(t, Settings{}, func(b *bench) {
		b.becomes(sshctl.State{Active: "inactive", Closed: true, Down: true, Unit: "ssh.service"})
		b.key(keyOn)
		b.want("no interlock, no opening", false, gpio.FastBlink, "ready")
	})
}

func TestOffDuringStart(t *testing.T) {
	test(t, Settings{}, func(b *bench) {
		b.key(keyOff)
		b.holdJob = true
		b.key(keyOn)
		b.becomes(opening)
		b.want("starting", true, gpio.SlowBlink, "ready", "grant", "start")
		b.key(keyOff)
		b.want("the start is replaced by a stop", false, gpio.Dark, "revoke", "stop")
	})
}

// The key is turned off in the instant between the end of a start and systemd's report of it: SSH runs, and the LED must not say
// that it doesn't.
func TestOffBeforeTheReport(t *testing.T) {
	test(t, Settings{}, func(b *bench) {
		b.key(keyOff)
		b.mute, b.lazy = true, 100*time.Millisecond
		b.key(keyOn)
		b.want("started, not told", true, gpio.SlowBlink, "ready", "grant", "start")
		b.key(keyOff)
		b.want("the stop goes out at once", false, gpio.SlowBlink, "revoke", "stop")
		b.becomes(open)
		b.want("told", false, gpio.SlowBlink)
		b.pass(100 * time.Millisecond)
		b.want("closed", false, gpio.Dark)
	})
	// What is never told of is as good as nothing, once the stop has seen everything down.
	test(t, Settings{}, func(b *bench) {
		b.mute = true
		b.key(keyOn)
		b.lazy = 100 * time.Millisecond
		b.key(keyOff)
		b.pass(100*time.Millisecond - 1)
		b.want("being stopped", false, gpio.SlowBlink)
		b.pass(1)
		b.want("closed", false, gpio.Dark)
	})
}

func TestOnDuringStop(t *testing.T) {
	test(t, Settings{}, func(b *bench) {
		b.key(keyOn)
		b.lazy = 2 * time.Second
		b.key(keyOff)
		b.becomes(closing)
		b.key(keyOn)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		b.want("closed, then open again", true, gpio.Solid, "grant", "ready", "start", "revoke", "stop", "grant", "start")
	})
}

func TestStopCannotBeConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Settings{})
		b.key(keyOn)
		b.lazy = time.Hour
		start := time.Now()
		b.key(keyOff)
		b.want("the permit is gone at once", false, gpio.SlowBlink)
		if err := <-b.done; err == nil {
			t.Error("the daemon did not give up")
		}
		if took := time.Since(start); took != closeWithin {
			t.Errorf("gave up after %s, want %s", took, closeWithin)
		}
	})
}

// A start that was refused before anything was hardened is not the hardening's refusal.
func TestStartFailsBeforeHardening(t *testing.T) {
	test(t, Settings{}, func(b *bench) {
		b.startErr, b.result, b.unread = errors.New("polkit says no"), hardening.Result{}, errors.New("no such file")
		b.key(keyOn)
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.status.Code != string(StartFailed) || !strings.Contains(b.status.Reason, "polkit says no") {
			t.Errorf("code %s, reason %s", b.status.Code, b.status.Reason)
		}
	})
}

// A stop that is refused, or can't be asked for, is the daemon's end: that closes SSH, and at once.
func TestStopFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Settings{})
		b.key(keyOn)
		b.stopErr = errors.New("polkit says no")
		start := time.Now()
		b.key(keyOff)
		if err := <-b.done; err == nil || !strings.Contains(err.Error(), "polkit says no") {
			t.Errorf("the daemon did not give up for that reason: %v", err)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("gave up after %s, want at once", took)
		}
	})
}

func TestRevokeFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Settings{})
		b.key(keyOn)
		b.mu.Lock()
		b.revoked = errors.New("read-only file system")
		b.mu.Unlock()
		b.key(keyOff)
		if err := <-b.done; !errors.Is(err, b.revoked) {
			t.Errorf("got %v: the daemon must exit, so that systemd removes the permit", err)
		}
	})
}

func TestStopOfTheDaemon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Settings{})
		b.key(keyOn)
		b.cancel()
		if err := <-b.done; err != nil {
			t.Error(err)
		}
		b.want("closed", false, gpio.Dark, "grant", "ready", "start", "revoke", "stop")
	})
}

func TestPermitCannotBeWritten(t *testing.T) {
	test(t, Settings{}, func(b *bench) {
		b.grantErr = errors.New("no space left on device")
		b.key(keyOn)
		b.want("closed, and said so", false, gpio.FastBlink, "ready")
		b.mu.Lock()
		b.grantErr = nil
		b.mu.Unlock()
		time.Sleep(lastRetry)
		synctest.Wait()
		b.want("room again", true, gpio.Solid, "grant", "start")
	})
}

func TestFailedStarts(t *testing.T) {
	test(t, Settings{}, func(b *bench) {
		b.key(keyOff)
		b.want("off", false, gpio.Dark, "ready")
		b.startErr = &sshctl.JobError{Unit: "ssh.service", Job: "start", Result: "failed"}
		b.key(keyOn)
		b.want("first", true, gpio.SlowBlink, "grant", "start")
		time.Sleep(3*time.Second + time.Millisecond) // retries after 1 s and 2 s more
		synctest.Wait()
		b.want("a fault by now, still trying", true, gpio.FastBlink, "start", "start")
		b.mu.Lock()
		b.startErr = nil
		b.mu.Unlock()
		time.Sleep(4 * time.Second)
		synctest.Wait()
		b.want("mended", true, gpio.Solid, "start")
	})
}

func TestRefusedByHardening(t *testing.T) {
	test(t, Settings{}, func(b *bench) {
		b.result = hardening.Result{Problems: []string{"PermitRootLogin is yes"}, At: time.Now()}
		b.startErr = &sshctl.JobError{Unit: "ssh.service", Job: "start", Result: "failed"}
		b.key(keyOn)
		b.want("refused", true, gpio.FastBlink)
		if b.status.Code != string(Refused) || b.status.Exit() != status.ExitFault {
			t.Errorf("status %+v", b.status)
		}
	})
}

func TestUnverified(t *testing.T) {
	test(t, Settings{}, func(b *bench) {
		b.result = hardening.Result{}
		b.key(keyOn)
		b.want("open without a proof is closed again", false, gpio.FastBlink, "grant", "ready", "start", "revoke", "stop")
	})
}

// What would lock the admin out is told in the status and, once an opening, in the log; it closes nothing.
func TestWarningsOfTheLastStart(t *testing.T) {
	test(t, Settings{Problems: []string{"not reloaded"}}, func(b *bench) {
		var log strings.Builder
		b.ctl.Log = slog.New(slog.NewTextHandler(&log, nil))
		b.result.Warnings = []string{"nobody has a key"}
		b.key(keyOn)
		b.want("open all the same", true, gpio.Solid)
		b.becomes(open)
		b.mu.Lock()
		problems := b.status.Problems
		b.mu.Unlock()
		if want := []string{"not reloaded", "nobody has a key"}; !slices.Equal(problems, want) {
			t.Errorf("problems %q, want %q", problems, want)
		}
		if n := strings.Count(log.String(), "nobody has a key"); n != 1 {
			t.Errorf("logged %d times:\n%s", n, log.String())
		}
		b.key(keyOff)
		b.key(keyOn)
		if n := strings.Count(log.String(), "nobody has a key"); n != 2 {
			t.Errorf("after a second opening logged %d times", n)
		}
	})
}

func TestStoppedByHand(t *testing.T) {
	test(t, Settings{}, func(b *bench) {
		b.key(keyOn)
		b.becomes(closing) // systemd may or may not be seen on the way
		b.becomes(shut)
		b.want("left alone, and the LED is true", true, gpio.Dark, "grant", "ready", "start")
		b.told("stopped", "key-turned", "opened", "closed-by-others stopped-by-hand", "closed stopped-by-hand")
		b.becomes(open)
		b.want("started by hand, as the key allows", true, gpio.Solid)
		b.told("nobody has turned the key", "opened key-on")
		b.becomes(shut)
		b.key(keyOff)
		b.key(keyOn)
		b.want("a turn opens it", true, gpio.Solid, "revoke", "grant", "start")
	})
}

func TestEndsByItself(t *testing.T) {
	test(t, Settings{}, func(b *bench) {
		b.key(keyOn)
		b.becomes(broken)
		b.want("retried", true, gpio.SlowBlink, "grant", "ready", "start")
		time.Sleep(firstRetry)
		synctest.Wait()
		b.want("open again", true, gpio.Solid, "start")
		b.told("its end and its start", "key-turned", "opened", "closed-by-others", "closed", "opened key-on")
	})
}

func TestRequireTurn(t *testing.T) {
	test(t, Settings{RequireTurn: true}, func(b *bench) {
		b.key(keyOn)
		b.want("on since before us", false, gpio.Dark, "ready")
		b.key(keyOff)
		b.key(keyOn)
		b.want("turned", true, gpio.Solid, "grant", "start")
	})
}

func TestBusAway(t *testing.T) {
	test(t, Settings{}, func(b *bench) {
		b.key(keyOn)
		b.becomes(away)
		b.want("open, but nobody knows", true, gpio.SlowBlink, "grant", "ready", "start")
		b.becomes(open)
		b.want("back, and nothing was done", true, gpio.Solid)
	})
}

// An idle controller does nothing at all: the loop shows the LED once per round, so no round means no wake-up.
func TestIdle(t *testing.T) {
	test(t, Settings{}, func(b *bench) {
		b.key(keyOn)
		time.Sleep(time.Minute)
		synctest.Wait()
		b.mu.Lock()
		before := b.shows
		b.mu.Unlock()
		time.Sleep(100 * time.Hour)
		synctest.Wait()
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.shows != before {
			t.Errorf("%d rounds of the loop in 100 idle hours", b.shows-before)
		}
	})
}
