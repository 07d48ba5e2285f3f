package wire

import (
	"errors"
	"fmt"
	"io"
)

// Message is one whole message.
type Message struct {
	Type MessageType
	// Body is what follows the header. It lies in the Reader's buffer and is
	// valid until the next call of Next.
	Body []byte
}

// Reader cuts a stream into messages. Its one buffer is as large as it was
// made; only a longer message, which extended messages allow, makes it grow,
// and never beyond MaxExtended.
type Reader struct {
	r          io.Reader
	buf        []byte
	start, end int // what is read and not yet handed out
	extended   bool
}

// NewReader reads from r with a buffer of size octets, at least MaxMessage.
// More takes more messages from the kernel at once.
func NewReader(r io.Reader, size int) *Reader {
	return &Reader{r: r, buf: make([]byte, max(size, MaxMessage))}
}

// AllowExtended lets messages be up to MaxExtended octets long from the next
// one on (RFC 8654). It is called when both OPENs had the capability.
func (r *Reader) AllowExtended() { r.extended = true }

// Next is the next message. The error is a *Notification for a bad header,
// after which nothing more can be read; io.EOF between messages;
// io.ErrUnexpectedEOF within one; else what the io.Reader said. A read that
// timed out may be tried again.
func (r *Reader) Next() (Message, error) {
	if err := r.fill(HeaderLen); err != nil {
		return Message{}, err
	}
	t, length, err := CheckHeader(r.buf[r.start:r.end], r.extended)
	if err != nil {
		return Message{}, err
	}
	if err := r.fill(length); err != nil {
		return Message{}, err
	}
	m := Message{Type: t, Body: r.buf[r.start+HeaderLen : r.start+length : r.start+length]}
	r.start += length
	return m, nil
}

// Buffered reports whether Next would return without reading.
func (r *Reader) Buffered() bool {
	if r.end-r.start < HeaderLen {
		return false
	}
	_, length, err := CheckHeader(r.buf[r.start:r.end], r.extended)
	return err != nil || r.end-r.start >= length
}

// fill reads until n octets are there.
func (r *Reader) fill(n int) error {
	if r.end-r.start >= n {
		return nil
	}
	if r.start+n > len(r.buf) || r.start == r.end {
		into := r.buf
		if n > len(into) {
			into = make([]byte, MaxExtended)
		}
		r.end = copy(into, r.buf[r.start:r.end])
		r.buf, r.start = into, 0
	}
	got, err := io.ReadAtLeast(r.r, r.buf[r.end:], n-(r.end-r.start))
	r.end += got
	switch {
	case err == nil:
		return nil
	case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("read message: %w", err)
	case r.end > r.start:
		return io.ErrUnexpectedEOF
	}
	return io.EOF
}
