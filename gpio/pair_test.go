package gpio

import (
	"strings"
	"testing"
	"time"
)

// both is one look at two contacts, and what must follow from it. Times are in milliseconds.
type both struct {
	at   int    // when
	seen string // of each contact, the key's first: "o" open, "c" closed; "!" after it if there were edges since the look before
	want string // "-" not known yet, "off", "on", "both-open", "both-closed", "restless", "second-restless"
	next int    // when to look again at the latest; 0: not before an edge
}

var troubles = map[Trouble]string{Restless: "restless", SecondRestless: "second-restless", BothOpen: "both-open", BothClosed: "both-closed"}

func TestPair(t *testing.T) {
	const on, off, changeOver = 50, 20, 200 // in ms
	settledOff := []both{{0, "o c", "-", 10}, {10, "o c", "-", 20}, {20, "o c", "off", 0}}
	settledOn := []both{{0, "c o", "-", 25}, {25, "c o", "-", 50}, {50, "c o", "on", 0}}
	for name, looks := range map[string][]both{
		"bad: both closed at boot is never on": {
			{0, "c c", "-", 25}, {25, "c c", "-", 50}, {50, "c c", "-", 200}, {199, "c c", "-", 200}, {200, "c c", "both-closed", 0},
		},
		"bad: both open at boot is off, then a fault": {
			{0, "o o", "-", 10}, {10, "o o", "-", 20}, {20, "o o", "off", 45}, {50, "o o", "off", 200}, {200, "o o", "both-open", 0},
		},
		"bad: the key's line shorted while off": append(settledOff[:3:3],
			both{100, "c! c", "off", 125}, both{125, "c c", "off", 150}, both{150, "c c", "off", 300}, both{300, "c c", "both-closed", 0}),
		"bad: the second wire cut while off": append(settledOff[:3:3],
			both{100, "o o!", "off", 125}, both{125, "o o", "off", 150}, both{150, "o o", "off", 300}, both{300, "o o", "both-open", 0}),
		"bad: the second line shorted while on": append(settledOn[:3:3],
			both{100, "c c!", "on", 125}, both{125, "c c", "on", 150}, both{150, "c c", "on", 300}, both{300, "c c", "both-closed", 0}),
		"bad: the key's wire cut while on closes as a turn does": append(settledOn[:3:3],
			both{100, "o! o", "on", 110}, both{110, "o o", "on", 120}, both{120, "o o", "off", 145},
			both{150, "o o", "off", 300}, both{300, "o o", "both-open", 0}),
		"bad: mended with the key on stays closed until off": {
			{0, "c c", "-", 25}, {25, "c c", "-", 50}, {50, "c c", "-", 200}, {200, "c c", "both-closed", 0},
			{300, "c o!", "both-closed", 325}, {325, "c o", "both-closed", 350}, {350, "c o", "both-closed", 0},
			{1000, "o! o", "both-closed", 1010}, {1010, "o o", "both-closed", 1020}, {1020, "o o", "both-closed", 1045},
			{1050, "o o", "both-open", 0}, // it is what it is now
			{1100, "o c!", "both-open", 1110}, {1110, "o c", "both-open", 1120}, {1120, "o c", "off", 0},
			{2000, "c! o!", "off", 2025}, {2025, "c o", "off", 2050}, {2050, "c o", "on", 0},
		},
		"bad: an off that is over before it is stable does not end the fault": {
			{0, "c c", "-", 25}, {25, "c c", "-", 50}, {50, "c c", "-", 200}, {200, "c c", "both-closed", 0},
			{300, "o! c", "both-closed", 310}, {310, "o c", "both-closed", 320}, {319, "c! o!", "both-closed", 344}, {344, "c o", "both-closed", 369},
			{369, "c o", "both-closed", 0},
		},
		"bad: a glitch now and then does not hide a cut wire": append(settledOff[:3:3],
			both{100, "o o!", "off", 125}, both{125, "o o", "off", 150}, both{150, "o o", "off", 300},
			both{200, "o c!", "off", 210}, both{205, "o o!", "off", 230}, both{230, "o o", "off", 255}, both{255, "o o", "off", 300}, both{300, "o o", "both-open", 0}),
		"bad: a slow change-over": append(settledOff[:3:3],
			both{100, "o o!", "off", 125}, both{125, "o o", "off", 150}, both{150, "o o", "off", 300}, both{301, "o o", "both-open", 0}),
		"bad: the second contact chatters while off": append(settledOff[:3:3],
			both{100, "o o!", "off", 125}, both{110, "o c!", "off", 120}, both{2099, "o o!", "off", 2124}, both{2109, "o c!", "second-restless", 2119},
			both{2119, "o c", "second-restless", 2129}, both{2129, "o c", "off", 0}),
		"bad: the key's contact chatters while on": append(settledOn[:3:3],
			both{100, "o! o", "on", 110}, both{110, "c! o", "on", 135}, both{2099, "o! o", "on", 2109}, both{2109, "c! o", "restless", 2134},
			both{2134, "c o", "restless", 2159}, both{2159, "c o", "on", 0}),
		"a turn on, with bounce and a gap": append(settledOff[:3:3],
			both{100, "o o!", "off", 125}, both{150, "c! o", "off", 175}, both{160, "o! o", "off", 170}, both{170, "c! o", "off", 195},
			both{195, "c o", "off", 220}, both{220, "c o", "on", 0}),
		"a turn off, with a gap": append(settledOn[:3:3],
			both{100, "o! o", "on", 110}, both{110, "o o", "on", 120}, both{120, "o o", "off", 145},
			both{150, "o o", "off", 300}, both{180, "o c!", "off", 190}, both{190, "o c", "off", 200}, both{200, "o c", "off", 0}),
		"closing waits for no second contact, even if it chatters": append(settledOn[:3:3],
			both{100, "o! c!", "on", 110}, both{110, "o o!", "on", 120}, both{120, "o c!", "off", 130}),
		"on needs the second contact quiet as well": append(settledOff[:3:3],
			both{100, "c! o!", "off", 125}, both{125, "c o!", "off", 150}, both{150, "c o!", "off", 175}, both{175, "c o", "off", 200}, both{200, "c o", "on", 0}),
		"a spike on the second line leaves on alone": append(settledOn[:3:3],
			both{100, "c c!", "on", 125}, both{110, "c o!", "on", 135}, both{135, "c o", "on", 160}, both{160, "c o", "on", 0}),
	} {
		t.Run(name, func(t *testing.T) {
			p := NewPair(on*time.Millisecond, off*time.Millisecond, changeOver*time.Millisecond, NoTrouble)
			for _, l := range looks {
				seen := strings.Fields(l.seen)
				look := func(s string) Sample { return Sample{Active: s[0] == 'c', Edges: strings.HasSuffix(s, "!")} }
				v := p.Sample(time.Duration(l.at)*time.Millisecond, look(seen[0]), look(seen[1]))
				got := "-"
				switch {
				case v.Known && v.Position == Fault:
					got = troubles[v.Trouble]
				case v.Known:
					got = v.Position.String()
				}
				if (v.Trouble != NoTrouble) != (v.Known && v.Position == Fault) {
					t.Errorf("at %d ms: %+v", l.at, v)
				}
				if got != l.want || v.Next.Truncate(time.Millisecond) != time.Duration(l.next)*time.Millisecond {
					t.Fatalf("at %d ms %s: got %s, next look at %v; want %s, %d ms", l.at, l.seen, got, v.Next, l.want, l.next)
				}
			}
		})
	}
}

// A Pair that takes over from one that had a fault latched begins with that fault, and needs the true off.
func TestPairTakesOver(t *testing.T) {
	p := NewPair(50*time.Millisecond, 20*time.Millisecond, 200*time.Millisecond, BothOpen)
	for now := time.Duration(0); now < time.Minute; now += 10 * time.Millisecond {
		if v := p.Sample(now, Sample{Active: true}, Sample{}); !v.Known || v.Position != Fault || v.Trouble != BothOpen {
			t.Fatalf("at %v: %+v", now, v)
		}
	}
	p.Sample(time.Minute, Sample{}, Sample{Active: true})
	p.Sample(time.Minute+10*time.Millisecond, Sample{}, Sample{Active: true})
	if v := p.Sample(time.Minute+20*time.Millisecond, Sample{}, Sample{Active: true}); v.Position != Off || p.Latched() != NoTrouble {
		t.Fatalf("%+v", v)
	}
}
