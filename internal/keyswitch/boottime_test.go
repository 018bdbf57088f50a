package keyswitch

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The real clock: it fires when it is due, not before, and for what is long past, too. That it counts suspends and ignores the
// wall clock is the kernel's doing; the clock it asks for is checked.
func TestBoottime(t *testing.T) {
	b, err := NewBoottime()
	if err != nil {
		t.Fatal(err)
	}
	var boot unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot); err != nil {
		t.Fatal(err)
	}
	if now := b.Now(); now < time.Duration(boot.Nano()) || now <= 0 {
		t.Errorf("it is %s, and CLOCK_BOOTTIME was %s before", now, time.Duration(boot.Nano()))
	}
	for _, in := range []time.Duration{20 * time.Millisecond, 0, -time.Hour, 5 * time.Millisecond} {
		at := b.Now() + in
		if err := b.Wake(at, true); err != nil {
			t.Fatal(err)
		}
		if err := <-b.C(); err != nil {
			t.Fatal(err)
		}
		if now := b.Now(); now < at {
			t.Errorf("woken %s too soon", at-now)
		}
	}
	// Replaced and taken back: only the last one counts.
	soon := b.Now() + 10*time.Millisecond
	if err := b.Wake(soon, true); err != nil {
		t.Fatal(err)
	}
	if err := b.Wake(0, false); err != nil {
		t.Fatal(err)
	}
	later := soon + 50*time.Millisecond
	if err := b.Wake(later, true); err != nil {
		t.Fatal(err)
	}
	<-b.C()
	if now := b.Now(); now < later {
		t.Errorf("woken %s before what replaced it", later-now)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if err := b.Wake(later, true); err == nil {
		t.Error("a clock that was closed takes an alarm")
	}
}
