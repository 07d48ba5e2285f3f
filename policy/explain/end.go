package explain

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/projectvrouter/vrouter/internal/resource"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// The kinds of ends.
const (
	kindWorkload = "workload"
	kindHost     = "host"
	kindOutside  = "outside"
)

// hostPrefix begins the name of a host's interface.
const hostPrefix = "host:"

// end is one end of a packet.
type end struct {
	name      string
	kind      string
	workload  *resource.WorkloadEndpoint // of a workload
	node      string                     // of a workload or a host
	iface     string                     // of a host; empty: not said
	addresses []netip.Addr
	missing   string // why the end is not there; empty: it is
}

// checkEnd tells what is wrong with the text of an end.
func checkEnd(text string) error {
	if text == "" {
		return errors.New("is needed")
	}
	if a, err := netip.ParseAddr(text); err == nil {
		if a.Zone() != "" {
			return fmt.Errorf("%q has a zone", text)
		}
		return nil
	}
	name, _ := strings.CutPrefix(text, hostPrefix)
	if before, after, ok := strings.Cut(name, "/"); !ok || before == "" || after == "" {
		return fmt.Errorf("%q is none of NAMESPACE/ENDPOINT, host:NODE/INTERFACE, an address", text)
	}
	return nil
}

// end returns the end that a text names. It is an error when several have the
// name.
func (c *Cluster) end(text string) (end, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		return c.endOfAddress(text, a.Unmap())
	}
	if at, ok := strings.CutPrefix(text, hostPrefix); ok {
		node, iface, _ := strings.Cut(at, "/")
		return c.endOfHost(text, node, iface), nil
	}
	namespace, name, _ := strings.Cut(text, "/")
	e := end{name: text, kind: kindWorkload}
	found := c.named[nameKey{namespace, name}]
	switch len(found) {
	case 0:
		e.missing = fmt.Sprintf("there is no endpoint %s in namespace %s", name, namespace)
		return e, nil
	case 1:
		return workloadEnd(text, found[0]), nil
	}
	var names []string
	for _, w := range found {
		names = append(names, w.Endpoint.String())
	}
	slices.Sort(names)
	return e, fmt.Errorf("%q is the name of %d endpoints: %s", text, len(found), strings.Join(names, ", "))
}

func workloadEnd(text string, w *resource.WorkloadEndpoint) end {
	return end{name: text, kind: kindWorkload, workload: w, node: w.Node, iface: w.Interface, addresses: w.Addresses}
}

// endOfAddress looks among endpoints, then among nodes and their host endpoints.
func (c *Cluster) endOfAddress(text string, a netip.Addr) (end, error) {
	single := func(e end) (end, error) {
		e.addresses = []netip.Addr{a}
		return e, nil
	}
	switch found := c.workloadsAt[a]; {
	case len(found) == 1:
		return single(workloadEnd(text, found[0]))
	case len(found) > 1:
		var names []string
		for _, w := range found {
			names = append(names, w.Endpoint.String())
		}
		slices.Sort(names)
		return end{}, fmt.Errorf("%s is the address of %d endpoints: %s", a, len(found), strings.Join(names, ", "))
	}
	if at, ok := c.hostsAt[a]; ok {
		return single(end{name: text, kind: kindHost, node: at.node, iface: at.iface})
	}
	e := end{name: text, kind: kindOutside}
	if c.isPooled(a) {
		e.missing = fmt.Sprintf("%s is in a pool, and no endpoint has it", a)
	}
	return single(e)
}

// endOfHost returns an interface of a node with the addresses that are stored of
// it: those of its host endpoint, else of the node.
func (c *Cluster) endOfHost(text, node, iface string) end {
	e := end{name: text, kind: kindHost, node: node, iface: iface}
	n := c.nodes[node]
	for _, h := range c.hosts[node] {
		if h.Interface == iface {
			e.addresses = append(e.addresses, h.Expected...)
		}
	}
	if n != nil && len(e.addresses) == 0 {
		for _, p := range []netip.Prefix{n.IPv4, n.IPv6} {
			if p.IsValid() {
				e.addresses = append(e.addresses, p.Addr())
			}
		}
	}
	switch {
	case n == nil && len(c.hosts[node]) == 0:
		e.missing = fmt.Sprintf("there is no node %s", node)
	case len(e.addresses) == 0:
		e.missing = fmt.Sprintf("no address of %s is stored", node)
	}
	return e
}

// message renders the end for the API.
func (e end) message() *vrouterv1.PolicyEnd {
	m := &vrouterv1.PolicyEnd{Name: e.name, Kind: e.kind, Node: e.node, Interface: e.iface}
	if e.workload != nil {
		m.Endpoint = e.workload.Endpoint.String()
	}
	for _, a := range e.addresses {
		m.Addresses = append(m.Addresses, a.String())
	}
	return m
}

// of returns the first address of a family.
func (e end) of(isV4 bool) netip.Addr {
	for _, a := range e.addresses {
		if a.Is4() == isV4 {
			return a
		}
	}
	return netip.Addr{}
}
