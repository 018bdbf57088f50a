package main

import (
	"context"
	"io"
	"log/slog"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
)

// What is given back must be there again when it is needed, constants and code alike, also while others run.
func TestUnmapCode(t *testing.T) {
	var others sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		others.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					runtime.Gosched()
					newRoot()
				}
			}
		})
	}
	for range 20 {
		if err := unmapCode(); err != nil {
			t.Fatal(err)
		}
		if help := newRoot().UsageString(); len(help) < 100 {
			t.Fatalf("usage is %q", help)
		}
	}
	close(done)
	others.Wait()
}

func TestRestEndsWithContext(t *testing.T) {
	percent := debug.SetGCPercent(100)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	rest(ctx, nil, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if got := debug.SetGCPercent(percent); got != 100 {
		t.Errorf("the collector is left at %d", got)
	}
}
