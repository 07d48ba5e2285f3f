package resource

import (
	"fmt"
	"math"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

func (p *problems) service(meta Meta, spec *vrouterv1.ServiceSpec) *Service {
	s := &Service{
		Meta:      meta,
		Addresses: p.addressList("spec.addresses", spec.GetAddresses()),
		Ports:     p.servicePorts("spec.ports", spec.GetPorts()),
	}
	own := make([]EndpointPort, 0, len(s.Ports))
	for _, port := range s.Ports {
		own = append(own, EndpointPort{Name: port.Name, Protocol: port.Protocol, Port: port.Target})
	}
	for i, raw := range spec.GetBackends() {
		s.Backends = append(s.Backends, p.backend(index("spec.backends", i), raw, own))
	}
	return s
}

func (p *problems) servicePorts(path string, raw []*vrouterv1.ServicePort) []ServicePort {
	var list []ServicePort
	names := make(map[string]bool, len(raw))
	for i, r := range raw {
		at := index(path, i)
		port := ServicePort{Name: r.GetName(), Protocol: protocolTCP, Port: uint16(r.GetPort()), Target: uint16(r.GetPort())}
		if r.GetName() != "" || len(raw) > 1 {
			p.err(join(at, "name"), checkCalicoName(r.GetName()))
		}
		if names[port.Name] {
			p.addf(join(at, "name"), "%q is listed twice", port.Name)
		}
		names[port.Name] = true
		if r.GetProtocol() != nil {
			protocol, err := parsePortProtocol(r.GetProtocol())
			p.err(join(at, "protocol"), err)
			if err == nil && !hasPorts(protocol) {
				p.addf(join(at, "protocol"), "%s has no ports that a service could have; TCP, UDP and SCTP have", ProtocolName(protocol))
			}
			port.Protocol = protocol
		}
		p.err(join(at, "port"), checkPort(r.GetPort()))
		if target := r.GetTargetPort(); target != 0 {
			if target > math.MaxUint16 {
				p.err(join(at, "targetPort"), fmt.Errorf("%d is not a port", target))
			}
			port.Target = uint16(target)
		}
		list = append(list, port)
	}
	return list
}

// backend checks one that serves. The ports of the service are its own if it
// states none.
func (p *problems) backend(path string, raw *vrouterv1.ServiceBackend, ports []EndpointPort) Backend {
	b := Backend{Node: raw.GetNode(), Ready: raw == nil || raw.Ready == nil || *raw.Ready, Ports: ports}
	address, err := parseAddr(raw.GetAddress())
	p.err(join(path, "address"), err)
	b.Address = address
	if b.Node != "" {
		p.err(join(path, "node"), checkSubdomain(b.Node))
	}
	if len(raw.GetPorts()) > 0 {
		b.Ports = p.endpointPorts(join(path, "ports"), raw.GetPorts(), false)
	}
	return b
}
