// Package wire is what the two ends of the virtual Pi's serial line say to each other: the program
// outside (package vm) and the program inside (package guest).
//
// It frames messages on a byte stream that may carry noise: a boot loader's chatter, or a frame that was
// torn when the machine was rebooted. It does not retransmit: the line is a socket pair within one
// machine, so a damaged frame is either noise, which is skipped, or a bug.
package wire

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
)

// MaxPayload is the largest payload of one frame, in bytes. It is small so that one talkative program
// can't hold the line for long.
const MaxPayload = 16 << 10

// A frame is magic (4 bytes), kind (1), stream (4), length (4), CRC-32 of all the rest (4), payload.
const (
	magic      = "\xf5VP\x01"
	headerSize = 17
)

// Kind says what a frame carries.
type Kind uint8

// The kinds. Stream 0 belongs to the machine, every other stream to one request.
const (
	Hello   Kind = 1 + iota // inside -> outside: Greeting
	Boot                    // outside -> inside: BootOrder, the answer to the first Greeting
	Failed                  // inside -> outside: the boot can't go on; payload is the reason
	Request                 // outside -> inside: Order, opens a stream
	Stdin                   // outside -> inside: bytes; no bytes means end of file
	Signal                  // outside -> inside: SignalOrder
	Resize                  // outside -> inside: Size
	Stdout                  // inside -> outside: bytes
	Stderr                  // inside -> outside: bytes
	Reply                   // inside -> outside: Outcome, closes the stream
	Ack                     // inside -> outside: how many bytes it has read; see Window
)

// Frame is one message.
type Frame struct {
	Kind    Kind
	Stream  uint32
	Payload []byte
}

// JSON decodes the payload into v.
func (f Frame) JSON(v any) error {
	if err := json.Unmarshal(f.Payload, v); err != nil {
		return fmt.Errorf("wire: decoding a frame of kind %d: %w; both ends must be built from the same tree", f.Kind, err)
	}
	return nil
}

// Writer sends frames. It is safe for several goroutines.
type Writer struct {
	mu sync.Mutex
	w  io.Writer
}

// NewWriter returns a Writer that writes to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Send writes one frame with a single Write. The payload must not be longer than MaxPayload.
func (w *Writer) Send(f Frame) error {
	if len(f.Payload) > MaxPayload {
		return fmt.Errorf("wire: sending %d bytes in one frame: the limit is %d; send it in parts", len(f.Payload), MaxPayload)
	}
	b := make([]byte, headerSize, headerSize+len(f.Payload))
	copy(b, magic)
	b[4] = byte(f.Kind)
	binary.BigEndian.PutUint32(b[5:], f.Stream)
	binary.BigEndian.PutUint32(b[9:], uint32(len(f.Payload)))
	b = append(b, f.Payload...)
	binary.BigEndian.PutUint32(b[13:], checksum(b))
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := w.w.Write(b)
	return err
}

// SendJSON sends v as one frame.
func (w *Writer) SendJSON(kind Kind, stream uint32, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("wire: encoding a frame of kind %d: %w", kind, err)
	}
	return w.Send(Frame{Kind: kind, Stream: stream, Payload: b})
}

// Flush writes as many zero bytes as the largest frame has, so that a reader which still waits for the
// rest of a torn frame gets past it.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := w.w.Write(make([]byte, headerSize+MaxPayload))
	return err
}

// Stream is an io.Writer that sends what is written to it as frames of one kind and stream.
type Stream struct {
	To   *Writer
	Kind Kind
	ID   uint32
}

// Write implements io.Writer.
func (s Stream) Write(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		part := p[n:min(n+MaxPayload, len(p))]
		if err := s.To.Send(Frame{Kind: s.Kind, Stream: s.ID, Payload: part}); err != nil {
			return n, err
		}
		n += len(part)
	}
	return n, nil
}

// Reader receives frames. It is for one goroutine.
type Reader struct{ r *bufio.Reader }

// NewReader returns a Reader that reads from r.
func NewReader(r io.Reader) *Reader {
	return &Reader{r: bufio.NewReaderSize(r, headerSize+MaxPayload)}
}

// Receive returns the next whole frame and skips what is none.
func (r *Reader) Receive() (Frame, error) {
	for {
		head, err := r.r.Peek(headerSize)
		if err != nil {
			return Frame{}, err
		}
		size := binary.BigEndian.Uint32(head[9:])
		if string(head[:4]) != magic || size > MaxPayload {
			r.r.Discard(1)
			continue
		}
		whole, err := r.r.Peek(headerSize + int(size))
		if err != nil {
			return Frame{}, err
		}
		if binary.BigEndian.Uint32(whole[13:]) != checksum(whole) {
			r.r.Discard(1)
			continue
		}
		f := Frame{
			Kind:    Kind(whole[4]),
			Stream:  binary.BigEndian.Uint32(whole[5:]),
			Payload: append([]byte(nil), whole[headerSize:]...),
		}
		r.r.Discard(len(whole))
		return f, nil
	}
}

// checksum covers everything but the checksum's own place.
func checksum(frame []byte) uint32 {
	return crc32.Update(crc32.ChecksumIEEE(frame[:13]), crc32.IEEETable, frame[headerSize:])
}
