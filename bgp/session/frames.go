package session

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/projectvrouter/vrouter/bgp/wire"
)

// bufferSize holds the longest message (RFC 8654) and takes as much from the
// kernel at once as pays.
const bufferSize = 1 << 16

type buffer [bufferSize]byte

// frames cuts what a peer sends into messages. A buffer is held only while
// there is something in it: thousands of sessions are quiet most of the time.
type frames struct {
	sock     net.Conn
	raw      syscall.RawConn // nil: sock is no socket
	pool     *sync.Pool      // of *buffer
	buf      *buffer         // nil: nothing is held
	from, to int             // of buf: read and not yet handed out
	extended bool            // RFC 8654

	// whole says that a message was handed out since the last wait. A peer
	// that sends one octet now and then is none that is alive.
	whole bool
	// wait is called before reading, work when something was read.
	wait func(whole bool)
	work func()
}

func newFrames(sock net.Conn, pool *sync.Pool, wait func(whole bool), work func()) *frames {
	f := &frames{sock: sock, pool: pool, wait: wait, work: work}
	if s, ok := sock.(syscall.Conn); ok {
		f.raw, _ = s.SyscallConn() // an error: read as from any other
	}
	return f
}

// next is the next message; its body is valid until the next call. The error
// is a *wire.Notification for a header that makes no sense, else that of
// reading.
func (f *frames) next() (wire.MessageType, []byte, error) {
	if err := f.fill(wire.HeaderLen); err != nil {
		return 0, nil, err
	}
	t, length, err := wire.CheckHeader(f.buf[f.from:f.to], f.extended)
	if err != nil {
		return 0, nil, err
	}
	if err := f.fill(length); err != nil {
		return 0, nil, err
	}
	body := f.buf[f.from+wire.HeaderLen : f.from+length : f.from+length]
	f.from += length
	f.whole = true
	return t, body, nil
}

// fill reads until n octets are there.
func (f *frames) fill(n int) error {
	for f.to-f.from < n {
		switch {
		case f.from == f.to:
			f.from, f.to = 0, 0
		case f.from+n > bufferSize:
			f.to = copy(f.buf[:], f.buf[f.from:f.to])
			f.from = 0
		}
		f.wait(f.whole)
		f.whole = false
		got, err := f.read()
		f.to += got
		if err == nil {
			f.work()
			continue
		}
		if errors.Is(err, io.EOF) && f.to > f.from {
			return io.ErrUnexpectedEOF
		}
		return err
	}
	return nil
}

// read reads once what there is. While it waits, an empty buffer goes back.
func (f *frames) read() (n int, err error) {
	if f.raw == nil {
		f.hold()
		return f.sock.Read(f.buf[f.to:])
	}
	wait := f.raw.Read(func(fd uintptr) bool {
		f.hold()
		for {
			n, err = unix.Read(int(fd), f.buf[f.to:])
			if err != unix.EINTR {
				break
			}
		}
		if err == unix.EAGAIN {
			f.release()
			return false
		}
		return true
	})
	switch {
	case wait != nil: // the deadline, or closed
		return 0, wait
	case err != nil:
		return 0, &net.OpError{Op: "read", Net: "tcp", Err: err}
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

func (f *frames) hold() {
	if f.buf == nil {
		f.buf = f.pool.Get().(*buffer)
	}
}

// release gives the buffer back if it is empty.
func (f *frames) release() {
	if f.buf != nil && f.from == f.to {
		f.pool.Put(f.buf)
		f.buf = nil
	}
}

// close gives the buffer back, whatever is in it.
func (f *frames) close() {
	f.from = f.to
	f.release()
}
