package policy

import "github.com/projectvrouter/vrouter/internal/resource"

// Ports that policy knows by itself.
const (
	bgpPort   = 179
	vxlanPort = 4789
)

// DefaultSettings returns what holds where nothing else is said.
func DefaultSettings() Settings {
	return Settings{
		WorkloadPrefixes: []string{"cali", "tap", "veth", "vr"},
		ToHost:           Deny,
		FailsafeInbound:  failsafes(resource.DefaultFailsafeInbound()),
		FailsafeOutbound: failsafes(resource.DefaultFailsafeOutbound()),
		BGPPorts:         []uint16{bgpPort},
		MarkMask:         0xffff0000, // as Calico's
	}
}

// under returns the settings with what an AgentConfiguration says over them.
func (s Settings) under(said resource.AgentSettings) Settings {
	override(&s.ToHost, said.ToHost)
	override(&s.Reject, said.Reject)
	override(&s.KeepInvalid, said.KeepInvalid)
	override(&s.AllowVXLAN, said.AllowVXLAN)
	override(&s.AllowIPIP, said.AllowIPIP)
	override(&s.AllowDHCP, said.AllowDHCP)
	override(&s.AllowDNS, said.AllowDNS)
	override(&s.AllowMetadata, said.AllowMetadata)
	override(&s.CutDenied, said.CutDenied)
	override(&s.AcceptForeign, said.AcceptInForeignChains)
	override(&s.MarkMask, said.MarkMask)
	override(&s.WorkloadPrefixes, said.InterfacePrefixes)
	override(&s.NAT.SpareNodes, said.NATSpareNodes)
	override(&s.NAT.Address, said.NATAddress)
	override(&s.NAT.Address6, said.NATAddress6)
	override(&s.NAT.Interface, said.NATInterface)
	if said.FailsafeInbound != nil {
		s.FailsafeInbound = failsafes(*said.FailsafeInbound)
	}
	if said.FailsafeOutbound != nil {
		s.FailsafeOutbound = failsafes(*said.FailsafeOutbound)
	}
	if said.NATPorts != nil {
		s.NAT.Ports = PortRange{First: said.NATPorts.First, Last: said.NATPorts.Last}
	}
	return s
}

func override[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// value is a setting, or its zero value where nothing is said.
func value[T any](p *T) T {
	var v T
	override(&v, p)
	return v
}

func failsafes(from []resource.Failsafe) []Failsafe {
	list := make([]Failsafe, 0, len(from))
	for _, f := range from {
		list = append(list, Failsafe(f))
	}
	return list
}
