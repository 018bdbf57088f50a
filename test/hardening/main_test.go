//go:build sshds

package hardening

import (
	"flag"
	"testing"

	"keyswitchd/test/sshds"
)

var (
	trees = flag.Int("trees", 2000, "random configuration trees a release")
	small = flag.Bool("small", true, "look for the smallest tree with the same problem, which takes a while")
	seed  = flag.Uint64("seed", 1, "seed of the first tree; each next one has the next number")
)

func TestMain(m *testing.M) {
	flag.Parse()
	sshds.Main(m, map[string]func([]string) error{"serve": serve})
}
