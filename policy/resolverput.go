package policy

import (
	"net/netip"
	"slices"

	"github.com/projectvrouter/vrouter/internal/resource"
)

// builtIn returns the checked objects that are always there.
func builtIn() []resource.Object {
	var list []resource.Object
	for _, kind := range []resource.Kind{resource.KindTier, resource.KindProfile} {
		for _, raw := range resource.BuiltIn(kind) {
			obj, err := resource.Check(raw)
			if err != nil {
				panic(err) // our own object
			}
			list = append(list, obj)
		}
	}
	return list
}

func (r *Resolver) putLocked(obj resource.Object) {
	switch o := obj.(type) {
	case *resource.WorkloadEndpoint:
		r.putEndpointLocked(o)
	case *resource.HostEndpoint:
		r.putHostEndpointLocked(o)
	case *resource.NetworkSet:
		r.putNetworkSetLocked(o)
	case *resource.Namespace:
		r.putParentLocked(o.ID, resource.NamespaceLabels(o.Name, o.Labels))
	case *resource.ServiceAccount:
		r.putParentLocked(o.ID, resource.ServiceAccountLabels(o.Name, o.Labels))
	case *resource.Profile:
		r.putParentLocked(o.ID, o.LabelsToApply)
		r.putProfileLocked(o)
	case *resource.Policy:
		r.putPolicyLocked(o)
	case *resource.Tier:
		r.putTierLocked(o)
	case *resource.Service:
		r.putServiceLocked(resource.ServiceRef{Namespace: o.Namespace, Name: o.Name}, o)
	default:
		r.dirty.general = r.general.put(obj) || r.dirty.general
	}
}

func (r *Resolver) deleteLocked(id resource.ID) {
	switch id.Kind {
	case resource.KindWorkloadEndpoint, resource.KindHostEndpoint, resource.KindNetworkSet, resource.KindGlobalNetworkSet:
		r.deleteLocalLocked(id)
		r.deleteItemLocked(id)
	case resource.KindNamespace, resource.KindServiceAccount:
		r.putParentLocked(id, nil)
	case resource.KindService:
		r.putServiceLocked(resource.ServiceRef{Namespace: id.Namespace, Name: id.Name}, nil)
	case resource.KindProfile, resource.KindTier:
		for _, obj := range builtIn() {
			if obj.Metadata().ID == id {
				r.putLocked(obj)
				return
			}
		}
		if id.Kind == resource.KindTier {
			r.deleteTierLocked(id.Name)
			return
		}
		r.putParentLocked(id, nil)
		r.deletePolicyLocked(id)
	case resource.KindNetworkPolicy, resource.KindGlobalNetworkPolicy,
		resource.KindStagedNetworkPolicy, resource.KindStagedGlobalNetworkPolicy:
		r.deletePolicyLocked(id)
	default:
		r.dirty.general = r.general.delete(id) || r.dirty.general
	}
}

func (r *Resolver) putEndpointLocked(w *resource.WorkloadEndpoint) {
	clear(r.labels)
	resource.ShowEndpointLabels(w, r.labels)
	r.parents = append(r.parents[:0], resource.ID{Kind: resource.KindNamespace, Name: w.Namespace})
	if w.ServiceAccount != "" {
		r.parents = append(r.parents, resource.ID{Kind: resource.KindServiceAccount, Namespace: w.Namespace, Name: w.ServiceAccount})
	}
	r.parents = appendProfiles(r.parents, w.Profiles)
	r.setItemLocked(w.ID, r.labels, r.parents, singles(w.Addresses), named(w.Ports))
	if !r.isLocal(w) {
		r.deleteLocalLocked(w.ID)
		return
	}
	l := r.localLocked(w.ID)
	if l.workload != nil {
		r.leaveInterfaceLocked(l)
	}
	l.workload = w
	r.joinInterfaceLocked(l)
	r.endpoints.put(l.item, r.labels, r.parents)
}

func (r *Resolver) putHostEndpointLocked(h *resource.HostEndpoint) {
	parents := appendProfiles(nil, h.Profiles)
	r.setItemLocked(h.ID, h.Labels, parents, singles(h.Expected), named(h.Ports))
	if r.node != "" && h.Node != r.node {
		r.deleteLocalLocked(h.ID)
		return
	}
	l := r.localLocked(h.ID)
	l.host = h
	r.dirty.hosts = true
	r.endpoints.put(l.item, h.Labels, parents)
}

func (r *Resolver) putNetworkSetLocked(n *resource.NetworkSet) {
	var parents []resource.ID
	if n.Namespace != "" {
		parents = append(parents, resource.ID{Kind: resource.KindNamespace, Name: n.Namespace})
	}
	r.setItemLocked(n.ID, resource.NetworkSetLabels(n), parents, n.Nets, nil)
}

