package resource

import (
	"fmt"
	"net/netip"
	"slices"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

func (p *problems) hostEndpoint(meta Meta, spec *vrouterv1.HostEndpointSpec) *HostEndpoint {
	h := &HostEndpoint{
		Meta:      meta,
		Node:      spec.GetNode(),
		Interface: spec.GetInterfaceName(),
		Expected:  p.addressList("spec.expectedIPs", spec.GetExpectedIps()),
		Profiles:  slices.Clone(spec.GetProfiles()),
	}
	p.placed(meta)
	p.err("spec.node", checkSubdomain(h.Node))
	switch {
	case h.Interface == "" && len(spec.GetExpectedIps()) == 0:
		p.addf("spec.interfaceName", "a name, %q or spec.expectedIPs is needed", AnyInterface)
	case h.Interface != "" && h.Interface != AnyInterface:
		p.err("spec.interfaceName", checkInterfaceName(h.Interface))
	}
	for i, profile := range h.Profiles {
		p.err(index("spec.profiles", i), checkCalicoName(profile))
	}
	h.Ports = p.endpointPorts("spec.ports", spec.GetPorts(), true)
	return h
}

// placed refuses own labels that say where an object is, on those that nothing
// but such a label places.
func (p *problems) placed(meta Meta) {
	if _, ok := meta.Labels[LabelNamespace]; ok {
		p.addf(fmt.Sprintf("metadata.labels[%s]", LabelNamespace), "is not for a %s to have", meta.Kind)
	}
}

// addressList reads addresses without a length.
func (p *problems) addressList(path string, texts []string) []netip.Addr {
	var list []netip.Addr
	seen := make(map[netip.Addr]bool, len(texts))
	for i, text := range texts {
		a, err := parseAddr(text)
		if err == nil && seen[a] {
			err = fmt.Errorf("%s is listed twice", a)
		}
		p.err(index(path, i), err)
		if err == nil {
			seen[a] = true
			list = append(list, a)
		}
	}
	return list
}

// endpointPorts reads ports that rules may name.
func (p *problems) endpointPorts(path string, raw []*vrouterv1.EndpointPort, named bool) []EndpointPort {
	var list []EndpointPort
	for i, port := range raw {
		at := index(path, i)
		if named || port.GetName() != "" {
			p.err(join(at, "name"), checkCalicoName(port.GetName()))
		}
		p.err(join(at, "port"), checkPort(port.GetPort()))
		protocol, err := parsePortProtocol(port.GetProtocol())
		p.err(join(at, "protocol"), err)
		list = append(list, EndpointPort{Name: port.GetName(), Protocol: protocol, Port: uint16(port.GetPort())})
	}
	return list
}

func (p *problems) networkSet(meta Meta, texts []string) *NetworkSet {
	p.placed(meta)
	set := &NetworkSet{Meta: meta}
	seen := make(map[netip.Prefix]bool, len(texts))
	for i, text := range texts {
		net, err := parsePrefix(text)
		if err != nil {
			p.err(index("spec.nets", i), err)
			continue
		}
		if net = net.Masked(); !seen[net] {
			seen[net] = true
			set.Nets = append(set.Nets, net)
		}
	}
	return set
}
