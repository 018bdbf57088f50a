package wire

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
)

func TestBadInputIsSkipped(t *testing.T) {
	var good bytes.Buffer
	if err := NewWriter(&good).Send(Frame{Kind: Stdout, Stream: 7, Payload: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	damaged := bytes.Clone(good.Bytes())
	damaged[len(damaged)-1] ^= 1
	oversized := bytes.Clone(good.Bytes())
	oversized[9] = 0xff
	tests := []struct {
		name  string
		noise []byte
	}{
		{"bad checksum", damaged},
		{"bad length", oversized},
		{"bad text before", []byte("Linux version 6.12\r\n\xf5V\xf5VP")},
		{"bad half header", []byte(magic + "\x08\x00")},
		{"none", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, err := NewReader(io.MultiReader(bytes.NewReader(tt.noise), &pad{}, bytes.NewReader(good.Bytes()))).Receive()
			if err != nil || f.Kind != Stdout || f.Stream != 7 || string(f.Payload) != "x" {
				t.Errorf("Receive after noise = %+v, %v", f, err)
			}
		})
	}
}

// pad is what Flush writes.
type pad struct{ done bool }

func (p *pad) Read(b []byte) (int, error) {
	if p.done {
		return 0, io.EOF
	}
	p.done = true
	var out bytes.Buffer
	err := NewWriter(&out).Flush()
	return copy(b, make([]byte, min(len(b), out.Len()))), err
}

func TestFlushEndsATornFrame(t *testing.T) {
	var line bytes.Buffer
	w := NewWriter(&line)
	if err := w.Send(Frame{Kind: Stdout, Stream: 1, Payload: bytes.Repeat([]byte("x"), MaxPayload)}); err != nil {
		t.Fatal(err)
	}
	line.Truncate(headerSize + 10)
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := w.SendJSON(Hello, 0, Greeting{Stage: StageInit}); err != nil {
		t.Fatal(err)
	}
	f, err := NewReader(&line).Receive()
	var g Greeting
	if err != nil || f.Kind != Hello || f.JSON(&g) != nil || g.Stage != StageInit {
		t.Errorf("Receive = kind %d, %d bytes, %v", f.Kind, len(f.Payload), err)
	}
}

func TestManyWritersOneLine(t *testing.T) {
	r, w := io.Pipe()
	line := NewWriter(w)
	const streams, size = 5, 200_000
	var all sync.WaitGroup
	for id := range uint32(streams) {
		all.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(id)))
			s := Stream{To: line, Kind: Stdout, ID: id}
			for left := size; left > 0; {
				n := min(left, 1+random.IntN(3*MaxPayload))
				if _, err := s.Write(bytes.Repeat([]byte{byte(id)}, n)); err != nil {
					t.Error(err)
					return
				}
				left -= n
			}
		})
	}
	go func() { all.Wait(); w.Close() }()
	var got [streams]int
	for in := NewReader(r); ; {
		f, err := in.Receive()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(f.Payload, []byte{byte(f.Stream)}); n != len(f.Payload) {
			t.Fatalf("stream %d: %d of %d bytes are its own", f.Stream, n, len(f.Payload))
		}
		got[f.Stream] += len(f.Payload)
	}
	for id, n := range got {
		if n != size {
			t.Errorf("stream %d: %d bytes, want %d", id, n, size)
		}
	}
}

func TestTooLargeAPayloadIsRefused(t *testing.T) {
	if err := NewWriter(io.Discard).Send(Frame{Payload: make([]byte, MaxPayload+1)}); err == nil {
		t.Error("sent")
	}
}
