package hardening

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

const (
	// runLimit bounds one program's output. `sshd -T` prints about 5 KB.
	runLimit = 1 << 20
	// runTime bounds one program's run; an sshd that doesn't answer `-T` by then won't. A Pi Zero takes
	// half a second at worst.
	runTime = 30 * time.Second
	// pipeTime is how long its output may take to be read once it has ended. A busy machine has taken more than a second for it; only
	// a child that the program leaves behind with its pipes would take for ever.
	pipeTime = 15 * time.Second
)

// output is what a program printed.
type output struct {
	stdout, stderr string
}

// explain joins what went wrong with what the program itself said of it.
func (o output) explain(err error) error {
	said := strings.Join(strings.FieldsFunc(o.stderr, func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
	if said == "" {
		return err
	}
	if len(said) > 1000 {
		said = said[:1000] + "..."
	}
	return fmt.Errorf("%s (%w)", said, err)
}

// runner runs a program to its end. The error is nil only if it exited with 0 and all of its output is there.
type runner func(ctx context.Context, path string, args ...string) (output, error)

// runProgram is the runner of the real system.
func runProgram(ctx context.Context, path string, args ...string) (output, error) {
	ctx, cancel := context.WithTimeout(ctx, runTime)
	defer cancel()
	var stdout, stderr bounded
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = pipeTime
	err := cmd.Run()
	if ctx.Err() != nil {
		err = fmt.Errorf("it did not end in time: %w", ctx.Err())
	}
	if err == nil && (stdout.cut || stderr.cut) {
		err = errors.New("it printed more than expected")
	}
	return output{stdout.kept.String(), stderr.kept.String()}, err
}

// bounded keeps the first runLimit bytes and swallows the rest, so that the program isn't stopped by a
// full pipe. It embeds no bytes.Buffer: io.Copy would go round Write by its ReadFrom.
type bounded struct {
	kept bytes.Buffer
	cut  bool
}

// Write keeps what there is room for and never fails.
func (b *bounded) Write(p []byte) (int, error) {
	room := runLimit - b.kept.Len()
	if len(p) > room {
		b.cut = true
	}
	b.kept.Write(p[:min(room, len(p))])
	return len(p), nil
}
