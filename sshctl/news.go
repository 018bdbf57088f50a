package sshctl

import (
	"context"
	"sync"
)

// news is a lock whose holders can tell the others that something under it has changed.
type news struct {
	mu   sync.Mutex
	bell chan struct{} // closed and replaced by ring
}

func newNews() news { return news{bell: make(chan struct{})} }

// ring wakes all who wait for a change. n.mu is held.
func (n *news) ring() {
	close(n.bell)
	n.bell = make(chan struct{})
}

// set changes what is under the lock and wakes all who wait.
func (n *news) set(change func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change()
	n.ring()
}

// await returns nil as soon as ok holds; ok is called with n.mu held.
func (n *news) await(ctx context.Context, ok func() bool) error {
	for {
		n.mu.Lock()
		yes, bell := ok(), n.bell
		n.mu.Unlock()
		if yes {
			return nil
		}
		select {
		case <-bell:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
