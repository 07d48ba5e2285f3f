package fabric

import (
	"fmt"
	"net/netip"

	"github.com/projectvrouter/vrouter/internal/lab"
)

// Pools are the ranges of workload addresses in every topology.
const (
	PoolIPv4 = "10.65.0.0/16"
	PoolIPv6 = "fd00:65::/48"
)

// PoolManifest states both pools.
const PoolManifest = `
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: v4}
spec: {cidr: ` + PoolIPv4 + `}
---
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: v6}
spec: {cidr: "` + PoolIPv6 + `"}
`

// NoMesh switches the node-to-node mesh off.
const NoMesh = `
---
apiVersion: projectcalico.org/v3
kind: BGPConfiguration
metadata: {name: default}
spec: {nodeToNodeMeshEnabled: false}
`

// ReflectorPeers makes every node a client of the reflectors.
const ReflectorPeers = `
---
apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {name: reflectors}
spec: {nodeSelector: "!has(reflector)", peerSelector: has(reflector)}
`

// Segment is hosts on one Ethernet segment, and an etcd beside them.
type Segment struct {
	Lab    *lab.Lab
	Switch *lab.Switch
	Etcd   []*lab.Etcd
	Hosts  []*Daemon

	t     lab.T
	next  int               // last byte of the next host's address
	ports map[string]string // of the switch, by host
}

// NewSegment makes a segment with an etcd of that many members.
func NewSegment(t lab.T, name string, members int) *Segment {
	t.Helper()
	s := &Segment{t: t, Lab: lab.New(t, name), next: 1, ports: make(map[string]string)}
	s.Switch = s.Lab.Switch("sw")
	var etcd []lab.EtcdMember
	for i := range members {
		h, addr := s.Host(fmt.Sprintf("etcd%d", i+1))
		etcd = append(etcd, lab.EtcdMember{Host: h, Addr: addr})
	}
	s.Etcd = s.Lab.Etcd(etcd...)
	return s
}

// Host makes a host on the segment, with the address 10.0.0.N/24 and
// fd00::N/64 on eth0.
func (s *Segment) Host(name string) (*lab.Host, netip.Addr) {
	s.t.Helper()
	h := s.Lab.Host(name)
	v4, v6 := s.addresses()
	s.ports[name] = s.Switch.Connect(h.Port("eth0", v4, v6))
	s.next++
	return h, netip.MustParsePrefix(v4).Addr()
}

// SetPort sets the switch's port of a host up or down. Down, the host is cut
// off without a word: nobody is sent as much as a FIN.
func (s *Segment) SetPort(host string, up bool) {
	s.t.Helper()
	s.Switch.SetLink(s.ports[host], up)
}

func (s *Segment) addresses() (v4, v6 string) {
	return fmt.Sprintf("10.0.0.%d/24", s.next), fmt.Sprintf("fd00::%x/64", s.next)
}

// Daemon makes a host with a daemon on it; more settings may be given.
func (s *Segment) Daemon(name string, settings Settings) *Daemon {
	s.t.Helper()
	settings.IPv4, settings.IPv6 = s.addresses()
	for _, e := range s.Etcd {
		settings.Endpoints = append(settings.Endpoints, e.Endpoint)
	}
	h, _ := s.Host(name)
	d := New(s.t, h, settings)
	s.Hosts = append(s.Hosts, d)
	return d
}

// WorkloadName is the name of workload j on host i, short enough for the name
// of an interface.
func WorkloadName(i, j int) string { return fmt.Sprintf("w%d-%d", i+1, j+1) }

// Address is the addresses of workload j on host i, in the pools.
func Address(i, j int) (v4, v6 string) {
	return fmt.Sprintf("10.65.%d.%d", i+1, j+1), fmt.Sprintf("fd00:65::%x:%x", i+1, j+1)
}
