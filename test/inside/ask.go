package inside

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"

	"keyswitchd/internal/status"
)

// Telephone keeps one connection to the bus, because making one for each question takes more than the question itself. The
// zero value is ready; it is safe for several goroutines.
type Telephone struct {
	mu   sync.Mutex
	conn *dbus.Conn
}

// Ask asks the daemon on the bus, without a process of its own, for ten seconds at most.
func (p *Telephone) Ask() (status.Status, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if p.conn == nil {
		// Not under ctx: the connection is kept.
		conn, err := dbus.ConnectSystemBus()
		if err != nil {
			return status.Status{}, fmt.Errorf("inside: asking for the status: %w", err)
		}
		p.conn = conn
	}
	s, err := status.Ask(ctx, p.conn)
	if err != nil {
		p.conn.Close() // the next question is asked on a new one: this may be what was wrong
		p.conn = nil
	}
	return s, err
}
