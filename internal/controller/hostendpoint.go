package controller

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// hostEndpointsOf returns what HostEndpoints a node is to have, by their names.
// All have the labels of the node, its addresses, and the profile that allows
// everything, so that making one closes nothing before a policy selects it.
func hostEndpointsOf(auto resource.AutoHostEndpoints, node *resource.Node) map[string]*vrouterv1.HostEndpoint {
	made := make(map[string]*vrouterv1.HostEndpoint)
	if !auto.Enabled {
		return made
	}
	add := func(name, link string, addresses []netip.Addr, labels map[string]string) {
		name += resource.AutoHostEndpointSuffix
		if made[name] == nil && resource.ValidHostEndpointName(name) {
			made[name] = hostEndpoint(name, link, node, addresses, labels)
		}
	}
	if auto.Default {
		add(node.Name, resource.AnyInterface, node.Addresses, nil)
	}
	for _, t := range auto.Templates {
		if t.Nodes != nil && !t.Nodes.Matches(node.Labels) {
			continue
		}
		if addresses := within(node.Addresses, t.Nets); len(t.Nets) > 0 && len(addresses) > 0 {
			add(node.Name+"-"+t.Name, "", addresses, t.Labels)
		}
		for _, link := range node.Interfaces {
			if t.Interfaces == nil || !t.Interfaces.MatchString(link.Name) {
				continue
			}
			addresses := link.Addresses
			if len(t.Nets) > 0 {
				addresses = within(addresses, t.Nets)
			}
			add(fmt.Sprintf("%s-%s-%s", node.Name, t.Name, partOfName(link.Name)), link.Name, addresses, t.Labels)
		}
	}
	return made
}

// partOfName makes of the name of an interface what names of objects may have, of
// no two the same: what such a name may have in its midst stays as it is; any other
// is made readable, and distinct by a digest. With that it is longer than the kernel
// lets a name be (15 bytes), so that it is never the name of another interface.
func partOfName(link string) string {
	if resource.ValidHostEndpointName("0-" + link + "-0") {
		return link
	}
	readable := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(link))
	digest := sha256.Sum256([]byte(link))
	return fmt.Sprintf("%s-%x", readable, digest[:8])
}

func within(addresses []netip.Addr, nets []netip.Prefix) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(addresses), func(a netip.Addr) bool {
		return !slices.ContainsFunc(nets, func(net netip.Prefix) bool { return net.Contains(a) })
	})
}

func hostEndpoint(name, link string, node *resource.Node, addresses []netip.Addr, more map[string]string) *vrouterv1.HostEndpoint {
	labels := make(map[string]string, len(node.Labels)+len(more)+1)
	for _, from := range []map[string]string{node.Labels, more} {
		for key, value := range from {
			labels[key] = value
		}
	}
	delete(labels, resource.LabelNamespace) // a node may have it, an endpoint of a host may not
	labels[resource.LabelCreatedBy] = resource.CreatedByController
	h := &vrouterv1.HostEndpoint{
		Metadata: &vrouterv1.Metadata{Name: proto.String(name), Labels: labels},
		Spec:     &vrouterv1.HostEndpointSpec{Node: proto.String(node.Name), Profiles: []string{resource.DefaultAllow}},
	}
	if link != "" {
		h.Spec.InterfaceName = proto.String(link)
	}
	for _, a := range addresses {
		h.Spec.ExpectedIps = append(h.Spec.ExpectedIps, a.String())
	}
	resource.Canonicalize(h)
	return h
}

// automatic tells whether a stored HostEndpoint is one that a controller made.
func automatic(h *vrouterv1.HostEndpoint) bool {
	meta := h.GetMetadata()
	return meta.GetLabels()[resource.LabelCreatedBy] == resource.CreatedByController &&
		strings.HasSuffix(meta.GetName(), resource.AutoHostEndpointSuffix)
}
