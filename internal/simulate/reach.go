package simulate

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// reachWithin bounds one login and one look at the port. It is only ever waited for if something is wrong.
const reachWithin = time.Minute

// login logs in as a person would, with the line to try, and runs `true` there.
func (p *pi) login(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, reachWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, sshPath, "-F", p.folder.file("ssh"), "-o", "BatchMode=yes", alias, "true")
	cmd.Env, cmd.Dir = cleanEnv(p.user), "/"
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return fmt.Errorf("a login by ssh does not work: %w: %s", err, strings.ReplaceAll(string(bytes.TrimSpace(out)), "\n", "; "))
	}
	return nil
}

// address is where the Pi listens, when it does.
func (p *pi) address() string { return fmt.Sprintf("%s:%d", host, p.port) }

// refused says how a connection to the port is not refused.
func (p *pi) refused(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, reachWithin)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp4", p.address())
	switch {
	case err == nil:
		conn.Close()
		return fmt.Errorf("something accepts connections on %s", p.address())
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil
	default:
		return fmt.Errorf("%s does not refuse connections: %w", p.address(), err)
	}
}

// half is a connection that has said hello and will never log in.
type half struct{ net.Conn }

func (p *pi) halfOpen(ctx context.Context) (*half, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp4", p.address())
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", p.address(), err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(reachWithin)); err != nil {
		conn.Close()
		return nil, err
	}
	hello, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || !strings.HasPrefix(hello, "SSH-2.0-") {
		conn.Close()
		return nil, fmt.Errorf("connecting to %s: it says %q, which is not SSH (%v)", p.address(), hello, err)
	}
	return &half{conn}, nil
}

// isCut says how the connection still lives. It closes it.
func (h *half) isCut() error {
	defer h.Close()
	_, err := io.Copy(io.Discard, h)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errors.New("a connection that was half logged in is still there")
	}
	return nil // closed or reset by the other side
}
