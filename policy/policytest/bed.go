package policytest

import (
	"fmt"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/policy"
)

// bed is the host under test in a namespace of its own, with all its
// neighbours in another one, which has interfaces and nothing else: no
// addresses, no answers.
type bed struct {
	lab    *lab.Lab
	host   *lab.Host
	wire   *wire
	number uint32 // of the last packet
}

// interfaces of the host, in order.
func interfaces() []string {
	return []string{"cali1", "cali2", "cali3", "cali4", "cali9", "eth0", "eth1"}
}

func newBed(t *testing.T) *bed {
	t.Helper()
	l := lab.New(t, "conform")
	b := &bed{lab: l, host: l.Host("host")}
	far := l.Host("far")
	far.SetSysctl("net.ipv6.conf.all.disable_ipv6", "1")
	far.SetSysctl("net.ipv6.conf.default.disable_ipv6", "1")
	b.host.Forward()
	// Errors that the host sends are nobody's concern, and none is held back.
	b.host.SetSysctl("net.ipv4.icmp_ratelimit", "0")
	b.host.SetSysctl("net.ipv6.icmp.ratelimit", "0")
	for n, name := range interfaces() {
		port := b.host.Port(name)
		for _, a := range uplinks()[name] {
			port.Addrs = append(port.Addrs, netip.PrefixFrom(a, a.BitLen()).String())
		}
		port.MAC = fmt.Sprintf("02:00:00:00:01:%02x", n+1)
		l.Link(port, lab.Port{Host: far, Name: "far" + name, MAC: fmt.Sprintf("02:00:00:00:02:%02x", n+1)})
	}
	b.host.AddAddr("lo", "169.254.169.254/32")
	l.Link(far.Port("round0"), far.Port("round1"))
	b.route(t)
	b.translate()
	b.wire = b.open(t, far)
	return b
}

// route has the host reach every place without asking who has an address.
func (b *bed) route(t *testing.T) {
	t.Helper()
	gateways := map[string][2]string{"eth0": {"192.0.2.2", "2001:db8:a::2"}, "eth1": {"198.51.100.2", "2001:db8:b::2"}}
	for _, p := range places() {
		if p.behind == "" {
			continue
		}
		family, gateway := "-4", gateways[p.behind][0]
		if p.prefix.Addr().Is6() {
			family, gateway = "-6", gateways[p.behind][1]
		}
		argv := []string{"ip", family, "route", "add", p.prefix.String(), "dev", p.behind}
		if gateway == "" {
			gateway = p.prefix.Addr().String()
		} else {
			argv = append(argv, "via", gateway, "onlink")
		}
		b.host.MustRun(argv...)
		b.host.MustRun("ip", "neigh", "replace", gateway, "dev", p.behind, "lladdr", farMAC(p.behind), "nud", "permanent")
	}
}

func farMAC(name string) string {
	for n, other := range interfaces() {
		if other == name {
			return fmt.Sprintf("02:00:00:00:02:%02x", n+1)
		}
	}
	return ""
}

// open opens the sockets of both ends.
func (b *bed) open(t *testing.T, far *lab.Host) *wire {
	t.Helper()
	w := &wire{send: make(map[int]int), ports: make(map[string]farPort), names: make(map[int]string)}
	check := func(err error) {
		if err != nil {
			t.Fatalf("open sockets: %v", err)
		}
	}
	open := func(family, protocol int) int {
		fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
		check(err)
		t.Cleanup(func() { unix.Close(fd) })
		check(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer))
		return fd
	}
	check(far.Do(func() error {
		w.far = open(unix.AF_PACKET, 0)
		return nil
	}))
	check(unix.SetsockoptInt(w.far, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1))
	all := uint16(unix.ETH_P_ALL)
	check(unix.Bind(w.far, &unix.SockaddrLinklayer{Protocol: all<<8 | all>>8}))
	check(b.host.Do(func() error {
		for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
			w.send[family] = open(family, unix.IPPROTO_RAW)
			icmp := uint8(policy.ProtocolICMP)
			if family == unix.AF_INET6 {
				icmp = policy.ProtocolICMPv6
			}
			for _, protocol := range []uint8{icmp, policy.ProtocolTCP, policy.ProtocolUDP, policy.ProtocolSCTP, protocolGRE, protocolIPIP} {
				w.local = append(w.local, rawSocket{open(family, int(protocol)), family, protocol})
			}
		}
		return nil
	}))
	for n, name := range interfaces() {
		link, err := far.Netlink().LinkByName("far" + name)
		check(err)
		p := farPort{index: link.Attrs().Index}
		copy(p.mac[:], link.Attrs().HardwareAddr)
		copy(p.host[:], net.HardwareAddr{2, 0, 0, 0, 1, byte(n + 1)})
		w.ports[name], w.names[p.index] = p, name
	}
	for n, name := range []string{"round0", "round1"} {
		link, err := far.Netlink().LinkByName(name)
		check(err)
		w.round[n] = link.Attrs().Index
	}
	return w
}

// batch is how many packets go at once: fewer than the kernel's queue holds.
const batch = 200

// send sends as many of the journeys' packets as may go at once, each the first
// of a connection, and returns how many and where each came out; absent:
// nowhere.
func (b *bed) send(journeys []Journey) (n int, seen map[int]sighting, err error) {
	first := b.number + 1
	packets := b.batch(journeys)
	if err := b.host.ForgetConnections(); err != nil {
		return 0, nil, err
	}
	seen, err = b.exchange(packets, first)
	return len(packets), seen, err
}

// exchange sends packets, numbered from first.
func (b *bed) exchange(packets []outgoing, first uint32) (map[int]sighting, error) {
	list, err := b.wire.exchange(packets)
	seen := make(map[int]sighting)
	for _, s := range list {
		if s.number >= first && s.number <= b.number {
			seen[int(s.number-first)] = s
		}
	}
	return seen, err
}

// batch numbers as many packets as may be sent at once: none of them looks like
// an answer to another.
func (b *bed) batch(journeys []Journey) []outgoing {
	var list []outgoing
	sent := make(map[policy.Packet]bool)
	for _, j := range journeys {
		p := j.Packet
		answer := policy.Packet{
			Source: p.Destination, Destination: p.Source, Protocol: p.Protocol,
			SourcePort: p.DestinationPort, DestinationPort: p.SourcePort,
		}
		if len(list) == batch || sent[answer] {
			return list
		}
		p.ICMPType, p.ICMPCode = 0, 0
		sent[p] = true
		b.number++
		o := outgoing{in: j.In, packet: j.Packet, number: b.number}
		if j.PreDNAT.IsValid() {
			o.packet.Destination, o.packet.DestinationPort = j.PreDNAT.Addr(), j.PreDNAT.Port()
		}
		list = append(list, o)
	}
	return list
}
