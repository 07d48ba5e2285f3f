package view

import (
	"cmp"
	"slices"

	"github.com/projectvrouter/vrouter/internal/resource"
)

// Fabric is what decides which sessions the node has and what they carry. The
// slices are in order of names; neither they nor the objects may be changed.
type Fabric struct {
	Nodes          []*resource.Node
	Peers          []*resource.BGPPeer
	Configurations []*resource.BGPConfiguration
	Pools          []*resource.IPPool
	Filters        []*resource.BGPFilter
	Groups         []*resource.BGPPeerGroup
	Secrets        []*resource.Secret

	ReflectorGroups []*resource.ReflectorGroup
	Memberships     []*resource.ReflectorMembership
}

// Node returns the node of that name, nil if there is none.
func (f Fabric) Node(name string) *resource.Node {
	i, ok := slices.BinarySearchFunc(f.Nodes, name, func(n *resource.Node, name string) int {
		return cmp.Compare(n.Name, name)
	})
	if !ok {
		return nil
	}
	return f.Nodes[i]
}

// With returns f with one more node, of a name that it does not have.
func (f Fabric) With(n *resource.Node) Fabric {
	f.Nodes = append(slices.Clone(f.Nodes), n)
	sortByName(f.Nodes)
	return f
}

// add takes an object into the fabric, and reports whether it is a part of it.
func (f *Fabric) add(o resource.Object) bool {
	switch o := o.(type) {
	case *resource.Node:
		f.Nodes = append(f.Nodes, o)
	case *resource.BGPPeer:
		f.Peers = append(f.Peers, o)
	case *resource.BGPConfiguration:
		f.Configurations = append(f.Configurations, o)
	case *resource.IPPool:
		f.Pools = append(f.Pools, o)
	case *resource.BGPFilter:
		f.Filters = append(f.Filters, o)
	case *resource.BGPPeerGroup:
		f.Groups = append(f.Groups, o)
	case *resource.Secret:
		f.Secrets = append(f.Secrets, o)
	case *resource.ReflectorGroup:
		f.ReflectorGroups = append(f.ReflectorGroups, o)
	case *resource.ReflectorMembership:
		f.Memberships = append(f.Memberships, o)
	default:
		return false
	}
	return true
}

// isFabric tells whether an object is a part of the fabric.
func isFabric(o resource.Object) bool { return new(Fabric).add(o) }

func sortByName[T resource.Object](objects []T) {
	slices.SortFunc(objects, func(a, b T) int {
		return cmp.Compare(a.Metadata().Name, b.Metadata().Name)
	})
}
