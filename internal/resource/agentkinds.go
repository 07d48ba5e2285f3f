package resource

import (
	"cmp"
	"net/netip"
)

// KindAgentConfiguration is Calico's FelixConfiguration.
const KindAgentConfiguration Kind = "AgentConfiguration"

// AgentConfiguration is what hosts do beside BGP: all (name "default"), or one
// (name "node.NAME").
type AgentConfiguration struct {
	Meta
	Settings AgentSettings
}

// AgentSettings are what an AgentConfiguration says; nil: nothing.
type AgentSettings struct {
	// ToHost is what becomes of packets from a workload to its own host:
	// ActionDeny, ActionAllow, or ActionPass to the host's own rules.
	ToHost                            *Action
	FailsafeInbound, FailsafeOutbound *[]Failsafe
	Reject                            *bool // what is denied is answered
	KeepInvalid                       *bool // what connection tracking calls invalid meets policy
	AllowVXLAN, AllowIPIP             *bool // from workloads
	Spoofing                          *bool // endpoints may send from their Spoofs
	NATPorts                          *Port
	NATAddress, NATAddress6           *netip.Addr
	NATSpareNodes                     *bool // natOutgoing spares what goes to nodes
	NATInterface                      *string
	InterfacePrefixes                 *[]string
	MarkMask                          *uint32

	DefaultProfile                     *string // of endpoints that name none
	CutDenied                          *bool   // connections that a policy no longer allows
	AcceptInForeignChains              *bool
	AllowDHCP, AllowDNS, AllowMetadata *bool // from workloads to their host
}

// Failsafe is a port of hosts that policy does not close.
type Failsafe struct {
	Protocol uint8
	Port     uint16
	Net      netip.Prefix // of the other end; invalid: anywhere
}

// Over returns what s says, and where it says nothing what under says.
func (s AgentSettings) Over(under AgentSettings) AgentSettings {
	return AgentSettings{
		ToHost:                cmp.Or(s.ToHost, under.ToHost),
		FailsafeInbound:       cmp.Or(s.FailsafeInbound, under.FailsafeInbound),
		FailsafeOutbound:      cmp.Or(s.FailsafeOutbound, under.FailsafeOutbound),
		Reject:                cmp.Or(s.Reject, under.Reject),
		KeepInvalid:           cmp.Or(s.KeepInvalid, under.KeepInvalid),
		AllowVXLAN:            cmp.Or(s.AllowVXLAN, under.AllowVXLAN),
		AllowIPIP:             cmp.Or(s.AllowIPIP, under.AllowIPIP),
		Spoofing:              cmp.Or(s.Spoofing, under.Spoofing),
		NATPorts:              cmp.Or(s.NATPorts, under.NATPorts),
		NATAddress:            cmp.Or(s.NATAddress, under.NATAddress),
		NATAddress6:           cmp.Or(s.NATAddress6, under.NATAddress6),
		NATSpareNodes:         cmp.Or(s.NATSpareNodes, under.NATSpareNodes),
		NATInterface:          cmp.Or(s.NATInterface, under.NATInterface),
		InterfacePrefixes:     cmp.Or(s.InterfacePrefixes, under.InterfacePrefixes),
		MarkMask:              cmp.Or(s.MarkMask, under.MarkMask),
		DefaultProfile:        cmp.Or(s.DefaultProfile, under.DefaultProfile),
		CutDenied:             cmp.Or(s.CutDenied, under.CutDenied),
		AcceptInForeignChains: cmp.Or(s.AcceptInForeignChains, under.AcceptInForeignChains),
		AllowDHCP:             cmp.Or(s.AllowDHCP, under.AllowDHCP),
		AllowDNS:              cmp.Or(s.AllowDNS, under.AllowDNS),
		AllowMetadata:         cmp.Or(s.AllowMetadata, under.AllowMetadata),
	}
}

// DefaultFailsafeInbound returns the ports of Calico's: SSH, DHCP, BGP, etcd,
// Typha and the API of Kubernetes.
func DefaultFailsafeInbound() []Failsafe {
	return append(failsafes(protocolUDP, 68), failsafes(protocolTCP, 22, 179, 2379, 2380, 5473, 6443, 6666, 6667)...)
}

// DefaultFailsafeOutbound returns the ports of Calico's: DNS, DHCP, BGP, etcd,
// Typha and the API of Kubernetes.
func DefaultFailsafeOutbound() []Failsafe {
	return append(failsafes(protocolUDP, 53, 67), failsafes(protocolTCP, 179, 2379, 2380, 5473, 6443, 6666, 6667)...)
}

func failsafes(protocol uint8, ports ...uint16) []Failsafe {
	var list []Failsafe
	for _, port := range ports {
		list = append(list, Failsafe{Protocol: protocol, Port: port})
	}
	return list
}
