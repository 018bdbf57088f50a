package sshctl

import (
	"context"
	"sync"

	"github.com/godbus/dbus/v5"
)

// jobs matches the ends of jobs (JobRemoved) with the calls that enqueued them. go-systemd can do that too, but it holds one
// lock from the call to its reply, so a StopUnit would wait for the polkit check of a StartUnit before it.
type jobs struct {
	mu      sync.Mutex
	calls   int                 // calls on their way, whose job's number isn't known yet
	early   map[int]string      // jobs that ended meanwhile, any unit's
	waiting map[int]chan string // jobs with a known number
}

func (j *jobs) init() {
	j.early = make(map[int]string)
	j.waiting = make(map[int]chan string)
}

// removed takes the end of a job.
func (j *jobs) removed(id int, result string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if ch, ok := j.waiting[id]; ok {
		ch <- result // capacity 1, sent once
		delete(j.waiting, id)
	} else if j.calls > 0 {
		j.early[id] = result
	}
}

// job is an enqueued job.
type job struct {
	link *link
	id   int
	end  chan string
	born <-chan struct{} // closed when systemd comes back to the bus
}

// enqueue sends one StartUnit, StopUnit or RestartUnit and returns when systemd has accepted the job. A stop replaces whatever
// is pending. A start gives way (mode "fail"): it needs keyswitchd.service, and would otherwise cancel the stop of the daemon
// that somebody has just asked for.
func (l *link) enqueue(ctx context.Context, verb, unit string) (job, error) {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	call := l.sd.StartUnitContext
	switch verb {
	case "stop":
		call = l.sd.StopUnitContext
	case "restart":
		call = l.sd.RestartUnitContext
	}
	l.jobs.mu.Lock()
	l.jobs.calls++
	l.jobs.mu.Unlock()
	born := *l.reborn.Load()

	mode := "replace"
	if verb == "start" {
		mode = "fail"
	}
	id, err := call(ctx, unit, mode, nil)

	l.jobs.mu.Lock()
	defer l.jobs.mu.Unlock()
	l.jobs.calls--
	end := make(chan string, 1)
	if err == nil {
		if result, ok := l.jobs.early[id]; ok {
			end <- result
		} else {
			l.jobs.waiting[id] = end
		}
	}
	if l.jobs.calls == 0 {
		clear(l.jobs.early)
	}
	if err != nil && context.Cause(ctx) != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return job{link: l, id: id, end: end, born: born}, err
}

// wait returns systemd's result of the job; "lost" when systemd was re-executed and has forgotten it.
func (j job) wait(ctx context.Context) (string, error) {
	defer func() {
		j.link.jobs.mu.Lock()
		delete(j.link.jobs.waiting, j.id)
		j.link.jobs.mu.Unlock()
	}()
	born := j.born
	for {
		select {
		case result := <-j.end:
			return result, nil
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-j.link.done():
			return "", errAway
		case <-born:
			// Jobs outlive a re-execution, but one that ended just then did so unheard.
			born = *j.link.reborn.Load()
			known, err := j.known(ctx)
			if err != nil && !transient(err) {
				return "", err
			}
			if err == nil && !known {
				select {
				case result := <-j.end:
					return result, nil
				default:
					return "lost", nil
				}
			}
		}
	}
}

// known asks systemd whether it still has the job.
func (j job) known(ctx context.Context) (bool, error) {
	ctx, cancel := j.link.bound(ctx)
	defer cancel()
	var path dbus.ObjectPath
	err := j.link.conn.Object(systemdName, systemdPath).
		CallWithContext(ctx, managerIface+".GetJob", 0, uint32(j.id)).Store(&path)
	if errName(err) == "org.freedesktop.systemd1.NoSuchJob" {
		return false, nil
	}
	return err == nil, err
}
