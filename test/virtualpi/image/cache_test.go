package image

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func testCache(t *testing.T) *Cache {
	t.Helper()
	c, err := Open(filepath.Join(t.TempDir(), "cache"), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func writeMarker(_ context.Context, dir string) error {
	return os.WriteFile(filepath.Join(dir, "file"), nil, 0o644)
}

func TestAFailedBuildLeavesNothing(t *testing.T) {
	c := testCache(t)
	broken := errors.New("broken")
	_, err := c.ensure(t.Context(), "k", "1", func(_ context.Context, dir string) error {
		if err := writeMarker(t.Context(), dir); err != nil {
			t.Error(err)
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("ensure = %v, want the build's own error", err)
	}
	left, err := filepath.Glob(filepath.Join(c.dir, "[^l]*-*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left: %q, %v", left, err)
	}
}

func TestAKilledBuildIsRemovedByTheNext(t *testing.T) {
	c := testCache(t)
	half := filepath.Join(c.dir, unfinished+"k-123", "deep")
	if err := os.MkdirAll(half, 0o755); err != nil {
		t.Fatal(err)
	}
	e, err := c.ensure(t.Context(), "k", "1", writeMarker)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Release()
	if _, err := os.Stat(half); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the killed build's directory: %v, want it gone", err)
	}
}

func TestManyAtOnceBuildOnce(t *testing.T) {
	c := testCache(t)
	var built atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			e, err := c.ensure(context.Background(), "k", "1", func(ctx context.Context, dir string) error {
				built.Add(1)
				return writeMarker(ctx, dir)
			})
			if err != nil {
				t.Error(err)
				return
			}
			defer e.Release()
			if _, err := os.Stat(e.Path("file")); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := built.Load(); n != 1 {
		t.Errorf("built %d times", n)
	}
}

func TestPruningKeepsWhatIsUsed(t *testing.T) {
	c := testCache(t)
	var entries []*Entry
	for _, digest := range []string{"old", "used", "recent"} {
		e, err := c.ensure(t.Context(), "k", digest, writeMarker)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	long := time.Now().Add(-2 * keep)
	for _, e := range entries[:2] {
		if err := os.Chtimes(e.Dir, long, long); err != nil {
			t.Fatal(err)
		}
	}
	if err := entries[0].Release(); err != nil {
		t.Fatal(err)
	}
	defer entries[1].Release()
	defer entries[2].Release()
	e, err := c.ensure(t.Context(), "k", "new", writeMarker)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Release()
	for i, want := range []bool{false, true, true} {
		if _, err := os.Stat(entries[i].Dir); (err == nil) != want {
			t.Errorf("%s: there = %t, want %t", entries[i].Dir, err == nil, want)
		}
	}
}
