package main

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// The targets, as ratios to the same run's bare systemctl, or in the units of the table.
const (
	wantOn       = 1.15
	wantOff      = 0.8
	wantSwitches = 4
	wantPss      = 8 << 10  // KiB
	wantSize     = 12 << 20 // bytes, arm64
)

// table is everything that was measured.
type table struct {
	bare, first, key times
	closed, open     rest
	sizes            []size
}

type size struct {
	file  string
	bytes int64
}

func (t *table) print(out io.Writer, o options) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\nms, of %d\ton: median\tmin..max\toff: median\tmin..max\n", len(t.key.on))
	row := func(name string, x times) {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", name, ms(median(x.on)), span(x.on), ms(median(x.off)), span(x.off))
	}
	row("bare systemctl", t.bare)
	row("key, first turn after arming", t.first)
	row("key", t.key)
	w.Flush()

	fmt.Fprintf(w, "\n\tmeasured\ttarget\t\n")
	ratio := func(key, bare []time.Duration) float64 {
		return float64(median(key)-o.debounce) / float64(median(bare))
	}
	line := func(name string, got, want float64, format, unit string) {
		verdict := "reached"
		if got > want {
			verdict = "missed"
		}
		fmt.Fprintf(w, "%s\t"+format+"%s\t"+format+"%s\t%s\n", name, got, unit, want, unit, verdict)
	}
	line(fmt.Sprintf("on, (key - %s) / bare", o.debounce), ratio(t.key.on, t.bare.on), wantOn, "%.2f", "")
	line(fmt.Sprintf("off, (key - %s) / bare", o.debounce), ratio(t.key.off, t.bare.off), wantOff, "%.2f", "")
	perMinute := float64(time.Minute) / float64(o.idle)
	line("context switches a minute, closed", float64(t.closed.switches)*perMinute, wantSwitches, "%.0f", "")
	fmt.Fprintf(w, "context switches a minute, open\t%.0f\n", float64(t.open.switches)*perMinute)
	line("Pss, closed", float64(t.closed.pss)/1024, wantPss>>10, "%.1f", " MB")
	line("Pss, open", float64(t.open.pss)/1024, wantPss>>10, "%.1f", " MB")
	for _, s := range t.sizes {
		name := filepath.Base(s.file)
		if mb := float64(s.bytes) / (1 << 20); strings.Contains(name, "arm64") {
			line("size of "+name, mb, wantSize>>20, "%.1f", " MB")
		} else {
			fmt.Fprintf(w, "size of %s\t%.1f MB\n", name, mb)
		}
	}
	w.Flush()
}

func median(d []time.Duration) time.Duration {
	s := slices.Sorted(slices.Values(d))
	n := len(s)
	if n == 0 {
		return 0
	}
	return (s[(n-1)/2] + s[n/2]) / 2
}

func span(d []time.Duration) string { return ms(slices.Min(d)) + ".." + ms(slices.Max(d)) }

func ms(d time.Duration) string { return fmt.Sprintf("%.0f", d.Seconds()*1000) }
