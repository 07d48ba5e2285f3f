package resource

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// MaxAddresses is how many addresses an endpoint may have as it is stored. Who
// writes allows fewer, since it, its old addresses and its new ones change in
// one transaction with their blocks.
const MaxAddresses = 60

func (p *problems) endpoint(meta Meta, raw *vrouterv1.WorkloadEndpoint) *WorkloadEndpoint {
	spec := raw.GetSpec()
	w := &WorkloadEndpoint{
		Meta:      meta,
		Endpoint:  EndpointIDOf(raw),
		Node:      spec.GetNode(),
		Interface: spec.GetInterfaceName(),
		Profiles:  slices.Clone(spec.GetProfiles()),

		ServiceAccount: spec.GetServiceAccountName(),
		Generation:     int64(raw.GetMetadata().GetGeneration()),
	}
	w.Endpoint.Namespace = meta.Namespace
	p.identity(w, raw)
	p.err("spec.interfaceName", checkInterfaceName(w.Interface))
	w.InterfaceType = p.interfaceType(spec.GetInterfaceType())
	w.Addresses = p.addresses(spec.GetIpNetworks())
	w.MAC = p.mac(spec.GetMac())
	for i, profile := range w.Profiles {
		p.err(index("spec.profiles", i), checkCalicoName(profile))
	}
	for i, port := range spec.GetPorts() {
		w.Ports = append(w.Ports, p.port(index("spec.ports", i), port))
	}
	if w.ServiceAccount != "" {
		p.err("spec.serviceAccountName", checkSubdomain(w.ServiceAccount))
	}
	w.Spoofs = p.spoofs(spec.GetAllowSpoofedSourcePrefixes())
	p.unbuiltEndpoint(spec)
	return w
}

// identity checks the parts that make the key and the name, and a name that
// was given against them.
func (p *problems) identity(w *WorkloadEndpoint, raw *vrouterv1.WorkloadEndpoint) {
	before := len(p.list)
	p.err("spec.orchestrator", checkPart(w.Endpoint.Orchestrator))
	p.err("spec.workload", checkPart(w.Endpoint.Workload))
	p.err("spec.endpoint", checkPart(w.Endpoint.Endpoint))
	p.err("spec.node", checkSubdomain(w.Node))
	if len(p.list) > before {
		return
	}
	name, want := raw.GetMetadata().GetName(), EndpointName(w.Node, w.Endpoint)
	if name != "" && name != want && name != calicoEndpointName(raw) {
		p.addf("metadata.name", "%q is not what the spec makes of it; leave it out, or write %q", name, want)
	}
}

func (p *problems) interfaceType(text string) InterfaceType {
	switch t := InterfaceType(text); t {
	case "":
		return InterfaceVeth
	case InterfaceVeth, InterfaceTap, InterfacePhysical:
		return t
	}
	p.addf("spec.interfaceType", "%q is none of %s, %s, %s", text, InterfaceVeth, InterfaceTap, InterfacePhysical)
	return ""
}

// addresses checks the endpoint's addresses. None is no problem: they are given
// to it, or it has no route. The order is kept: the first of a
// family is the one that orchestrators show.
func (p *problems) addresses(networks []string) []netip.Addr {
	const path = "spec.ipNetworks"
	if len(networks) > MaxAddresses {
		p.addf(path, "%d addresses, at most %d are allowed", len(networks), MaxAddresses)
		return nil
	}
	var list []netip.Addr
	for i, text := range networks {
		prefix, err := parsePrefix(text)
		switch {
		case err != nil:
		case !prefix.IsSingleIP():
			err = fmt.Errorf("%s is a range; an endpoint has single addresses, /%d", prefix, prefix.Addr().BitLen())
		default:
			err = checkUnicast(prefix.Addr())
		}
		if err == nil && slices.Contains(list, prefix.Addr()) {
			err = fmt.Errorf("%s is listed twice", prefix.Addr())
		}
		if err != nil {
			p.err(index(path, i), err)
			continue
		}
		list = append(list, prefix.Addr())
	}
	return list
}

func (p *problems) mac(text string) string {
	if text == "" {
		return ""
	}
	mac, err := net.ParseMAC(text)
	switch {
	case err != nil || len(mac) != 6:
		p.addf("spec.mac", "%q is not a MAC address such as 02:00:5e:10:00:01", text)
	case mac[0]&1 != 0:
		p.addf("spec.mac", "%q is a group address", text) // IEEE 802: the I/G bit
	case slices.Equal(mac, make(net.HardwareAddr, 6)):
		p.addf("spec.mac", "%q is no address of an interface", text)
	}
	return mac.String()
}

// spoofs reads what an endpoint may send from beside its own addresses.
func (p *problems) spoofs(texts []string) []netip.Prefix {
	return p.ranges("spec.allowSpoofedSourcePrefixes", texts)
}

func (p *problems) port(path string, port *vrouterv1.WorkloadEndpointPort) EndpointPort {
	if port.GetName() != "" || port.GetHostPort() == 0 { // a port of the host may go without
		p.err(join(path, "name"), checkCalicoName(port.GetName()))
	}
	p.err(join(path, "port"), checkPort(port.GetPort()))
	protocol, err := parsePortProtocol(port.GetProtocol())
	p.err(join(path, "protocol"), err)
	if host := port.GetHostPort(); host != 0 { // zero: none, as in Kubernetes
		p.err(join(path, "hostPort"), checkPort(host))
	}
	if ip := port.GetHostIp(); ip != "" {
		_, err := parseAddr(ip)
		p.err(join(path, "hostIP"), err)
	}
	return EndpointPort{Name: port.GetName(), Protocol: protocol, Port: uint16(port.GetPort())}
}
