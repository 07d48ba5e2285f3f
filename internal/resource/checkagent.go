package resource

import (
	"cmp"
	"fmt"
	"math/bits"
	"net/netip"
	"strings"

	"google.golang.org/protobuf/types/known/structpb"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// leastMarkBits is how many bits of the packet mark Calico asks for at least.
const leastMarkBits = 8

func (p *problems) agent(meta Meta, spec *vrouterv1.AgentConfigurationSpec) *AgentConfiguration {
	c := &AgentConfiguration{Meta: meta}
	p.configurationName(meta.Name)
	if spec == nil {
		return c
	}
	s := &c.Settings
	s.ToHost = p.toHost(spec.DefaultEndpointToHostAction)
	s.FailsafeInbound = p.failsafes("spec.failsafeInboundHostPorts", spec.FailsafeInboundHostPorts)
	s.FailsafeOutbound = p.failsafes("spec.failsafeOutboundHostPorts", spec.FailsafeOutboundHostPorts)
	p.agentValues(spec)
	s.Reject = p.reject(spec.IptablesFilterDenyAction, spec.NftablesFilterDenyAction)
	s.KeepInvalid = copied(spec.DisableConntrackInvalidCheck)
	s.AllowVXLAN = copied(spec.AllowVxlanPacketsFromWorkloads)
	s.AllowIPIP = copied(spec.AllowIpipPacketsFromWorkloads)
	s.Spoofing = p.choice("spec.workloadSourceSpoofing", spec.WorkloadSourceSpoofing, "Disabled", "Any")
	p.agentNAT(s, spec)
	s.InterfacePrefixes = p.interfacePrefixes(spec.InterfacePrefix)
	s.MarkMask = p.markMask(spec)
	if spec.DefaultProfile != nil {
		p.err("spec.defaultProfile", checkCalicoName(*spec.DefaultProfile))
		s.DefaultProfile = copied(spec.DefaultProfile)
	}
	s.CutDenied = copied(spec.CutDeniedConnections)
	s.AcceptInForeignChains = copied(spec.AcceptInForeignChains)
	s.AllowDHCP = copied(spec.AllowDhcpFromWorkloads)
	s.AllowDNS = copied(spec.AllowDnsFromWorkloads)
	s.AllowMetadata = copied(spec.AllowMetadataFromWorkloads)
	p.unbuilt(spec)
	return c
}

// agentValues checks what is no setting, since only one value of it is built.
func (p *problems) agentValues(spec *vrouterv1.AgentConfigurationSpec) {
	p.choice("spec.chainInsertMode", spec.ChainInsertMode, "Insert", "Append")
	p.choice("spec.iptablesFilterAllowAction", spec.IptablesFilterAllowAction, "Accept", "Return")
	p.choice("spec.iptablesMangleAllowAction", spec.IptablesMangleAllowAction, "Accept", "Return")
	p.choice("spec.nftablesFilterAllowAction", spec.NftablesFilterAllowAction, "Accept", "Return")
	p.choice("spec.nftablesMangleAllowAction", spec.NftablesMangleAllowAction, "Accept", "Return")
}

// configurationName checks the name of a configuration of all nodes or of one,
// and tells whether it is of one.
func (p *problems) configurationName(name string) (forNode bool) {
	node, forNode := strings.CutPrefix(name, nodeConfigPrefix)
	switch {
	case forNode:
		p.err("metadata.name", checkSubdomain(node))
	case name != DefaultName:
		p.addf("metadata.name", "%q is neither %q nor %sNAME", name, DefaultName, nodeConfigPrefix)
	}
	return forNode
}

func (p *problems) toHost(text *string) *Action {
	if text == nil {
		return nil
	}
	for name, action := range map[string]Action{"Drop": ActionDeny, "Return": ActionPass, "Accept": ActionAllow} {
		if strings.EqualFold(*text, name) {
			return &action
		}
	}
	p.addf("spec.defaultEndpointToHostAction", "%q is none of Drop, Return, Accept", *text)
	return nil
}

// choice reads one of two values, in any case, and tells whether it is the second.
func (p *problems) choice(path string, text *string, first, second string) *bool {
	if text == nil {
		return nil
	}
	chosen := strings.EqualFold(*text, second)
	if !chosen && !strings.EqualFold(*text, first) {
		p.addf(path, "%q is neither %s nor %s", *text, first, second)
	}
	return &chosen
}

// reject reads the choice that Calico has a field for in each dataplane. Both,
// if given, have to say the same.
func (p *problems) reject(iptables, nftables *string) *bool {
	a := p.choice("spec.iptablesFilterDenyAction", iptables, "Drop", "Reject")
	b := p.choice("spec.nftablesFilterDenyAction", nftables, "Drop", "Reject")
	if a != nil && b != nil && *a != *b {
		p.addf("spec.nftablesFilterDenyAction", "%q, but spec.iptablesFilterDenyAction is %q", *nftables, *iptables)
	}
	return cmp.Or(a, b)
}

func (p *problems) failsafes(path string, list *vrouterv1.ProtoPortList) *[]Failsafe {
	if list == nil {
		return nil
	}
	ports := make([]Failsafe, 0, len(list.GetValues()))
	for i, raw := range list.GetValues() {
		at := index(path, i)
		f := Failsafe{Protocol: protocolTCP, Port: uint16(raw.GetPort())}
		if raw.GetProtocol() != "" {
			protocol, err := parsePortProtocol(structpb.NewStringValue(raw.GetProtocol()))
			if err == nil && !hasPorts(protocol) {
				err = fmt.Errorf("%q is none of TCP, UDP, SCTP", raw.GetProtocol())
			}
			p.err(join(at, "protocol"), err)
			f.Protocol = protocol
		}
		p.err(join(at, "port"), checkPort(raw.GetPort()))
		if raw.GetNet() != "" {
			net, err := parsePrefix(raw.GetNet())
			p.err(join(at, "net"), err)
			f.Net = net.Masked()
		}
		ports = append(ports, f)
	}
	return &ports
}

func (p *problems) agentNAT(s *AgentSettings, spec *vrouterv1.AgentConfigurationSpec) {
	if spec.NatPortRange != nil {
		port, err := parsePort(spec.NatPortRange)
		if err == nil && port.Name != "" {
			err = fmt.Errorf("%q is not a range of ports such as 32768:65535", port.Name)
		}
		p.err("spec.natPortRange", err)
		s.NATPorts = &port
	}
	s.NATAddress = p.natAddress("spec.natOutgoingAddress", spec.NatOutgoingAddress, true)
	s.NATAddress6 = p.natAddress("spec.natOutgoingAddressIPv6", spec.NatOutgoingAddressIpv6, false)
	s.NATSpareNodes = p.choice("spec.natOutgoingExclusions", spec.NatOutgoingExclusions, "IPPoolsOnly", "IPPoolsAndHostIPs")
	if text := spec.IptablesNatOutgoingInterfaceFilter; text != nil {
		// A plus sign at the end, as iptables has it, stands for any ending.
		p.err("spec.iptablesNATOutgoingInterfaceFilter", checkInterfaceName(*text))
		s.NATInterface = copied(text)
	}
}

func (p *problems) natAddress(path string, text *string, v4 bool) *netip.Addr {
	if text == nil {
		return nil
	}
	a, err := parseAddr(*text)
	switch {
	case err != nil:
	case a.Is4() != v4 && v4:
		err = fmt.Errorf("%s is not an IPv4 address", a)
	case a.Is4() != v4:
		err = fmt.Errorf("%s is not an IPv6 address", a)
	default:
		err = checkUnicast(a)
	}
	p.err(path, err)
	return &a
}

func (p *problems) interfacePrefixes(text *string) *[]string {
	if text == nil {
		return nil
	}
	prefixes := strings.Split(*text, ",")
	for _, prefix := range prefixes {
		p.err("spec.interfacePrefix", checkInterfaceName(prefix))
	}
	return &prefixes
}

// markMask reads the mask of either dataplane.
func (p *problems) markMask(spec *vrouterv1.AgentConfigurationSpec) *uint32 {
	for _, f := range []struct {
		field string
		mask  *uint32
	}{{"iptablesMarkMask", spec.IptablesMarkMask}, {"nftablesMarkMask", spec.NftablesMarkMask}} {
		if f.mask != nil && bits.OnesCount32(*f.mask) < leastMarkBits {
			p.addf("spec."+f.field, "%#x has fewer than %d bits", *f.mask, leastMarkBits)
		}
	}
	if spec.IptablesMarkMask == nil {
		return copied(spec.NftablesMarkMask)
	}
	if spec.NftablesMarkMask != nil && *spec.NftablesMarkMask != *spec.IptablesMarkMask {
		p.addf("spec.nftablesMarkMask", "%#x, but spec.iptablesMarkMask is %#x", *spec.NftablesMarkMask, *spec.IptablesMarkMask)
	}
	return copied(spec.IptablesMarkMask)
}
