package resource

import (
	"net/netip"

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
			canonicalizeRuleProtocol(r.Protocol)
			canonicalizeRuleProtocol(r.NotProtocol)
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
	for i, text := range texts {
		if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" && !a.Is4In6() {
			texts[i] = a.String()
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
		if b.Address != nil {
			one := []string{b.GetAddress()}
			canonicalizeAddresses(one)
			b.Address = &one[0]
		}
		for _, port := range b.Ports {
			canonicalizeProtocol(port.Protocol)
		}
	}
}
