package rtnetlink

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/projectvrouter/vrouter/fib"
)

// events is the socket of a Watch. Its goroutine waits for events, and Apply reads
// what has come as well: so all that happened before a write is told before that is
// known to be made.
type events struct {
	table uint32
	own   uint32 // port of our writes, whose echoes are left out
	tell  fib.Observer
	file  *os.File

	mu  sync.Mutex // guards the rest; held while the observer is told, for the order
	fd  int
	buf []byte
	err error // that ended the Watch
}

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
	e := &events{table: table, own: k.write.pid, tell: o, file: file, fd: fd, buf: make([]byte, readBuffer)}
	k.setWatched(e)
	defer e.end()
	defer k.setWatched(nil)
	ready()
	waitErr := raw.Read(func(uintptr) bool { return !e.read(ctx) })
	switch err := e.failure(); {
	case ctx.Err() != nil:
		return nil
	case errors.Is(err, unix.ENOBUFS):
		return fib.ErrOverrun
	case err != nil:
		return fmt.Errorf("receive kernel events: %w", err)
	}
	return waitErr
}

func (k *Kernel) setWatched(e *events) {
	k.watchMu.Lock()
	defer k.watchMu.Unlock()
	k.watched = e
}

// hear tells the observer of Watch, if there is one, all that has happened.
func (k *Kernel) hear(ctx context.Context) {
	k.watchMu.Lock()
	e := k.watched
	k.watchMu.Unlock()
	if e != nil && !e.read(ctx) && e.failure() != nil {
		_ = e.file.SetReadDeadline(time.Unix(1, 0)) // Watch is to say why
	}
}

// read tells all that has come, and reports whether more may come.
func (e *events) read(ctx context.Context) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for e.err == nil && ctx.Err() == nil {
		n, _, err := unix.Recvfrom(e.fd, e.buf, unix.MSG_TRUNC)
		switch {
		case err == unix.EAGAIN:
			return true
		case err == unix.EINTR:
		case err != nil:
			e.err = err
		case n > len(e.buf):
			e.err = errShort
		default:
			e.observe(e.buf[:n])
		}
	}
	return false
}

// observe tells of the events in b; e.mu is held.
func (e *events) observe(b []byte) {
	var hops [8]fib.Hop
	for m, err := range messages(b) {
		if err != nil {
			e.err = err
			return
		}
		if m.pid != e.own {
			observe(m, e.table, e.tell, hops[:0])
		}
	}
}

func (e *events) failure() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.err
}

// end has nobody read the socket any more, whose descriptor is about to be another's.
func (e *events) end() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err == nil {
		e.err = os.ErrClosed
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
