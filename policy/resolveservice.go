package policy

import (
	"net/netip"
	"slices"

	"github.com/projectvrouter/vrouter/internal/resource"
)

// serviceSetID returns the ID of the set of a service's backends, with their
// ports or without.
func serviceSetID(ref resource.ServiceRef, kind SetKind) SetID {
	return SetID("s" + digest(appendText(appendText([]byte{byte(kind)}, ref.Namespace), ref.Name)))
}

// serviceSetLocked returns the set of a service's backends, there or not.
func (r *Resolver) serviceSetLocked(ref resource.ServiceRef, kind SetKind) *liveSet {
	id := serviceSetID(ref, kind)
	if set := r.sets[id]; set != nil {
		return set
	}
	return r.newSetLocked(&liveSet{
		id: id, kind: kind, users: make(map[*policyEntry]struct{}),
		origin: kind.String() + " of service " + ref.Namespace + "/" + ref.Name,
		list:   backends(r.services[ref], kind),
	})
}

func (r *Resolver) putServiceLocked(ref resource.ServiceRef, s *resource.Service) {
	if s == nil {
		delete(r.services, ref)
	} else {
		r.services[ref] = s
	}
	for _, kind := range []SetKind{Addresses, Ports} {
		if set := r.sets[serviceSetID(ref, kind)]; set != nil {
			set.setList(backends(s, kind))
			r.dirty.sets[set] = struct{}{}
		}
	}
}

// backends returns the members of a service's set. As in Calico, a backend that
// is not ready is one: connections to it may be open still.
func backends(s *resource.Service, kind SetKind) []Member {
	if s == nil {
		return nil
	}
	var list []Member
	for _, b := range s.Backends {
		m := Member{Prefix: netip.PrefixFrom(b.Address, b.Address.BitLen())}
		if kind == Addresses {
			list = append(list, m)
			continue
		}
		for _, port := range b.Ports {
			m.Protocol, m.Port = port.Protocol, port.Port
			list = append(list, m)
		}
	}
	return sorted(list)
}

func sorted(list []Member) []Member {
	slices.SortFunc(list, compareMembers)
	return slices.Compact(list)
}
