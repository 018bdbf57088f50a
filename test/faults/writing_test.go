//go:build virtualpi

package faults

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"keyswitchd/test/inside"
)

// What a machine is told whose power is going to be cut.
const (
	writingVar = "FAULTS_WRITING" // "learn", or the seed of what it does
	sshdConfig = "/etc/ssh/sshd_config"
	// stockConfig is sshd_config as Debian installs it, kept from before the first change.
	stockConfig = "/root/sshd_config.stock"
)

// contents are the digests that files may have, by path.
type contents map[string]map[string]bool

func (c contents) add(path string, content []byte) {
	if c[path] == nil {
		c[path] = map[string]bool{}
	}
	c[path][digest(content)] = true
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:8])
}

// policies are configurations by turns, so that each start of SSH has something to write.
var policies = []string{"", "[hardening]\nmax-auth-tries = 2\n"}

// write is what runs in a machine whose power is going to be cut: it turns the key, and sees to it that each opening writes.
func write(what string, out io.Writer) error {
	if os.Getenv("VIRTUALPI") == "" {
		return fmt.Errorf("faults: this is for the virtual Pi")
	}
	if what == "learn" {
		return learn(out)
	}
	var seed uint64
	if _, err := fmt.Sscan(what, &seed); err != nil {
		return fmt.Errorf("faults: reading the seed: %w", err)
	}
	random := rand.New(rand.NewPCG(seed, 1))
	stock, err := os.ReadFile(stockConfig)
	if err != nil {
		return err
	}
	for n := 0; ; n++ {
		if err := spoil(stock, n); err != nil {
			return err
		}
		if random.IntN(4) == 0 { // by hand, with the key off
			if err := run("/usr/sbin/keyswitchd", "harden", "--quiet"); err != nil {
				return err
			}
			continue
		}
		if err := inside.SetKey(true); err != nil {
			return err
		}
		time.Sleep(time.Duration(random.Int64N(int64(2 * time.Second))))
		if err := inside.SetKey(false); err != nil {
			return err
		}
		time.Sleep(time.Duration(random.Int64N(int64(300 * time.Millisecond))))
	}
}

// spoil changes the policy, and has sshd's own file contradict it, as an admin's editor would.
func spoil(stock []byte, n int) error {
	if err := replace(configFile, []byte(baseConfig+policies[n%len(policies)])); err != nil {
		return err
	}
	return replace(sshdConfig, append(stock[:len(stock):len(stock)], "PasswordAuthentication yes\n"...))
}

// replace puts a file in place whole, so that the cut finds fault with keyswitchd's files only.
func replace(path string, content []byte) error {
	f, err := os.CreateTemp("/root", "fault-*")
	if err != nil {
		return err
	}
	if _, err = f.Write(content); err == nil {
		if err = f.Chmod(0o644); err == nil {
			err = f.Sync()
		}
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	return err
}

// learn goes through all that write does, one after the other, and prints what the files may hold.
func learn(out io.Writer) error {
	stock, err := os.ReadFile(sshdConfig)
	if err != nil {
		return err
	}
	if err := replace(stockConfig, stock); err != nil {
		return err
	}
	known := contents{}
	if err := known.read(""); err != nil {
		return err
	}
	for n := range policies {
		if err := spoil(stock, n); err != nil {
			return err
		}
		if err := known.read(""); err != nil {
			return err
		}
		if err := run("/usr/sbin/keyswitchd", "harden", "--quiet"); err != nil {
			return err
		}
		if err := known.read(""); err != nil {
			return err
		}
	}
	return json.NewEncoder(out).Encode(known)
}

// read adds what there is under root.
func (c contents) read(root string) error {
	for _, dir := range []string{"/etc/ssh", "/usr/lib/keyswitchd/interlock"} {
		err := filepath.WalkDir(root+dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return err
			}
			content, err := os.ReadFile(path)
			if err == nil {
				c.add(strings.TrimPrefix(path, root), content)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
