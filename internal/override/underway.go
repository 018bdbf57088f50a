package override

import "sync"

// begin notes that a request of the caller is under way, if there is room and none is yet.
func (s *Service) begin(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.underWay) >= maxUnderWay || s.underWay[name] {
		return false
	}
	s.underWay[name] = true
	return true
}

func (s *Service) end(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.underWay, name)
}

// beginUser notes that one of the user's requests waits for a person, if there aren't too many.
func (s *Service) beginUser(uid uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byUser[uid] >= maxUsersUnderWay {
		return false
	}
	s.byUser[uid]++
	return true
}

func (s *Service) endUser(uid uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byUser[uid]--; s.byUser[uid] == 0 {
		delete(s.byUser, uid)
	}
}

// open counts the calls over one connection. godbus starts a goroutine for each and waits for none.
type open struct {
	mu    sync.Mutex
	over  bool
	calls sync.WaitGroup
}

// begin is false once the end has begun.
func (o *open) begin() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.over {
		return false
	}
	o.calls.Add(1)
	return true
}

func (o *open) done() { o.calls.Done() }

// end returns when no call is under way any more. The connection is closed by then, which ends each of them.
func (o *open) end() {
	o.mu.Lock()
	o.over = true
	o.mu.Unlock()
	o.calls.Wait()
}
