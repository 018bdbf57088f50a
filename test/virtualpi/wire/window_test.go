package wire

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
)

// A reader that stops must stop the writer within a window, and one that goes on gets everything.
func TestWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var line safeBuffer
		w := NewWindow(&line)
		whole := bytes.Repeat([]byte("abc"), windowSize)
		var writing sync.WaitGroup
		writing.Go(func() {
			if n, err := w.Write(whole); n != len(whole) || err != nil {
				t.Errorf("Write = %d, %v", n, err)
			}
		})
		synctest.Wait()
		if n := line.Len(); n != windowSize {
			t.Errorf("%d bytes on the line before anything is read, want %d", n, windowSize)
		}
		var acks bytes.Buffer
		in := Acknowledge(&line, NewWriter(&acks))
		var got []byte
		for len(got) < len(whole) {
			p := make([]byte, 1000)
			n, err := in.Read(p)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, p[:n]...)
			f, err := NewReader(&acks).Receive()
			if err != nil || f.Kind != Ack {
				t.Fatalf("%+v, %v", f, err)
			}
			w.Acknowledged(f)
			synctest.Wait()
			if n := line.Len(); n > windowSize {
				t.Fatalf("%d bytes on the line", n)
			}
		}
		writing.Wait()
		if !bytes.Equal(got, whole) {
			t.Error("what arrived differs")
		}
	})
}

func TestResetAndCloseEndAWaitingWrite(t *testing.T) {
	gone := errors.New("gone")
	tests := []struct {
		name string
		end  func(*Window)
		want error
	}{
		{"reset", (*Window).Reset, io.ErrShortWrite},
		{"close", func(w *Window) { w.Close(gone) }, gone},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := NewWindow(io.Discard)
				var writing sync.WaitGroup
				writing.Go(func() {
					if n, err := w.Write(make([]byte, windowSize+1)); n != windowSize || !errors.Is(err, tt.want) {
						t.Errorf("Write = %d, %v, want %v", n, err, tt.want)
					}
				})
				synctest.Wait()
				tt.end(w)
				writing.Wait()
			})
		})
	}
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Read(p)
}

func (s *safeBuffer) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Len()
}
