package rtnetlink

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// socket is a netlink route socket for requests: blocking, since the kernel
// has done the work and queued the answer when a send returns.
type socket struct {
	fd  int
	pid uint32 // its netlink port id
	seq uint32
	buf []byte
}

const (
	sendBuffer  = 8 << 20  // a send of a thousand messages is 60 to 200 KiB
	replyBuffer = 8 << 20  // a thousand refusals, some 1 KiB each as the kernel counts
	eventBuffer = 64 << 20 // some 80,000 events: one each, 768 bytes as the kernel counts
	readBuffer  = 64 << 10 // the kernel fills up to 32 KiB a read of a dump
)

// replyTimeout bounds the wait for an answer, in seconds. The kernel answers
// at once; not to do so within this is an error of somebody.
const replyTimeout = 30

func newSocket(netns int) (*socket, error) {
	fd, err := open(netns, 0)
	if err != nil {
		return nil, err
	}
	s := &socket{fd: fd, buf: make([]byte, readBuffer)}
	if err := s.setup(); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return s, nil
}

func (s *socket) setup() error {
	setBuffer(s.fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, sendBuffer)
	setBuffer(s.fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, replyBuffer)
	for _, option := range []int{unix.NETLINK_CAP_ACK, unix.NETLINK_EXT_ACK, unix.NETLINK_GET_STRICT_CHK} {
		// Older kernels lack some; then errors are terse and dumps unfiltered.
		_ = unix.SetsockoptInt(s.fd, unix.SOL_NETLINK, option, 1)
	}
	timeout := unix.Timeval{Sec: replyTimeout}
	if err := unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		return fmt.Errorf("set netlink timeout: %w", err)
	}
	name, err := unix.Getsockname(s.fd)
	if err != nil {
		return fmt.Errorf("read netlink port: %w", err)
	}
	s.pid = name.(*unix.SockaddrNetlink).Pid
	return nil
}

func (s *socket) close() { unix.Close(s.fd) }

// nextSeq returns a sequence number that no answer still on its way has.
func (s *socket) nextSeq() uint32 {
	s.seq++
	return s.seq
}

func (s *socket) send(b []byte) error {
	err := unix.Sendto(s.fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	return os.NewSyscallError("netlink send", err)
}

// receive returns what came, valid until the next call.
func (s *socket) receive() ([]byte, error) {
	for {
		n, _, err := unix.Recvfrom(s.fd, s.buf, unix.MSG_TRUNC)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return nil, os.NewSyscallError("netlink receive", err)
		case n > len(s.buf):
			return nil, fmt.Errorf("netlink message of %d bytes: %w", n, errShort)
		}
		return s.buf[:n], nil
	}
}

// dump sends a request for a dump and calls each with every message of it.
// When the kernel says that the state changed meanwhile the dump is repeated.
func (s *socket) dump(request func(b *builder, seq uint32), each func(message)) error {
	for range 5 {
		var b builder
		seq := s.nextSeq()
		request(&b, seq)
		if err := s.send(b.b); err != nil {
			return err
		}
		interrupted, err := s.readDump(seq, each)
		if err != nil || !interrupted {
			return err
		}
	}
	return nil // told at least once as it was; what changed since is news
}

func (s *socket) readDump(seq uint32, each func(message)) (interrupted bool, err error) {
	for {
		b, err := s.receive()
		if err != nil {
			return false, err
		}
		for m, err := range messages(b) {
			switch {
			case err != nil:
				return false, err
			case m.seq != seq:
				continue
			case m.typ == unix.NLMSG_DONE, m.typ == unix.NLMSG_ERROR:
				return interrupted, ackError(m)
			}
			interrupted = interrupted || m.flags&unix.NLM_F_DUMP_INTR != 0
			each(m)
		}
	}
}

// open opens and binds a netlink route socket in a network namespace, given
// by a file descriptor, or in the current one when that is negative.
func open(netns int, flags int) (fd int, err error) {
	if netns >= 0 {
		runtime.LockOSThread()
		home, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			runtime.UnlockOSThread()
			return -1, fmt.Errorf("open own network namespace: %w", err)
		}
		defer home.Close()
		if err := unix.Setns(netns, unix.CLONE_NEWNET); err != nil {
			runtime.UnlockOSThread()
			return -1, fmt.Errorf("enter network namespace: %w", err)
		}
		defer func() {
			// A thread that cannot go back is not used again.
			if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
				runtime.UnlockOSThread()
			}
		}()
	}
	fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|flags, unix.NETLINK_ROUTE)
	if err != nil {
		return -1, fmt.Errorf("open netlink socket: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("bind netlink socket: %w", err)
	}
	return fd, nil
}

// setBuffer sizes a socket buffer beyond the host's limit where we may, else
// up to it.
func setBuffer(fd, force, ask, size int) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, size) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, ask, size)
	}
}
