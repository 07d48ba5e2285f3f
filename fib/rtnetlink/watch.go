package rtnetlink

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/projectvrouter/vrouter/fib"
)

// Watch implements fib.Kernel.
func (k *Kernel) Watch(ctx context.Context, table uint32, ready func(), o fib.Observer) error {
	fd, err := open(k.netns, unix.SOCK_NONBLOCK)
	if err != nil {
		return err
	}
	file := os.NewFile(uintptr(fd), "rtnetlink events")
	defer file.Close()
	if err := k.subscribe(fd); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	ready()

	var hops [8]fib.Hop
	buf := make([]byte, readBuffer)
	for {
		n, err := receive(raw, buf)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS):
			return fib.ErrOverrun
		case err != nil:
			return fmt.Errorf("receive kernel events: %w", err)
		}
		for m, err := range messages(buf[:n]) {
			if err != nil {
				return err
			}
			if m.pid != k.write.pid {
				observe(m, table, o, hops[:0])
			}
		}
	}
}

// subscribe joins the groups, with the echoes of our own writes kept out: they
// would fill the buffer and tell nothing.
func (k *Kernel) subscribe(fd int) error {
	setBuffer(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, k.eventBuffer)
	program := echoFilter(k.write.pid)
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &filter); err != nil {
		return fmt.Errorf("filter kernel events: %w", err)
	}
	groups := []int{
		unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
		unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
	}
	if k.hasObjects {
		groups = append(groups, unix.RTNLGRP_NEXTHOP)
	}
	for _, group := range groups {
		if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group); err != nil {
			return fmt.Errorf("subscribe to kernel events of group %d: %w", group, err)
		}
	}
	return nil
}

// echoFilter drops messages that a request from pid has caused: each event is
// a packet of one message, whose header names the port of the requester.
func echoFilter(pid uint32) []unix.SockFilter {
	var b [4]byte
	native.PutUint32(b[:], pid)
	bigEndian := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	return []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 12}, // nlmsg_pid
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 1, K: bigEndian},
		{Code: unix.BPF_RET | unix.BPF_K, K: 1<<32 - 1},
		{Code: unix.BPF_RET | unix.BPF_K},
	}
}

// rawConn is what receive needs of a syscall.RawConn.
type rawConn interface {
	Read(func(fd uintptr) bool) error
}

func receive(raw rawConn, buf []byte) (n int, err error) {
	waitErr := raw.Read(func(fd uintptr) bool {
		for {
			n, _, err = unix.Recvfrom(int(fd), buf, unix.MSG_TRUNC)
			if err != unix.EINTR {
				return err != unix.EAGAIN
			}
		}
	})
	if waitErr != nil {
		return 0, waitErr
	}
	if err == nil && n > len(buf) {
		return 0, errShort
	}
	return n, err
}
