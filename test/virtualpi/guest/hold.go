package main

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// hold runs outside, as process 1 of a name space of the host, around the kernel's process: when either end dies, however
// it dies, all that the kernel started on the host dies too. The kernel can't be process 1 itself: it ends a panic with a
// signal to itself, and process 1 doesn't get those.
func hold(args []string) error {
	if len(args) == 0 {
		return errors.New("guest: holding nothing; name the kernel")
	}
	files := make([]*os.File, 5) // standard ones, the serial line, the overlay
	for fd := range files {
		files[fd] = os.NewFile(uintptr(fd), fmt.Sprint("descriptor ", fd))
	}
	kernel, err := os.StartProcess(args[0], args, &os.ProcAttr{
		Env: os.Environ(), Files: files,
		Sys: &syscall.SysProcAttr{Setpgid: true},
	})
	if err != nil {
		return fmt.Errorf("guest: starting the kernel: %w", err)
	}
	for _, f := range files[3:] {
		f.Close() // the end of the line must be seen
	}
	state, err := kernel.Wait()
	if err != nil {
		return fmt.Errorf("guest: waiting for the kernel: %w", err)
	}
	if !state.Success() {
		return fmt.Errorf("guest: the kernel ended: %s", state)
	}
	return nil
}
