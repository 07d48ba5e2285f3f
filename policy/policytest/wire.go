package policytest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/projectvrouter/vrouter/policy"
)

// wire sends packets to the host under test, from the far ends of its
// interfaces or from itself, and sees what comes out of it. One thread on one
// processor does that: the kernel's queue of received frames belongs to a
// processor and keeps its order, so that a frame which takes no part in
// anything else tells, when it has gone round, that all sent before it have
// met their fate. Nothing waits for time.
type wire struct {
	far   int         // packet socket on all interfaces of the far end
	send  map[int]int // raw sockets of the host by family
	local []rawSocket // which see what the host gets
	ports map[string]farPort
	names map[int]string // interfaces of the host by index of their far end
	round [2]int         // indices of a veth pair that barriers go through
	count uint32         // barriers so far
}

// rawSocket sees what the host receives of a protocol, behind its filters.
type rawSocket struct {
	fd, family int
	protocol   uint8
}

// farPort is the far end of an interface of the host.
type farPort struct {
	index     int
	mac, host [6]byte
}

// etherBarrier is the type of barrier frames (IEEE 802, for experiments).
const etherBarrier = 0x88b6

// rounds is how many times a barrier goes round: one more than the veth pairs
// that a packet goes through, and some for what the host adds.
const rounds = 4

// receiveBuffer is for packets that have come out before anybody looks.
const receiveBuffer = 8 << 20

// exchange sends packets and returns what came out of the host, by the place
// where it did: an interface, or the host itself.
func (w *wire) exchange(packets []outgoing) (seen []sighting, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	release, err := pin()
	if err != nil {
		return nil, err
	}
	defer release()
	for _, p := range packets {
		if err := w.put(p); err != nil {
			return nil, fmt.Errorf("send %+v: %w", p.packet, err)
		}
	}
	for range rounds {
		more, err := w.barrier()
		if err != nil {
			return nil, err
		}
		seen = append(seen, more...)
	}
	for _, s := range w.local {
		more, err := s.read()
		if err != nil {
			return nil, err
		}
		seen = append(seen, more...)
	}
	return seen, nil
}

// pin keeps the thread on one processor until release is called.
func pin() (release func(), err error) {
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return nil, fmt.Errorf("get affinity: %w", err)
	}
	for cpu := range len(all) * 64 {
		if all.IsSet(cpu) {
			one.Set(cpu)
			break
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return nil, fmt.Errorf("set affinity: %w", err)
	}
	return func() { _ = unix.SchedSetaffinity(0, &all) }, nil
}

// outgoing is a packet on its way to the host, or, without an interface, from
// it.
type outgoing struct {
	in     string
	packet policy.Packet
	number uint32
	form   func(packet []byte) [][]byte // nil: as it is
}

// sighting is a packet that came out.
type sighting struct {
	at string
	arrived
}

func (w *wire) put(p outgoing) error {
	data := build(p.packet, p.number)
	if p.in == "" {
		return w.putFromHost(p.packet.Destination, data)
	}
	port, ok := w.ports[p.in]
	if !ok {
		return fmt.Errorf("no interface %s", p.in)
	}
	etherType := uint16(unix.ETH_P_IP)
	if p.packet.Source.Is6() {
		etherType = unix.ETH_P_IPV6
	}
	pieces := [][]byte{data}
	if p.form != nil {
		pieces = p.form(data)
	}
	for _, piece := range pieces {
		if err := w.frame(port, etherType, piece); err != nil {
			return err
		}
	}
	return nil
}

func (w *wire) frame(port farPort, etherType uint16, data []byte) error {
	frame := append(port.host[:], port.mac[:]...)
	frame = binary.BigEndian.AppendUint16(frame, etherType)
	return unix.Sendto(w.far, append(frame, data...), 0, &unix.SockaddrLinklayer{Ifindex: port.index, Halen: 6})
}

// putFromHost sends as a process of the host does. That a filter refuses the
// packet is told to it, and is no error here.
func (w *wire) putFromHost(to netip.Addr, data []byte) error {
	var err error
	if to.Is4() {
		err = unix.Sendto(w.send[unix.AF_INET], data, 0, &unix.SockaddrInet4{Addr: to.As4()})
	} else {
		err = unix.Sendto(w.send[unix.AF_INET6], data, 0, &unix.SockaddrInet6{Addr: to.As16()})
	}
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return nil
	}
	return err
}

// barrier sends a frame through a pair of its own, and returns the packets that
// came before it.
func (w *wire) barrier() ([]sighting, error) {
	w.count++
	data := binary.BigEndian.AppendUint32([]byte(magic), w.count)
	if err := w.frame(farPort{index: w.round[0]}, etherBarrier, data); err != nil {
		return nil, fmt.Errorf("send barrier: %w", err)
	}
	var seen []sighting
	buf := make([]byte, 4096)
	for deadline := time.Now().Add(30 * time.Second); ; {
		n, from, err := unix.Recvfrom(w.far, buf, unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EAGAIN):
			if time.Now().After(deadline) {
				return nil, errors.New("a barrier does not come round")
			}
			if err := waitReadable(w.far); err != nil {
				return nil, err
			}
			continue
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return nil, fmt.Errorf("receive frame: %w", err)
		}
		at, ok := from.(*unix.SockaddrLinklayer)
		if !ok || n < 14 {
			continue
		}
		if at.Ifindex == w.round[1] {
			if n >= 14+len(data) && slices.Equal(buf[14:14+len(data)], data) {
				return seen, nil
			}
			continue
		}
		if a, ok := parse(buf[14:n]); ok {
			seen = append(seen, sighting{w.names[at.Ifindex], a})
		}
	}
}

func waitReadable(fd int) error {
	_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 1000)
	if err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("poll: %w", err)
	}
	return nil
}

// read returns the packets that a socket of the host has got.
func (s rawSocket) read() ([]sighting, error) {
	var seen []sighting
	buf := make([]byte, 4096)
	for {
		n, from, err := unix.Recvfrom(s.fd, buf, unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return seen, nil
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return nil, fmt.Errorf("receive packet: %w", err)
		}
		if s.family == unix.AF_INET {
			if a, ok := parse(buf[:n]); ok {
				seen = append(seen, sighting{"", a})
			}
			continue
		}
		// Sockets of IPv6 show no header.
		if number, ok := number(s.protocol, buf[:n]); ok {
			a := arrived{number: number}
			if from, ok := from.(*unix.SockaddrInet6); ok {
				a.source = netip.AddrFrom16(from.Addr)
			}
			seen = append(seen, sighting{"", a})
		}
	}
}
