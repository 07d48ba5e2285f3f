package policy

import (
	"net/netip"
	"reflect"
	"slices"

	"github.com/projectvrouter/vrouter/internal/resource"
)

// general is what holds for the host as a whole: few objects, worked out anew
// when one of them changes.
type general struct {
	defaults Settings
	objects  map[resource.ID]resource.Object

	// As last worked out:
	profile  string // of workloads without one
	spoofing bool   // endpoints may send from their Spoofs
}

func newGeneral() general {
	return general{defaults: DefaultSettings(), objects: make(map[resource.ID]resource.Object)}
}

// fixedSets returns the sets that are there without a rule.
func fixedSets() map[SetID]SetKind {
	return map[SetID]SetKind{PoolSet: Networks, MasqueradeSet: Networks, NodeSet: Addresses, PeerSet: Networks}
}

// isGeneral tells whether objects of the kind matter here.
func isGeneral(kind resource.Kind) bool {
	switch kind {
	case resource.KindNode, resource.KindIPPool, resource.KindBGPPeer, resource.KindBGPConfiguration,
		resource.KindAgentConfiguration:
		return true
	}
	return false
}

// put takes over an object, and tells whether it matters.
func (g *general) put(obj resource.Object) bool {
	id := obj.Metadata().ID
	if !isGeneral(id.Kind) {
		return false
	}
	g.objects[id] = obj
	return true
}

func (g *general) delete(id resource.ID) bool {
	_, ok := g.objects[id]
	delete(g.objects, id)
	return ok
}

func (g *general) defaultProfile() string { return g.profile }

// flushGeneralLocked works out settings and fixed sets.
func (r *Resolver) flushGeneralLocked(u *Update) {
	said := r.general.agent(r.node)
	s := r.general.settings(said)
	if r.told.settings == nil || !reflect.DeepEqual(r.told.settings, s) {
		r.told.settings, u.Settings = s, s
		r.dirty.hosts = true // which interfaces are workloads' may be new
	}
	if profile := value(said.DefaultProfile); profile != r.general.profile {
		r.general.profile = profile
		r.touchAllLocked()
	}
	if spoofing := value(said.Spoofing); spoofing != r.general.spoofing {
		r.general.spoofing = spoofing
		for _, l := range r.locals {
			r.touchLocalLocked(l)
		}
	}
	for id, list := range r.general.members(r.node) {
		set := r.sets[id]
		set.setList(sorted(list))
		r.dirty.sets[set] = struct{}{}
	}
}

// agent returns what is said for the node, and for all where nothing is.
func (g *general) agent(node string) resource.AgentSettings {
	var said resource.AgentSettings
	for _, name := range []string{resource.DefaultName, "node." + node} {
		id := resource.ID{Kind: resource.KindAgentConfiguration, Name: name}
		if c, ok := g.objects[id].(*resource.AgentConfiguration); ok {
			said = c.Settings.Over(said)
		}
	}
	return said
}

// settings returns the defaults with what objects say.
func (g *general) settings(said resource.AgentSettings) *Settings {
	s := g.defaults.under(said)
	s.BGPPorts = slices.Clone(s.BGPPorts)
	for _, obj := range g.objects {
		switch o := obj.(type) {
		case *resource.BGPConfiguration:
			s.BGPPorts = append(s.BGPPorts, o.ListenPort)
		case *resource.BGPPeer:
			s.BGPPorts = append(s.BGPPorts, o.PeerPort)
		case *resource.IPPool:
			if o.VXLANMode != "" && o.VXLANMode != resource.EncapNever && s.VXLANPort == 0 {
				s.VXLANPort = vxlanPort
			}
			s.IPIP = s.IPIP || o.IPIPMode != "" && o.IPIPMode != resource.EncapNever
		}
	}
	slices.Sort(s.BGPPorts)
	s.BGPPorts = slices.DeleteFunc(slices.Compact(s.BGPPorts), func(port uint16) bool { return port == 0 })
	return &s
}

// members returns those of the fixed sets.
func (g *general) members(node string) map[SetID][]Member {
	sets := make(map[SetID][]Member)
	for id := range fixedSets() {
		sets[id] = nil
	}
	add := func(id SetID, p netip.Prefix) {
		if p.IsValid() {
			sets[id] = append(sets[id], Member{Prefix: p.Masked()})
		}
	}
	address := func(id SetID, a netip.Addr) {
		if a.IsValid() {
			add(id, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	self, _ := g.objects[resource.ID{Kind: resource.KindNode, Name: node}].(*resource.Node)
	for _, obj := range g.objects {
		switch o := obj.(type) {
		case *resource.IPPool:
			add(PoolSet, o.CIDR)
			if o.NATOutgoing && !o.Disabled {
				add(MasqueradeSet, o.CIDR)
			}
		case *resource.Node:
			address(NodeSet, o.IPv4.Addr())
			address(NodeSet, o.IPv6.Addr())
		case *resource.BGPPeer:
			if node == "" || isFor(o, node, self) {
				address(PeerSet, o.PeerIP)
				add(PeerSet, o.PeerRange)
			}
		}
	}
	return sets
}

// isFor tells whether a peer is one of the node's, which may not be stored.
func isFor(p *resource.BGPPeer, node string, self *resource.Node) bool {
	switch {
	case p.Node != "":
		return p.Node == node
	case p.NodeSelector != nil:
		return self != nil && p.NodeSelector.Matches(self.Labels)
	}
	return true
}
