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

func sortByName[T resource.Object](objects []T) {
	slices.SortFunc(objects, func(a, b T) int {
		return cmp.Compare(a.Metadata().Name, b.Metadata().Name)
	})
}
