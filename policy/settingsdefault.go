package policy

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
		FailsafeInbound:  DefaultFailsafeInbound(),
		FailsafeOutbound: DefaultFailsafeOutbound(),
		BGPPorts:         []uint16{bgpPort},
		MarkMask:         0xffff0000, // as Calico's
	}
}

// DefaultFailsafeInbound returns the ports that stay open to a host: SSH, BGP,
// etcd, and the API of Kubernetes; DHCP.
func DefaultFailsafeInbound() []Failsafe {
	return append(failsafes(ProtocolTCP, 22, 179, 2379, 2380, 5473, 6443, 6666, 6667), failsafes(ProtocolUDP, 68)...)
}

// DefaultFailsafeOutbound returns the ports of others that stay open to a host.
func DefaultFailsafeOutbound() []Failsafe {
	return append(failsafes(ProtocolUDP, 53, 67), failsafes(ProtocolTCP, 179, 2379, 2380, 5473, 6443, 6666, 6667)...)
}

func failsafes(protocol uint8, ports ...uint16) []Failsafe {
	list := make([]Failsafe, 0, len(ports))
	for _, port := range ports {
		list = append(list, Failsafe{Protocol: protocol, Port: port})
	}
	return list
}
