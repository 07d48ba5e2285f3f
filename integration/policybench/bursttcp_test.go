package policybench

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// raw is read or write on a blocking socket; in every message the scheduler of
// this program would take longer than the kernel.
func raw(call uintptr, s int, b []byte) (int, error) {
	for {
		n, _, errno := unix.RawSyscall(call, uintptr(s), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

// listen opens the sink of TCP in its namespace and says which thread serves.
func (r *run) listen(processor int) (int, error) {
	if err := enter(r.To); err != nil {
		return 0, err
	}
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	err = errors.Join(unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
		unix.Bind(s, sockaddr(netip.IPv4Unspecified(), r.port)), unix.Listen(s, 8), r.pin(processor))
	if err != nil {
		return 0, errors.Join(err, unix.Close(s))
	}
	r.sink = fmt.Sprintf("/proc/self/task/%d/schedstat", unix.Gettid())
	return s, nil
}

// serve takes connections until one sends nothing.
func (r *run) serve(listener int) {
	defer unix.Close(listener)
	b := make([]byte, 1<<20)
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(listener), 0, 0, unix.SOCK_CLOEXEC, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return
		}
		if !r.serveOne(int(n), b) {
			return
		}
	}
}

// serveOne sends every byte back, or takes all there is, and tells whether
// there was anything.
func (r *run) serveOne(s int, b []byte) (any bool) {
	defer unix.Close(s)
	if r.Kind != streamKind {
		b = b[:1]
	}
	_ = unix.SetsockoptInt(s, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	for {
		n, err := raw(unix.SYS_READ, s, b)
		if err != nil || n == 0 {
			return any
		}
		any = true
		if r.Kind == streamKind {
			continue
		}
		if _, err := raw(unix.SYS_WRITE, s, b); err != nil {
			return any
		}
	}
}

// dial connects; closing resets, so that no address is kept back.
func (r *run) dial() (int, error) {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	err = errors.Join(unix.SetsockoptInt(s, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
		unix.SetsockoptLinger(s, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}))
	if err == nil {
		err = unix.Connect(s, sockaddr(r.Address, r.port))
	}
	if err != nil {
		return 0, errors.Join(fmt.Errorf("connect: %w", err), unix.Close(s))
	}
	return s, nil
}

// end has the sink leave.
func (r *run) end() {
	if s, err := r.dial(); err == nil {
		_ = unix.Close(s)
	}
}

func trip(s int, b []byte) error {
	if _, err := raw(unix.SYS_WRITE, s, b); err != nil {
		return err
	}
	n, err := raw(unix.SYS_READ, s, b)
	if err == nil && n == 0 {
		err = errors.New("connection closed")
	}
	return err
}

func (r *run) trips() (result, error) {
	defer r.end()
	s, err := r.dial()
	if err != nil {
		return result{}, err
	}
	defer unix.Close(s)
	b := make([]byte, 1)
	for range settle {
		if err := trip(s, b); err != nil {
			return result{}, err
		}
	}
	return r.during(func() (int, error) {
		const some = 10
		for range some {
			if err := trip(s, b); err != nil {
				return 0, err
			}
		}
		return some, nil
	})
}

func (r *run) connections() (result, error) {
	defer r.end()
	b := make([]byte, 1)
	one := func() (int, error) {
		s, err := r.dial()
		if err != nil {
			return 0, err
		}
		defer unix.Close(s)
		return 1, trip(s, b)
	}
	for range settle / 100 {
		if _, err := one(); err != nil {
			return result{}, err
		}
	}
	return r.during(one)
}

func (r *run) stream() (result, error) {
	defer r.end()
	s, err := r.dial()
	if err != nil {
		return result{}, err
	}
	defer unix.Close(s)
	b := make([]byte, 128<<10)
	send := func() (int, error) {
		n, err := raw(unix.SYS_WRITE, s, b)
		return n >> 10, err
	}
	for begun := time.Now(); time.Since(begun) < time.Duration(r.Seconds*float64(time.Second)/10); {
		if _, err := send(); err != nil {
			return result{}, err
		}
	}
	return r.during(send)
}
