package resource

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// canonicalizePolicyKind is Canonicalize for the kinds of policy.
func canonicalizePolicyKind(msg proto.Message) {
	switch spec := SpecOf(msg).(type) {
	case *vrouterv1.TierSpec:
		canonicalizeTier(MetadataOf(msg).GetName(), spec)
	case *vrouterv1.ProfileSpec:
		canonicalizeRules(spec.Ingress, spec.Egress)
	case *vrouterv1.NetworkSetSpec:
		canonicalizeNets(spec.Nets)
	case *vrouterv1.GlobalNetworkSetSpec:
		canonicalizeNets(spec.Nets)
	case *vrouterv1.HostEndpointSpec:
		canonicalizeAddresses(spec.ExpectedIps)
		for _, port := range spec.Ports {
			canonicalizeProtocol(port.Protocol)
		}
	case *vrouterv1.ServiceSpec:
		canonicalizeService(spec)
	case *vrouterv1.AgentConfigurationSpec:
		canonicalizeAgent(spec)
	default:
		if policy := policySpecOf(msg); policy != nil {
			canonicalizePolicy(MetadataOf(msg), policy)
		}
	}
}

func canonicalizeTier(name string, spec *vrouterv1.TierSpec) {
	action := ActionDeny
	if t := builtInTier(name); t != nil {
		action = t.action
		if spec.Order == nil {
			spec.Order = proto.Float64(t.order)
		}
	}
	if spec.DefaultAction == nil {
		spec.DefaultAction = proto.String(action.String())
	}
}

func canonicalizePolicy(meta *vrouterv1.Metadata, spec *policySpec) {
	if meta.Name != nil {
		meta.Name = proto.String(policyName(meta.GetName(), spec.tierName()))
	}
	if *spec.tier == nil {
		*spec.tier = proto.String(DefaultTier)
	}
	if spec.stagedAction != nil && *spec.stagedAction == nil {
		*spec.stagedAction = proto.String(string(StagedSet))
	}
	if len(*spec.types) == 0 && !spec.deletes() {
		*spec.types = spec.derivedTypes()
	}
	canonicalizeRules(spec.ingress, spec.egress)
}

func canonicalizeRules(directions ...[]*vrouterv1.Rule) {
	for _, rules := range directions {
		for _, r := range rules {
			canonicalizeProtocol(r.Protocol)
			canonicalizeProtocol(r.NotProtocol)
			for _, e := range []*vrouterv1.EntityRule{r.Source, r.Destination} {
				canonicalizeRanges(e.GetNets())
				canonicalizeRanges(e.GetNotNets())
				for _, ports := range [][]*structpb.Value{e.GetPorts(), e.GetNotPorts()} {
					for _, port := range ports {
						canonicalizePort(port)
					}
				}
			}
		}
	}
}

// canonicalizeNets writes networks without bits beyond their length.
func canonicalizeNets(texts []string) {
	canonicalizeRanges(texts)
	for i, text := range texts {
		if p, err := parsePrefix(text); err == nil {
			texts[i] = p.Masked().String()
		}
	}
}

func canonicalizeAddresses(texts []string) {
	for i := range texts {
		canonicalizeAddress(&texts[i])
	}
}

// canonicalizeAddress writes an address without length as netip does.
func canonicalizeAddress(text *string) {
	if text == nil {
		return
	}
	if a, err := parseAddr(*text); err == nil {
		*text = a.String()
	}
}

func canonicalizeAgent(spec *vrouterv1.AgentConfigurationSpec) {
	canonicalizePort(spec.NatPortRange)
	canonicalizeAddress(spec.NatOutgoingAddress)
	canonicalizeAddress(spec.NatOutgoingAddressIpv6)
	for _, list := range []*vrouterv1.ProtoPortList{spec.FailsafeInboundHostPorts, spec.FailsafeOutboundHostPorts} {
		for _, port := range list.GetValues() {
			if port.Protocol == nil {
				port.Protocol = proto.String(ProtocolName(protocolTCP))
			}
			if n, err := parsePortProtocol(structpb.NewStringValue(*port.Protocol)); err == nil && hasPorts(n) {
				*port.Protocol = ProtocolName(n)
			}
			if net, err := parsePrefix(port.GetNet()); err == nil {
				port.Net = proto.String(net.Masked().String())
			}
		}
	}
}

func canonicalizeService(spec *vrouterv1.ServiceSpec) {
	canonicalizeAddresses(spec.Addresses)
	for _, port := range spec.Ports {
		if port.Protocol == nil {
			port.Protocol = structpb.NewStringValue(ProtocolName(protocolTCP))
		}
		canonicalizeProtocol(port.Protocol)
	}
	for _, b := range spec.Backends {
		canonicalizeAddress(b.Address)
		for _, port := range b.Ports {
			canonicalizeProtocol(port.Protocol)
		}
	}
}
