package nftables

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// A watcher hears of everything that is done to nftables, and tells of what
// others do to our table.
type watcher struct {
	changed chan struct{}
	file    *os.File
	ended   chan struct{}
}

func newWatcher(netns int, own uint32) (*watcher, error) {
	fd, err := openSocket(netns, unix.SOCK_NONBLOCK)
	if err != nil {
		return nil, err
	}
	w := &watcher{
		changed: make(chan struct{}, 1), ended: make(chan struct{}),
		file: os.NewFile(uintptr(fd), "nftables events"),
	}
	setBuffer(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, eventBuffer)
	if err := subscribe(fd, own); err != nil {
		return nil, errors.Join(err, w.file.Close())
	}
	go w.run(own)
	return w, nil
}

// subscribe joins the group, with the echoes of our own writes kept out: they
// would fill the buffer and tell nothing. A packet of events is of one
// transaction, whose port the first message names.
func subscribe(fd int, own uint32) error {
	var b [4]byte
	native.PutUint32(b[:], own)
	bigEndian := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 12}, // nlmsg_pid
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 1, K: bigEndian},
		{Code: unix.BPF_RET | unix.BPF_K, K: 1<<32 - 1},
		{Code: unix.BPF_RET | unix.BPF_K},
	}
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &filter); err != nil {
		return fmt.Errorf("filter nftables events: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, unix.NFNLGRP_NFTABLES); err != nil {
		return fmt.Errorf("subscribe to nftables events: %w", err)
	}
	return nil
}

// run reads events until the watcher is closed.
func (w *watcher) run(own uint32) {
	defer close(w.ended)
	raw, err := w.file.SyscallConn()
	if err != nil {
		return
	}
	buf := make([]byte, readBuffer)
	for {
		var n int
		var err error
		waitErr := raw.Read(func(fd uintptr) bool {
			n, _, err = unix.Recvfrom(int(fd), buf, unix.MSG_TRUNC)
			return err != unix.EAGAIN && err != unix.EINTR
		})
		switch {
		case waitErr != nil:
			return // closed
		case err == unix.ENOBUFS || err == nil && n > len(buf):
			w.signal() // events were lost: who knows what they were
		case err != nil:
			w.signal()
			return // read-backs by the clock remain
		case concernsUs(buf[:n], own):
			w.signal()
		}
	}
}

// concernsUs tells whether events are about our table and not our own doing.
func concernsUs(b []byte, own uint32) bool {
	for m, err := range messages(b) {
		if err != nil {
			return true
		}
		if m.pid != own && m.typ>>8 == unix.NFNL_SUBSYS_NFTABLES && len(m.body) >= 4 &&
			!m.is(unix.NFT_MSG_NEWGEN) && m.isOurs() {
			return true
		}
	}
	return false
}

func (w *watcher) signal() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

func (w *watcher) close() error {
	err := w.file.Close()
	<-w.ended
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}
