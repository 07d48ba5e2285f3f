package policy

import "net/netip"

// Settings are of the host as a whole, for all endpoints.
type Settings struct {
	// WorkloadPrefixes begin the names of workloads' interfaces: one that is
	// no endpoint's passes nothing.
	WorkloadPrefixes []string
	// ToHost is what becomes of packets from a workload to its own host that
	// its egress policy lets through: Deny, Allow, or Pass to the rules of
	// others.
	ToHost Action
	// FailsafeInbound and FailsafeOutbound pass a host endpoint before any
	// policy, but where packets are forwarded; so do, at the untracked points,
	// the answers to what passes in the other direction.
	FailsafeInbound, FailsafeOutbound []Failsafe
	// Reject answers what is denied, instead of dropping it silently.
	Reject bool
	// KeepInvalid lets what connection tracking calls invalid meet policy,
	// instead of dropping it.
	KeepInvalid bool
	// AllowVXLAN and AllowIPIP let workloads send encapsulated packets.
	AllowVXLAN, AllowIPIP bool
	// AllowDHCP, AllowDNS and AllowMetadata let workloads reach these services
	// of their host (UDP 67 and 547; port 53; TCP 80 of 169.254.169.254),
	// whatever policy and ToHost say.
	AllowDHCP, AllowDNS, AllowMetadata bool
	// CutDenied: connections that policy no longer allows are cut. It means
	// nothing to dataplanes.
	CutDenied bool
	// AcceptForeign: where firewalls of others drop what is forwarded, what
	// policy let through is to be accepted. It means nothing to dataplanes.
	AcceptForeign bool
	// BGPPorts are open to the members of NodeSet and PeerSet, with BFD's UDP
	// 3784 and 4784: at all points of host endpoints where failsafes are, as are
	// the answers of BGP.
	BGPPorts []uint16
	// VXLANPort is open to NodeSet, likewise, and closed to others, whether
	// there are host endpoints or not; zero: no VXLAN here.
	VXLANPort uint16
	// IPIP: IP-in-IP (RFC 2003) is open to NodeSet and closed to others in the
	// same way; false: none here.
	IPIP bool
	// NAT is how packets of MasqueradeSet that leave for elsewhere than
	// PoolSet are translated.
	NAT NAT
	// MarkMask is the bits of the packet mark that we may use, eight at least.
	MarkMask uint32
	// FlowGroup is the NFLOG group of logged and denied packets; zero: none.
	FlowGroup uint16
}

// Serves tells whether a packet of a workload to its own host is for a service
// that is open to workloads whatever policy says.
func (s *Settings) Serves(p Packet) bool {
	udp, tcp := p.Protocol == ProtocolUDP, p.Protocol == ProtocolTCP
	v4, port := p.Source.Is4(), p.DestinationPort
	switch {
	case s.AllowDHCP && udp && (v4 && port == 67 || !v4 && port == 547):
		return true
	case s.AllowDNS && (udp || tcp) && port == 53:
		return true
	}
	return s.AllowMetadata && tcp && port == 80 && p.Destination == netip.AddrFrom4([4]byte{169, 254, 169, 254})
}

// Failsafe is a port that policy never closes.
type Failsafe struct {
	Protocol uint8
	Port     uint16
	Net      netip.Prefix // of the other end; invalid: anywhere
}

// NAT is how natOutgoing translates.
type NAT struct {
	// SpareNodes: packets to members of NodeSet keep their source, too.
	SpareNodes bool
	// Address and Address6 are the new sources; invalid: that of the
	// interface.
	Address, Address6 netip.Addr
	Ports             PortRange // zero: the kernel's choice
	Interface         string    // that packets leave by, + at its end: any ending; empty: any
}
