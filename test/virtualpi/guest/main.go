// Command guest is the virtual Pi's inside: it prepares the machine before systemd starts, then carries
// out what the outside asks for over the serial line.
//
// It puts nothing on the disk, runs no unit and needs no bus, so the machine that the tests see is Debian's,
// and a test that stops units or breaks the bus doesn't break the way it is watched. It is never part of keyswitchd.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	var err error
	switch {
	case filepath.Base(os.Args[0]) == "key":
		err = keyCommand(os.Args[1:], os.Stdout)
	case filepath.Base(os.Args[0]) == "led":
		err = ledCommand(os.Stdout)
	case len(os.Args) == 2 && os.Args[1] == "serve":
		err = serve(os.NewFile(3, "serial line"))
	case len(os.Args) > 1 && os.Args[1] == "hold":
		err = hold(os.Args[2:])
	case os.Getpid() == 1:
		err = initMachine()
	default:
		err = fmt.Errorf("guest: this is the inside of the virtual Pi; start it from outside with `virtualpi shell`")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
