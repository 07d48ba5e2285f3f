package reflectorbench

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// Addresses of the lab. The clients' lie behind the generator's end of the
// link, so that a thousand of them are one neighbour entry, and each client's
// address, router id and routes follow from its number.
const (
	asNumber = 64512

	targetIPv4    = "192.168.255.1"
	generatorIPv4 = "192.168.255.2"
	targetIPv6    = "fd99::1"
	generatorIPv6 = "fd99::2"

	clientsIPv4 = "172.16.0.0/12"
	clientsIPv6 = "fd16::/64"
	routesIPv4  = "10.0.0.0/8"
	routesIPv6  = "fd10::/64"

	firstClient = 1 << 8  // within clientsIPv4 and clientsIPv6
	maxClients  = 1 << 16 // as many fit easily
	maxRoutes   = 1 << 24 // in routesIPv4

	// The BGP identifier of a client is its number within clientsIPv4, also
	// where it speaks IPv6. The target's, and its cluster id, is targetIPv4.
	firstRouterID = 172<<24 | 16<<16 | firstClient
	clusterID     = 192<<24 | 168<<16 | 255<<8 | 1
)

// Plan says who announces what: clients 0 to Clients-1 have Routes host routes
// each. The spare ones behind them have none: one joins late, others are faulty.
// Route r of client c has the index c*Routes+r, and the address of that offset.
type Plan struct {
	Clients, Routes int
	IPv6            bool
}

// Numbers of the spare clients, behind the others.
const (
	late = iota
	garbled
	excessive
	spares
)

// spare is the number of a spare client.
func (p Plan) spare(which int) int { return p.Clients + which }

// Check reports what cannot be measured.
func (p Plan) Check() error {
	switch {
	case p.Clients < 2 || p.Clients >= maxClients:
		return fmt.Errorf("clients: %d is not between 2 and %d", p.Clients, maxClients-1)
	case p.Routes < 1 || p.Clients*p.Routes > maxRoutes:
		return fmt.Errorf("routes: %d clients with %d each are not between one and %d in all", p.Clients, p.Routes, maxRoutes)
	}
	return nil
}

// total is the number of routes of all clients.
func (p Plan) total() int { return p.Clients * p.Routes }

// clientAddr is where client c speaks from, and its next hop.
func (p Plan) clientAddr(c int) netip.Addr {
	if p.IPv6 {
		return offset(clientsIPv6, firstClient+c)
	}
	return offset(clientsIPv4, firstClient+c)
}

// prefix is the route of an index.
func (p Plan) prefix(index int) netip.Prefix {
	a := offset(p.pool(), index)
	return netip.PrefixFrom(a, a.BitLen())
}

func (p Plan) pool() string {
	if p.IPv6 {
		return routesIPv6
	}
	return routesIPv4
}

func (p Plan) target() netip.Addr {
	if p.IPv6 {
		return netip.MustParseAddr(targetIPv6)
	}
	return netip.MustParseAddr(targetIPv4)
}

// offset is address number n of a prefix, n below 2^24.
func offset(prefix string, n int) netip.Addr {
	base := netip.MustParsePrefix(prefix).Addr()
	raw := base.AsSlice()
	low := raw[len(raw)-4:]
	binary.BigEndian.PutUint32(low, binary.BigEndian.Uint32(low)+uint32(n))
	a, _ := netip.AddrFromSlice(raw)
	return a
}

// numbering turns addresses on the wire into numbers without allocating: what
// the head is must precede, and the number is the rest less the base.
type numbering struct {
	head []byte
	base uint32
	size uint32
}

// numbering of the addresses from first, which is a number within prefix.
func newNumbering(prefix string, first, size int) numbering {
	raw := offset(prefix, first).AsSlice()
	at := len(raw) - 4
	return numbering{head: raw[:at], base: binary.BigEndian.Uint32(raw[at:]), size: uint32(size)}
}

// number of an address, -1 if it is none of these.
func (n *numbering) number(addr []byte) int {
	at := len(n.head)
	if len(addr) != at+4 || string(addr[:at]) != string(n.head) {
		return -1
	}
	if i := binary.BigEndian.Uint32(addr[at:]) - n.base; i < n.size {
		return int(i)
	}
	return -1
}

func (p Plan) clientNumbers() numbering {
	if p.IPv6 {
		return newNumbering(clientsIPv6, firstClient, p.Clients)
	}
	return newNumbering(clientsIPv4, firstClient, p.Clients)
}

func (p Plan) routeNumbers() numbering {
	return newNumbering(p.pool(), 0, p.total())
}
