package gpio

import (
	"fmt"
	"testing"
	"time"
)

// look is one sample, and what must follow from it. Times are in milliseconds.
type look struct {
	at    int    // when
	level string // "open" or "closed"; "edges" after it if there were edges since the look before, "edges 5" if the last was 5 ms ago
	want  string // "-" not known yet, "off", "on", "fault"
	next  int    // when to look again at the latest; 0: not before an edge
}

func TestDebouncer(t *testing.T) {
	const on, off = 50, 20 // windows in ms: slow to open SSH, quick to close it
	for name, looks := range map[string][]look{
		"bad: closed at boot is not on before a full window": {
			{0, "closed", "-", 25},
			{25, "closed", "-", 50},
			{49, "closed", "-", 50},
			{50, "closed", "on", 0},
		},
		"bad: the pull-up settles after the line was requested": {
			{0, "closed", "-", 25},
			{5, "open edges", "-", 15},
			{15, "open", "-", 25},
			{25, "open", "off", 0},
		},
		"bad: a change of level without an edge is a change all the same": {
			{0, "closed", "-", 25},
			{25, "open", "-", 35},
			{35, "open", "-", 45},
			{45, "open", "off", 0},
			{1000, "closed", "off", 1025},
			{1025, "closed", "off", 1050},
			{1050, "closed", "on", 0},
		},
		"bad: edges between two looks at one level start the window again": {
			{0, "closed", "-", 25},
			{25, "closed edges", "-", 50},
			{50, "closed edges", "-", 75},
			{75, "closed", "-", 100},
			{100, "closed", "on", 0},
		},
		"bad: an edge at the very end of the window": {
			{0, "closed", "-", 25},
			{25, "closed", "-", 50},
			{50, "closed edges", "-", 75},
		},
		"bad: two looks don't make a window": {
			{0, "closed", "-", 25},
			{50, "closed", "-", 75},
			{75, "closed", "on", 0},
		},
		"bad: stopped for longer than the window while settling": {
			{0, "closed", "-", 25},
			{25, "closed", "-", 50},
			{500, "closed", "-", 525},
			{525, "closed", "-", 550},
			{550, "closed", "on", 0},
		},
		"bad: interference that never ends": {
			{0, "open", "-", 10},
			{10, "open", "-", 20},
			{20, "open", "off", 0},
			{100, "closed edges", "off", 125},
			{110, "open edges", "off", 120},
			{2099, "closed edges", "off", 2124},
			{2100, "open edges", "fault", 2110},
			{2110, "closed edges", "fault", 2135},
			{2130, "closed", "fault", 2155},
			{2160, "closed", "on", 0},
		},
		"bad: interference while on stays on for 2 s only": {
			{0, "closed", "-", 25},
			{25, "closed", "-", 50},
			{50, "closed", "on", 0},
			{100, "open edges", "on", 110},
			{1000, "closed edges", "on", 1025},
			{2099, "open edges", "on", 2109},
			{2105, "closed edges", "fault", 2130},
			{2110, "open edges", "fault", 2120},
			{2120, "open", "fault", 2130},
			{2130, "open", "off", 0},
		},
		"bad: interference from the very beginning": {
			{0, "open", "-", 10},
			{5, "closed edges", "-", 30},
			{1999, "closed edges", "-", 2024},
			{2004, "open edges", "fault", 2014},
		},
		"a turn that bounces": {
			{0, "open", "-", 10},
			{10, "open", "-", 20},
			{20, "open", "off", 0},
			{100, "closed edges", "off", 125},
			{105, "open edges", "off", 115},
			{110, "closed edges", "off", 135},
			{120, "closed", "off", 145},
			{160, "closed", "on", 0},
		},
		"the window begins with the last edge": {
			{0, "open", "-", 10},
			{10, "open", "-", 20},
			{20, "open", "off", 0},
			{100, "closed edges", "off", 125},
			{120, "closed edges 13", "off", 138}, // moved at 107 for the last time
			{138, "closed", "off", 157},
			{157, "closed", "on", 0},
		},
		"bad: half of the window has to be looked at, however old the edge": {
			{0, "open", "-", 10},
			{10, "open", "-", 20},
			{20, "open", "off", 0},
			{1000, "closed edges 900", "off", 1012},
			{1012, "closed", "off", 1025},
			{1025, "closed", "on", 0},
		},
		"off has its own window": {
			{0, "closed", "-", 25},
			{25, "closed", "-", 50},
			{50, "closed", "on", 0},
			{100, "open edges", "on", 110},
			{105, "open", "on", 115},
			{120, "open", "off", 0},
		},
		"a spike leaves the position alone": {
			{0, "open", "-", 10},
			{10, "open", "-", 20},
			{20, "open", "off", 0},
			{100, "open edges", "off", 110},
			{110, "open", "off", 120},
			{120, "open", "off", 0},
		},
		"looks in idle prove and change nothing": {
			{0, "open", "-", 10},
			{10, "open", "-", 20},
			{20, "open", "off", 0},
			{90000, "open", "off", 0},
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := NewDebouncer(on*time.Millisecond, off*time.Millisecond)
			for _, l := range looks {
				var contact, edges string
				var age int
				// What isn't there stays empty; the table has no typing errors that matter.
				_, _ = fmt.Sscan(l.level, &contact, &edges, &age)
				v := d.Sample(time.Duration(l.at)*time.Millisecond,
					Sample{Active: contact == "closed", Edges: edges == "edges", Age: time.Duration(age) * time.Millisecond})
				got := "-"
				if v.Known {
					got = v.Position.String()
				}
				if got != l.want || v.Next.Truncate(time.Millisecond) != time.Duration(l.next)*time.Millisecond {
					t.Fatalf("at %d ms %s: got %s, next look at %v; want %s, %d ms", l.at, l.level, got, v.Next, l.want, l.next)
				}
			}
		})
	}
}

func TestDebouncerWindowsHaveAMinimum(t *testing.T) {
	d := NewDebouncer(0, -time.Second)
	if v := d.Sample(0, Sample{Active: true}); v.Known {
		t.Fatal("a window of nothing proves nothing")
	}
	d.Sample(MinDebounce/2, Sample{Active: true})
	if v := d.Sample(MinDebounce, Sample{Active: true}); !v.Known || v.Position != On {
		t.Fatalf("after the shortest window: %+v", v)
	}
}
