package ipam

import (
	"cmp"
	"slices"
	"strings"
)

// choose returns the pools of a family that are for a request, in the order in
// which they are used, or why none is.
func (e *Env) choose(req *Request, family Family) ([]*Pool, error) {
	if len(req.Pools) > 0 {
		return e.requested(req, family)
	}
	var pools []*Pool
	none := &NoPoolError{Family: family, Node: req.Node}
	for i := range e.Pools {
		p := &e.Pools[i]
		if FamilyOf(p.CIDR.Addr()) != family {
			continue
		}
		if reason := p.refuses(req); reason != "" {
			none.Pools = append(none.Pools, PoolReason{Pool: p.Name, Reason: reason})
			continue
		}
		pools = append(pools, p)
	}
	if len(pools) == 0 {
		return nil, none
	}
	slices.SortFunc(pools, func(a, b *Pool) int { return strings.Compare(a.Name, b.Name) })
	return pools, nil
}

// refuses says why a pool is not for a request that does not name it; empty:
// it is.
func (p *Pool) refuses(req *Request) string {
	use := cmp.Or(req.Use, UseWorkload)
	switch {
	case p.Disabled:
		return "disabled"
	case p.Manual:
		return "assignmentMode is Manual: it must be named"
	case !p.allows(use):
		return "allowedUses does not have " + string(use)
	case !p.selectsNode(req.Node, req.NodeLabels):
		return "nodeSelector " + p.NodeSelector.String() + " does not match the node"
	case !p.selectsNamespace(req.NamespaceLabels):
		return "namespaceSelector " + p.NamespaceSelector.String() + " does not match the namespace"
	}
	return ""
}

// requested returns the pools of a family that a request names, in its order.
// Each name must be that of a pool that gives addresses, whatever its
// selectors.
func (e *Env) requested(req *Request, family Family) ([]*Pool, error) {
	use := cmp.Or(req.Use, UseWorkload)
	var pools []*Pool
	none := &NoPoolError{Family: family, Node: req.Node}
	var others []PoolReason // of the other family
	for _, name := range req.Pools {
		i := slices.IndexFunc(e.Pools, func(p Pool) bool { return p.Name == name || p.CIDR.String() == name })
		switch {
		case i < 0:
			return nil, &NoPoolError{Family: family, Node: req.Node, Pools: []PoolReason{{Pool: name, Reason: "there is no such pool"}}}
		case FamilyOf(e.Pools[i].CIDR.Addr()) != family:
			others = append(others, PoolReason{name, "it is not of " + family.String(), true})
		case e.Pools[i].Disabled:
			none.Pools = append(none.Pools, PoolReason{Pool: name, Reason: "disabled"})
		case !e.Pools[i].allows(use):
			none.Pools = append(none.Pools, PoolReason{Pool: name, Reason: "allowedUses does not have " + string(use)})
		case !slices.Contains(pools, &e.Pools[i]):
			pools = append(pools, &e.Pools[i])
		}
	}
	if len(pools) == 0 && len(none.Pools) == 0 {
		none.Pools = others
	}
	if len(none.Pools) > 0 {
		return nil, none
	}
	return pools, nil
}
