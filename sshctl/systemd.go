package sshctl

import (
	"context"
	"errors"
	"slices"
	"time"
)

// How long to wait before the bus is tried again: doubling from the first to the second.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// SystemdConfig says where systemd is. The zero value is right for every real machine.
type SystemdConfig struct {
	// Address of the bus in D-Bus notation. Default [SystemBus].
	Address string
	// Units are further units that the same key guards: NAME.service or NAME.socket. A socket's services are guarded along.
	Units []string
}

// Systemd is the Door of a machine that runs systemd. It needs no privilege but what polkit grants.
type Systemd struct {
	address string
	units   []string // SystemdConfig.Units

	news            // of anything below
	link     *link  // the connection; nil before its first reading and after its end
	way      string // the way in as of the last reading
	known    facts  // the last reading
	stops    uint64 // Stops begun so far
	stopping int    // Stops at work
	starting int    // StartUnit calls on their way to systemd, not yet accepted
}

var _ Door = (*Systemd)(nil)

// NewSystemd makes the Door. Nothing is connected before Run.
func NewSystemd(cfg SystemdConfig) *Systemd {
	if cfg.Address == "" {
		cfg.Address = SystemBus
	}
	return &Systemd{address: cfg.Address, units: slices.Clone(cfg.Units), news: newNews(), way: Service,
		known: facts{others: find(cfg.Units, nil)}}
}

// Run implements Door. It sleeps without a timer while the bus is there and nothing changes.
func (s *Systemd) Run(ctx context.Context, report func(State)) error {
	var last *State
	tell := func(st State) {
		if last == nil || !last.same(st) {
			last = &st
			report(st)
		}
	}
	for retry := firstRetry; ctx.Err() == nil; retry = min(2*retry, lastRetry) {
		l, err := dial(ctx, s.address)
		if err == nil {
			var read bool
			read, err = s.follow(ctx, l, tell)
			l.close()
			if read {
				retry = firstRetry
			}
		}
		if ctx.Err() != nil {
			break
		}
		tell(s.unknown(err))
		sleep(ctx, retry, nil)
	}
	return nil
}

// sleep waits for d, for ctx, or for wake.
func sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-wake:
	}
}

// unknown is the state when systemd can't be asked.
func (s *Systemd) unknown(err error) State {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := State{Active: "unknown", Unit: s.way, Err: err}
	for _, o := range s.known.tell() {
		o.Active, o.Result = "unknown", ""
		st.Others = append(st.Others, o)
	}
	return st
}

// follow reports from one connection until it ends. read tells whether systemd could ever be asked over it.
func (s *Systemd) follow(ctx context.Context, l *link, tell func(State)) (read bool, err error) {
	defer func() {
		s.mu.Lock()
		s.link = nil
		s.ring()
		s.mu.Unlock()
	}()
	if err := l.watch(ctx); err != nil {
		return false, err
	}
	var (
		known    facts
		sessions int
		recount  bool                    // without logind nobody tells of sessions
		matched  = make(map[string]bool) // other units whose signals are asked for
		retry    = firstRetry
	)
	stale := uint32(staleOwner | staleFiles | staleUnits | staleSessions)
	for {
		if stale&staleOwner != 0 {
			err = l.subscribe(ctx)
		}
		if err == nil && stale&(staleUnits|staleFiles|staleOwner) != 0 {
			known, err = l.read(ctx, s.units, known, stale&staleFiles != 0)
			if err == nil {
				err = l.follow(ctx, known, matched)
			}
		}
		if err == nil && (recount || stale&staleSessions != 0) {
			sessions, recount = l.countSessions(ctx)
		}
		if err == nil {
			read, retry, stale = true, firstRetry, 0
			st := known.state(sessions)
			s.mu.Lock()
			s.link, s.way, s.known = l, st.Unit, known
			s.ring()
			s.mu.Unlock()
			tell(st)
		}
		if !l.conn.Connected() || ctx.Err() != nil {
			return read, errors.New("sshctl: the system bus closed the connection; is dbus running? type: systemctl status dbus")
		}
		if err != nil {
			// Still on the bus, but systemd doesn't answer: it re-executes itself, or worse.
			known = facts{}
			tell(s.unknown(err))
			stale = staleOwner | staleFiles | staleUnits | staleSessions
			sleep(l.conn.Context(), retry, l.poke)
			retry, err = min(2*retry, lastRetry), nil
		} else {
			select {
			case <-l.poke:
			case <-l.done():
			case <-ctx.Done():
			}
		}
		stale |= l.stale.Swap(0)
	}
}
