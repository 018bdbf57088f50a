//go:build virtualpi

package faults

import (
	"fmt"
	"os"
	"sync"
	"time"

	"keyswitchd/test/inside"
)

const (
	pace = 5 * time.Millisecond // between two looks: it bounds the error of what is measured
)

// change is a new value and the moment at which it was seen.
type change struct {
	At time.Duration // inside.Clock
	Is bool
}

// monitor looks at the port and at the LED's line all the time, and remembers each change.
type monitor struct {
	// lieAfter is how long the LED may be lit without a blink and without a listener. The longest lit phase of a blink is half a
	// second; the rest is for a machine that has other things to do.
	lieAfter time.Duration

	listeners inside.Listeners
	led       *os.File
	ledTried  time.Duration
	done      chan struct{}
	ended     sync.WaitGroup

	mu        sync.Mutex
	port, lit []change
	ledThere  bool
	seen      time.Duration // the last look
	lies      []string
	err       error
}

func startMonitor() *monitor {
	m := &monitor{done: make(chan struct{}), lieAfter: time.Minute}
	m.look()
	m.ended.Go(func() {
		tick := time.NewTicker(pace)
		defer tick.Stop()
		for {
			select {
			case <-m.done:
				return
			case <-tick.C:
				m.look()
			}
		}
	})
	return m
}

func (m *monitor) stop() {
	close(m.done)
	m.ended.Wait()
}

func (m *monitor) look() {
	open, err := m.listeners.On(22)
	now := inside.Clock()
	lit, there := m.readLED(now)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		m.err = err
	}
	m.port = note(m.port, now, open)
	if there {
		m.lit = note(m.lit, now, lit)
	} else if m.ledThere {
		m.lit = note(m.lit, now, false)
	}
	m.ledThere, m.seen = there, now
	if l, p := m.lit, m.port; len(l) > 0 && l[len(l)-1].Is && !p[len(p)-1].Is {
		since := max(l[len(l)-1].At, p[len(p)-1].At)
		if now-since > m.lieAfter && (len(m.lies) == 0 || now-since < m.lieAfter+10*pace) {
			m.lies = append(m.lies, fmt.Sprintf("the LED is lit without a blink although SSH has been closed for %s", now-since))
		}
	}
}

func note(list []change, now time.Duration, is bool) []change {
	if n := len(list); n > 0 && list[n-1].Is == is {
		return list
	}
	return append(list, change{now, is})
}

// readLED keeps the file open for as long as the chip is there.
func (m *monitor) readLED(now time.Duration) (lit, there bool) {
	if m.led == nil {
		if now-m.ledTried < 20*time.Millisecond {
			return false, false
		}
		m.ledTried = now
		path, err := inside.Line(inside.LEDLine, "value")
		if err != nil {
			return false, false
		}
		if m.led, err = os.Open(path); err != nil {
			return false, false
		}
	}
	var b [2]byte
	if n, err := m.led.ReadAt(b[:], 0); n == 0 && err != nil {
		m.led.Close()
		m.led = nil
		return false, false
	}
	return b[0] == '1', true
}

// slow tells how slow this machine is: how long it takes to stop SSH by hand.
func (m *monitor) slow(bare time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lieAfter = 2*time.Second + 5*bare
}

// open says whether somebody listens now.
func (m *monitor) open() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.port[len(m.port)-1].Is
}

// closedAt is the first moment from t on at which nobody listened.
func (m *monitor) closedAt(t time.Duration) (time.Duration, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for n, c := range m.port {
		next := m.seen
		if n+1 < len(m.port) {
			next = m.port[n+1].At
		}
		if !c.Is && next >= t {
			return max(c.At, t), true
		}
	}
	return 0, false
}

// openedBetween says whether somebody listened at any time from a to b.
func (m *monitor) openedBetween(a, b time.Duration) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for n, c := range m.port {
		next := m.seen
		if n+1 < len(m.port) {
			next = m.port[n+1].At
		}
		if c.Is && next > a && c.At < b {
			return true
		}
	}
	return false
}

// newLies returns what was seen of a LED that lies, and forgets it.
func (m *monitor) newLies() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	lies := m.lies
	m.lies = nil
	return lies
}

// pattern is what the LED has shown lately.
func (m *monitor) pattern() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.ledThere {
		return "gone"
	}
	return classify(m.lit, m.seen)
}
