//go:build virtualpi

package faults

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"keyswitchd/test/virtualpi/vm"
)

var (
	rowsFlag = flag.String("rows", "", "only the rows whose names match; what is in docs/faults.md is not compared then")
	update   = flag.Bool("update", false, "write docs/faults.md")
	outFlag  = flag.String("out", "", "a file to which each row and each machine's figures are added as JSON")
)

// machines are the virtual Pis, and what goes wrong in each.
var machines = [][]section{
	{daemonFaults, lineFaults, secondFaults},
	{sshFaults, sessionFaults, clockFaults},
	{busFaults, systemdFaults},
	{frozenFaults, chatterFaults, machineFaults},
}

func kill(pid int) error { return syscall.Kill(pid, syscall.SIGKILL) }

// image is the tree that `make install DESTDIR=` has made.
func image(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("KEYSWITCHD_IMAGE")
	if dir == "" {
		dir = "../../build/image"
	}
	if _, err := os.Stat(filepath.Join(dir, "usr/sbin/keyswitchd")); err != nil {
		t.Fatalf("%v; make install DESTDIR=DIR makes it, KEYSWITCHD_IMAGE=DIR names it", err)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestFaults has everything go wrong.
func TestFaults(t *testing.T) {
	t.Logf("-seed %d", *seed)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	dir := image(t)
	which := regexp.MustCompile(*rowsFlag)
	var (
		mu      sync.Mutex
		rows    []row
		figures []reach
	)
	done := func(r row) {
		mu.Lock()
		defer mu.Unlock()
		rows = append(rows, r)
		addJSON(t, report{Row: &r})
		t.Logf("%5.1f s  %s: %s: %s [%s]", r.Took.Seconds(), r.closed(), r.Name, r.Happened, r.Said)
		if r.Err != "" {
			t.Errorf("%s: %s", r.Name, r.Err)
		}
	}
	var work []func() error
	for n := range machines {
		if chosen(which, machines[n]...) {
			work = append(work, func() error {
				f, err := breakOne(ctx, dir, n, t.Output(), done)
				mu.Lock()
				defer mu.Unlock()
				figures = append(figures, f)
				addJSON(t, report{Reach: &f})
				t.Logf("machine %d: bare %v, key off %v, killed %v", n, median(f.Bare), median(f.KeyOff), median(f.Killed))
				return err
			})
		}
	}
	if which.MatchString(bootTitle) {
		work = append(work, func() error { return bootWithout(ctx, dir, t.Output(), done) })
	}
	if which.MatchString(cutTitle) {
		work = append(work, func() error {
			done(powerCuts(ctx, dir, newCutters(*seed)))
			return nil
		})
	}
	// Much of the time is waiting, so there is one more than there are processors.
	room := make(chan struct{}, runtime.NumCPU()+1)
	var all sync.WaitGroup
	for _, do := range work {
		room <- struct{}{}
		all.Go(func() {
			defer func() { <-room }()
			if err := do(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if *rowsFlag == "" && !t.Failed() {
		compare(t, document(inOrder(rows), figures))
	}
}

// addJSON adds a line to the file of -out.
func addJSON(t *testing.T, r report) {
	if *outFlag == "" {
		return
	}
	line, err := json.Marshal(r)
	if err == nil {
		var f *os.File
		if f, err = os.OpenFile(*outFlag, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644); err == nil {
			_, err = f.Write(append(line, '\n'))
			err = errors.Join(err, f.Close())
		}
	}
	if err != nil {
		t.Error(err)
	}
}

// inOrder sorts the rows as they are listed: they come as they are done.
func inOrder(rows []row) []row {
	place := map[string]int{}
	for _, sections := range machines {
		for _, s := range sections {
			for _, f := range s.Faults {
				place[f.Name] = len(place)
			}
		}
	}
	for _, a := range absences {
		place[a.Name] = len(place)
	}
	at := func(r row) int {
		if n, ok := place[r.Name]; ok {
			return n
		}
		return len(place)
	}
	return slices.SortedStableFunc(slices.Values(rows), func(a, b row) int { return cmp.Compare(at(a), at(b)) })
}

// chosen says whether any row of a machine is to be run.
func chosen(which *regexp.Regexp, sections ...section) bool {
	for _, s := range sections {
		for _, f := range s.Faults {
			if which.MatchString(f.Name) {
				return true
			}
		}
	}
	return false
}

// breakOne boots a machine, and has this very program break it from inside.
func breakOne(ctx context.Context, image string, n int, log io.Writer, done func(row)) (figures reach, err error) {
	self, err := os.Executable()
	if err != nil {
		return figures, err
	}
	machine, err := vm.Boot(ctx, vm.Config{
		Install: []string{image}, Key: vm.KeyOff,
		Shares: []vm.Share{{Host: filepath.Dir(self), Guest: filepath.Dir(self), ReadOnly: true}},
	})
	if err != nil {
		return figures, err
	}
	defer func() { err = errors.Join(err, machine.Close()) }()
	out, in := io.Pipe()
	c := machine.Command(self)
	c.Env = []string{machineVar + "=" + strconv.Itoa(n), rowsVar + "=" + *rowsFlag}
	c.Stdout, c.Stderr = in, log
	if err := c.Start(); err != nil {
		return figures, err
	}
	var read sync.WaitGroup
	var readErr error
	read.Go(func() {
		for lines := json.NewDecoder(out); ; {
			var r report
			if readErr = lines.Decode(&r); readErr != nil {
				return
			}
			if r.Row != nil {
				done(*r.Row)
			}
			if r.Reach != nil {
				figures = *r.Reach
			}
		}
	})
	code, err := c.Wait(ctx)
	in.Close()
	read.Wait()
	if err == nil && code != 0 {
		err = fmt.Errorf("it ended with %d; the end of its console:\n%s", code, machine.Console())
	}
	if !errors.Is(readErr, io.EOF) {
		err = errors.Join(err, readErr)
	}
	return figures, err
}