// setItemLocked says what an object is to the selectors of rules. Of own and
// parents it keeps nothing.
func (r *Resolver) setItemLocked(id resource.ID, own map[string]string, parents []resource.ID,
	prefixes []netip.Prefix, ports []resource.EndpointPort) {
	it := r.items[id]
	if it == nil {
		it = &item{}
		r.items[id] = it
	}
	if !slices.Equal(it.ports, ports) {
		r.peers.move(it, nil)
		it.ports = ports
	}
	if !slices.Equal(it.prefixes, prefixes) {
		r.setPrefixesLocked(it, prefixes)
	}
	r.peers.put(it, own, parents)
}

// setPrefixesLocked changes the prefixes of an item. Of a large set of networks
// it touches only those that come or go.
func (r *Resolver) setPrefixesLocked(it *item, prefixes []netip.Prefix) {
	before, after := trim(it.prefixes, prefixes)
	gone, came := difference(before, after), difference(after, before)
	r.held.remove(it, gone)
	r.held.add(it, came)
	it.prefixes = prefixes
	if it.class == nil {
		return
	}
	for _, s := range it.class.matched {
		r.memberLocked(it, gone, s, false)
		r.memberLocked(it, came, s, true)
	}
}

// trim leaves away what two lists begin and end with alike: of a large list
// mostly one place is changed.
func trim(a, b []netip.Prefix) (restA, restB []netip.Prefix) {
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	return a, b
}

// difference returns what of a is not in b.
func difference(a, b []netip.Prefix) []netip.Prefix {
	if len(a) == 0 || len(b) == 0 {
		return a
	}
	in := make(map[netip.Prefix]struct{}, len(b))
	for _, p := range b {
		in[p] = struct{}{}
	}
	var list []netip.Prefix
	for _, p := range a {
		if _, ok := in[p]; !ok {
			list = append(list, p)
		}
	}
	return list
}

func (r *Resolver) deleteItemLocked(id resource.ID) {
	if it := r.items[id]; it != nil {
		r.peers.move(it, nil)
		r.held.remove(it, it.prefixes)
		delete(r.items, id)
	}
}

// appendProfiles adds profiles to parents, each once.
func appendProfiles(parents []resource.ID, profiles []string) []resource.ID {
	for _, name := range profiles {
		if id := (resource.ID{Kind: resource.KindProfile, Name: name}); !slices.Contains(parents, id) {
			parents = append(parents, id)
		}
	}
	return parents
}

// putParentLocked says what is inherited from a parent; nil is nothing but what
// its name tells.
func (r *Resolver) putParentLocked(id resource.ID, labels map[string]string) {
	r.peers.setParent(id, labels)
	r.endpoints.setParent(id, labels)
}

func (r *Resolver) putTierLocked(t *resource.Tier) {
	old := r.tiers[t.Name]
	r.tiers[t.Name] = t
	if old == nil || old.Order != t.Order || old.DefaultAction != t.DefaultAction {
		r.touchAllLocked()
	}
}

func (r *Resolver) deleteTierLocked(name string) {
	if _, ok := r.tiers[name]; ok {
		delete(r.tiers, name)
		r.touchAllLocked()
	}
}

// peerMovedLocked changes the members of sets after an item has come to another
// class of those that rules choose among.
func (r *Resolver) peerMovedLocked(it *item, from, to *class) {
	var gone, came []*selection
	if from != nil {
		gone = from.matched
	}
	if to != nil {
		came = to.matched
	}
	for len(gone) > 0 || len(came) > 0 {
		switch {
		case len(came) == 0 || len(gone) > 0 && gone[0].serial < came[0].serial:
			r.memberLocked(it, it.prefixes, gone[0], false)
			gone = gone[1:]
		case len(gone) == 0 || came[0].serial < gone[0].serial:
			r.memberLocked(it, it.prefixes, came[0], true)
			came = came[1:]
		default:
			gone, came = gone[1:], came[1:]
		}
	}
}

// memberLocked notes that prefixes of an item begin or cease to match a
// selection. Another item with the same prefix that matches makes it no news.
func (r *Resolver) memberLocked(it *item, prefixes []netip.Prefix, s *selection, comes bool) {
	note := func(set *liveSet) {
		set.of(it, prefixes, func(m Member) {
			if !r.held.others(m.Prefix, it, func(o *item) bool { return o.class != nil && o.class.has(s) && set.has(o, m) }) {
				set.change(m, comes)
			}
		})
		r.dirty.sets[set] = struct{}{}
	}
	if set := s.addresses; set != nil {
		note(set)
		if comes {
			set.count(prefixes, 1)
		} else {
			set.count(prefixes, -1)
		}
	}
	for _, set := range s.ports {
		note(set)
	}
}
