//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A connection that has not logged in is cut when the key is turned off.
func TestHalfOpenConnectionIsCut(t *testing.T) {
	begin(t)
	turn(t, true)
	await(t, "open", opened())
	conn, err := net.Dial("tcp", "127.0.0.1:22")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	in := bufio.NewReader(conn)
	if banner, err := in.ReadString('\n'); err != nil || !strings.HasPrefix(banner, "SSH-2.0-") {
		t.Fatalf("banner: %q, %v", banner, err)
	}
	turn(t, false)
	await(t, "closed", shut())
	var end error
	for end == nil { // the key exchange that sshd had sent already
		_, end = in.ReadByte()
	}
	if errors.Is(end, os.ErrDeadlineExceeded) {
		t.Error("the connection lives on although SSH is closed")
	}
}

const (
	askedVar  = "E2E_ASKED"  // the file that says: ssh has asked
	answerVar = "E2E_ANSWER" // the file whose coming lets the answer go
	phrase    = "turn the key"
)

// askpass answers ssh's question for the passphrase, but only when it is told to.
func askpass() int {
	if err := os.WriteFile(os.Getenv(askedVar), nil, 0o600); err != nil {
		fmt.Fprintln(os.Stderr, "askpass:", err)
		return 1
	}
	for missing(os.Getenv(answerVar)) {
		time.Sleep(10 * time.Millisecond)
	}
	fmt.Println(phrase)
	return 0
}

// A login that is one answer away from its end when the key is turned off can't be finished. With the key left on, the
// same login succeeds.
func TestHalfLoginCannotFinish(t *testing.T) {
	for _, off := range []bool{false, true} {
		t.Run(map[bool]string{false: "key left on", true: "key turned off"}[off], func(t *testing.T) {
			begin(t)
			key := freshKey(t, phrase)
			turn(t, true)
			await(t, "open", opened())

			dir := t.TempDir()
			asked, answer := filepath.Join(dir, "asked"), filepath.Join(dir, "answer")
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			args := sshArgs(key, "echo", "in")
			login := exec.Command(args[0], args[1:]...)
			login.Env = append(os.Environ(), roleVar+"=askpass", askedVar+"="+asked, answerVar+"="+answer, "SSH_ASKPASS="+self, "SSH_ASKPASS_REQUIRE=force")
			var out bytes.Buffer
			login.Stdout, login.Stderr = &out, &out
			if err := login.Start(); err != nil {
				t.Fatal(err)
			}
			// sshd has accepted the key by now; only the signature is missing.
			err = waitFor(func() error {
				if missing(asked) {
					return errors.New("ssh has not asked yet")
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
			if off {
				turn(t, false)
				await(t, "closed", shut())
			}
			if err := os.WriteFile(answer, nil, 0o600); err != nil {
				t.Error(err)
			}
			err = login.Wait()
			if in := strings.Contains(out.String(), "in\n"); in == off || (err == nil) == off {
				t.Errorf("logged in: %t, want %t: %v: %s", in, !off, err, &out)
			}
		})
	}
}
