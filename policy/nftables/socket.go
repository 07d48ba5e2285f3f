package nftables

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// socket is a netlink socket of the netfilter family for requests. It lasts as
// long as the process: the kernel waits for an RCU grace period when one is
// closed, and it owns the table.
type socket struct {
	fd  int
	pid uint32 // its netlink port id, by which the kernel knows the table's owner
	seq uint32
	buf []byte
	// alone: nobody else can change our table, so that a reading is of one
	// state, whatever others do to their tables.
	alone bool
}

const (
	// A transaction is one send: 50,000 rules are some 25 MiB.
	sendBuffer = 128 << 20
	// Answers come only for what is refused, and once at the end.
	replyBuffer = 8 << 20
	// Some 80,000 messages of what others do, as the kernel counts them.
	eventBuffer = 64 << 20
	// The kernel fills up to 32 KiB a read of a dump.
	readBuffer = 64 << 10
)

// replyTimeout bounds the wait for an answer, in seconds. The kernel answers
// at once; not to do so within this is an error of somebody.
const replyTimeout = 30

var errShort = errors.New("netlink message is cut short")

// native is the byte order of netlink headers; what nftables says itself is in
// network byte order.
var native = binary.NativeEndian

func newSocket(netns int) (*socket, error) {
	fd, err := openSocket(netns, 0)
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
	for _, option := range []int{unix.NETLINK_CAP_ACK, unix.NETLINK_EXT_ACK} {
		// Where the kernel lacks one, its errors are terse.
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

// close is harmless a second time, when the number may be somebody else's.
func (s *socket) close() error {
	fd := s.fd
	if s.fd = -1; fd < 0 {
		return nil
	}
	return os.NewSyscallError("close", unix.Close(fd))
}

func (s *socket) send(b []byte) error {
	err := unix.Sendto(s.fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	return os.NewSyscallError("netlink send", err)
}

// receive returns what came, valid until the next call. With flags
// MSG_DONTWAIT it returns nil when there is nothing.
func (s *socket) receive(flags int) ([]byte, error) {
	for {
		n, _, err := unix.Recvfrom(s.fd, s.buf, flags|unix.MSG_TRUNC)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN && flags&unix.MSG_DONTWAIT != 0:
			return nil, nil
		case err != nil:
			return nil, os.NewSyscallError("netlink receive", err)
		case n > len(s.buf):
			return nil, fmt.Errorf("message of %d bytes: %w", n, errShort)
		}
		return s.buf[:n], nil
	}
}

// dump sends one request and calls each with the body of every answer. It
// returns errInterrupted when the rules changed meanwhile.
func (s *socket) dump(request *builder, each func(m message) error) error {
	s.seq++
	request.setSeq(s.seq)
	if err := s.send(request.b); err != nil {
		return err
	}
	interrupted := false
	for {
		b, err := s.receive(0)
		if err != nil {
			return err
		}
		for m, err := range messages(b) {
			switch {
			case err != nil:
				return err
			case m.seq != s.seq:
				continue // of a request that was given up
			case m.typ == unix.NLMSG_ERROR:
				return replyError(m)
			case m.typ == unix.NLMSG_DONE:
				if err := replyError(m); err != nil {
					return err
				}
				if interrupted && !s.alone {
					return errInterrupted
				}
				return nil
			}
			interrupted = interrupted || m.flags&unix.NLM_F_DUMP_INTR != 0
			if err := each(m); err != nil {
				return err
			}
		}
	}
}

// errInterrupted says that a dump is of no single state.
var errInterrupted = errors.New("the rules changed while they were read")

// openSocket opens and binds a netfilter socket in a network namespace, given
// by a file descriptor, or in the current one when that is negative.
func openSocket(netns int, flags int) (fd int, err error) {
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
	fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|flags, unix.NETLINK_NETFILTER)
	if err != nil {
		return -1, fmt.Errorf("open netfilter socket: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("bind netfilter socket: %w", err)
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
