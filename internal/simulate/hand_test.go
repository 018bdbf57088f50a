package simulate

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"keyswitchd/gpio"
)

// What the hand expects the key to read as is what a real Key makes of the board that it turns.
func TestHand(t *testing.T) {
	one := gpio.KeyConfig{Line: "GPIO17", DebounceOn: 50 * time.Millisecond, DebounceOff: 50 * time.Millisecond}
	two := one
	two.Second, two.ChangeOver = "GPIO22", 500*time.Millisecond
	for _, c := range []struct {
		cfg           gpio.KeyConfig
		script, reads string
	}{
		{one, "on off bounce cut mend bounce", "on off on fault on off"},
		{two, "on off bounce bounce on off", "on off on off on off"},
		{two, "cut mend on cut mend off on", "fault off on fault fault off on"},
		{two, "cut-second on mend off on", "fault fault fault off on"},
		{two, "short-key mend on", "fault off on"},
		{two, "on cut-key mend off", "on fault fault off"},
		{two, "on short-second off mend", "on fault off off"},
		{two, "on cut-second off mend on", "on on fault off on"},
		{two, "short-second on off", "off fault off"},
		{two, "cut-key on off on", "off fault off fault"},
		{two, "short-key short-second off mend", "fault fault fault off"},
	} {
		t.Run(c.script, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				steps, err := ParseScript(c.script)
				if err != nil {
					t.Fatal(err)
				}
				o := Options{}
				o.Config.Key = c.cfg
				board := gpio.NewSimulated()
				h := o.hand(board)
				key := gpio.Off
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				ended := make(chan error)
				go func() {
					ended <- gpio.NewKey(board, c.cfg).Run(ctx, func(r gpio.Reading) { key = r.Position })
				}()
				var reads []string
				for _, s := range steps {
					h.do(s.word)
					time.Sleep(15 * time.Second) // a line that can't be read is tried again after 10 s at the latest
					synctest.Wait()
					if h.reads() != key {
						t.Errorf("%s: the hand expects %v, the key is %v", s.text, h.reads(), key)
					}
					reads = append(reads, key.String())
				}
				if got := strings.Join(reads, " "); got != c.reads {
					t.Errorf("%s: got %s, want %s", c.script, got, c.reads)
				}
				stop()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			})
		})
	}
}
