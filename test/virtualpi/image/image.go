package image

import (
	"context"
	"errors"
	"sync"
)

// Set is what a machine boots from.
type Set struct{ Kernel, Root, Guest *Entry }

// All returns what a machine of a suite boots from. What is missing is made, side by side.
func (c *Cache) All(ctx context.Context, suite string) (*Set, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var set Set
	var errs [3]error
	var making sync.WaitGroup
	for i, part := range []struct {
		to   **Entry
		make func() (*Entry, error)
	}{
		{&set.Kernel, func() (*Entry, error) { return c.Kernel(ctx) }},
		{&set.Root, func() (*Entry, error) { return c.Root(ctx, suite) }},
		{&set.Guest, func() (*Entry, error) { return c.Guest(ctx) }},
	} {
		making.Go(func() {
			if *part.to, errs[i] = part.make(); errs[i] != nil {
				cancel(errs[i]) // the others needn't go on
			}
		})
	}
	making.Wait()
	if context.Cause(ctx) != nil {
		return nil, errors.Join(context.Cause(ctx), set.Release())
	}
	return &set, nil
}

// Release ends the use of all of it.
func (s *Set) Release() error {
	var err error
	for _, e := range []*Entry{s.Kernel, s.Root, s.Guest} {
		if e != nil {
			err = errors.Join(err, e.Release())
		}
	}
	return err
}
