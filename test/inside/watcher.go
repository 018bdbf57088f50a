package inside

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"sync"
	"time"
)

// roleVar names what a second process of the test binary is to do instead of testing, and pauseVar how long to wait after a
// connection that was refused.
const (
	roleVar  = "INSIDE_ROLE"
	pauseVar = "INSIDE_PAUSE"
)

// Role ends the process with the work of a second process, if it is one. It comes first in TestMain.
func Role() {
	switch os.Getenv(roleVar) {
	case "":
	case "watch":
		pause, err := time.ParseDuration(os.Getenv(pauseVar))
		if err != nil {
			fmt.Fprintln(os.Stderr, "inside:", err)
			os.Exit(64)
		}
		os.Exit(watch(os.Stdout, pause))
	default:
		fmt.Fprintln(os.Stderr, "inside: no such role:", os.Getenv(roleVar))
		os.Exit(64)
	}
}

// Watcher is the process that tries to connect to SSH all the time, as its starter sees it.
type Watcher struct {
	cmd   *exec.Cmd
	stdin io.Closer
	done  chan struct{}

	mu     sync.Mutex
	knocks []Knock
	err    error
}

// StartWatcher returns when the watcher watches. Stop it. It waits for pause after each connection that was refused: there is one
// processor for all.
func StartWatcher(pause time.Duration) (*Watcher, error) {
	w := &Watcher{cmd: exec.Command("/proc/self/exe"), done: make(chan struct{})}
	w.cmd.Env = append(os.Environ(), roleVar+"=watch", pauseVar+"="+pause.String())
	w.cmd.Stderr = os.Stderr
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("inside: starting the watcher: %w", err)
	}
	if w.stdin, err = w.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("inside: starting the watcher: %w", err)
	}
	if err := w.cmd.Start(); err != nil {
		return nil, fmt.Errorf("inside: starting the watcher: %w", err)
	}
	in := json.NewDecoder(bufio.NewReader(out))
	var ready Knock
	if err := in.Decode(&ready); err != nil {
		w.stdin.Close()
		return nil, errors.Join(fmt.Errorf("inside: the watcher does not watch: %w", err), w.cmd.Wait())
	}
	go func() { // ends with the process, for which Stop waits
		defer close(w.done)
		for {
			var k Knock
			if err := in.Decode(&k); err != nil {
				if !errors.Is(err, io.EOF) {
					w.err = err
				}
				return
			}
			w.mu.Lock()
			w.knocks = append(w.knocks, k)
			w.mu.Unlock()
		}
	}()
	return w, nil
}

// Stop ends the watcher and returns each connection it was granted.
func (w *Watcher) Stop() ([]Knock, error) {
	w.stdin.Close()
	<-w.done
	err := w.cmd.Wait()
	if err = errors.Join(err, w.err); err != nil {
		return nil, fmt.Errorf("inside: the watcher: %w", err)
	}
	return w.knocks, nil
}

// Knocks returns the connections granted so far.
func (w *Watcher) Knocks() []Knock {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.knocks)
}

// Alive reports why the watcher no longer watches, if it doesn't.
func (w *Watcher) Alive() error {
	select {
	case <-w.done:
		return errors.New("inside: the watcher ended by itself")
	default:
		return nil
	}
}
