package rtnetlink

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/projectvrouter/vrouter/fib"
)

// Kernel is the fib.Kernel of one network namespace.
type Kernel struct {
	netns       int
	hasObjects  bool
	eventBuffer int // bytes

	writeMu sync.Mutex // held while write is in use
	write   *socket
	readMu  sync.Mutex // held while read is in use
	read    *socket

	watchMu sync.Mutex
	watched *events // of the Watch under way; nil: there is none
}

// Options of a Kernel.
type Options struct {
	// Netns is a file descriptor of the network namespace to work in; New
	// uses the current one where it is nil. It must stay open.
	Netns *int
}

// New opens the sockets of a Kernel. It needs CAP_NET_ADMIN to write.
func New(o Options) (*Kernel, error) {
	k := &Kernel{netns: -1, eventBuffer: eventBuffer}
	if o.Netns != nil {
		k.netns = *o.Netns
	}
	var err error
	if k.write, err = newSocket(k.netns); err != nil {
		return nil, err
	}
	if k.read, err = newSocket(k.netns); err != nil {
		k.write.close()
		return nil, err
	}
	if k.hasObjects, err = k.probeObjects(); err != nil {
		k.Close()
		return nil, err
	}
	return k, nil
}

// Close closes the sockets. Nothing in the kernel changes by it.
func (k *Kernel) Close() error {
	k.write.close()
	k.read.close()
	return nil
}

// HasObjects implements fib.Kernel.
func (k *Kernel) HasObjects() bool { return k.hasObjects }

// probeObjects asks for a next-hop object that cannot be: a kernel that has
// them says that there is none.
func (k *Kernel) probeObjects() (bool, error) {
	var b builder
	seq := k.read.nextSeq()
	b.begin(unix.RTM_GETNEXTHOP, unix.NLM_F_REQUEST|unix.NLM_F_ACK, seq, nhmsgLen)
	b.uint32(unix.NHA_ID, 1<<32-1)
	b.end()
	if err := k.read.send(b.b); err != nil {
		return false, err
	}
	_, err := k.read.readDump(seq, func(message) {})
	return err == nil || errors.Is(err, unix.ENOENT), nil
}

// Read implements fib.Kernel.
func (k *Kernel) Read(ctx context.Context, table uint32, o fib.Observer) error {
	k.readMu.Lock()
	defer k.readMu.Unlock()
	steps := []struct {
		what string
		typ  uint16
		body int
		skip bool
	}{
		{"links", unix.RTM_GETLINK, ifinfomsgLen, false},
		{"addresses", unix.RTM_GETADDR, ifaddrmsgLen, false},
		{"next-hop objects", unix.RTM_GETNEXTHOP, nhmsgLen, !k.hasObjects},
	}
	for _, step := range steps {
		if step.skip {
			continue
		}
		request := func(b *builder, seq uint32) {
			b.begin(step.typ, unix.NLM_F_REQUEST|unix.NLM_F_DUMP, seq, step.body)
			b.end()
		}
		if err := k.read.dump(request, func(m message) { observe(m, table, o, nil) }); err != nil {
			return fmt.Errorf("dump %s: %w", step.what, err)
		}
	}
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := k.dumpRoutes(family, table, o); err != nil {
			return fmt.Errorf("dump routes of family %d: %w", family, err)
		}
	}
	return nil
}

// dumpRoutes reads one table. A kernel without strict dumps sends all tables;
// observe drops the others.
func (k *Kernel) dumpRoutes(family uint8, table uint32, o fib.Observer) error {
	request := func(b *builder, seq uint32) {
		h := b.begin(unix.RTM_GETROUTE, unix.NLM_F_REQUEST|unix.NLM_F_DUMP, seq, rtmsgLen)
		h[0] = family
		b.uint32(unix.RTA_TABLE, table)
		b.end()
	}
	var hops [8]fib.Hop
	err := k.read.dump(request, func(m message) { observe(m, table, o, hops[:0]) })
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EAFNOSUPPORT) {
		return nil // no such table yet, or no IPv6
	}
	return err
}

// observe tells o of one message. hops is space to work in.
func observe(m message, table uint32, o fib.Observer, hops []fib.Hop) {
	presence := fib.Present
	if m.flags&unix.NLM_F_REPLACE != 0 {
		presence = fib.Replacing
	}
	switch m.typ {
	case unix.RTM_DELROUTE, unix.RTM_DELNEXTHOP, unix.RTM_DELLINK, unix.RTM_DELADDR:
		presence = fib.Gone
	}
	switch m.typ {
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		if e, ok := parseRoute(m.body, hops); ok && e.Table == table {
			o.ObserveEntry(e, presence)
		}
	case unix.RTM_NEWNEXTHOP, unix.RTM_DELNEXTHOP:
		if object, ok := parseObject(m.body); ok {
			o.ObserveObject(object, presence)
		}
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		if link, ok := parseLink(m.body); ok {
			o.ObserveLink(link, presence)
		}
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		if address, ok := parseAddress(m.body); ok {
			o.ObserveAddress(address, presence)
		}
	}
}
