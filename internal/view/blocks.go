package view

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/ipam"
)

// affinity is a node's claim to a block, among the objects of a view.
type affinity struct {
	resource.Meta
	*ipam.BlockAffinity
}

// BlocksChanged signals that Blocks may return something else.
func (v *View) BlocksChanged() <-chan struct{} { return v.blocksChanged }

// Blocks returns the blocks that the node owns, in order of prefix. A claim
// that is pending, or to be deleted, is not ownership: such a block may be
// another's at any moment.
func (v *View) Blocks() []netip.Prefix {
	v.mu.Lock()
	defer v.mu.Unlock()
	var all []netip.Prefix
	for _, o := range v.objects {
		if a, ok := o.checked.(*affinity); ok && a.State == ipam.Confirmed {
			all = append(all, a.CIDR)
		}
	}
	slices.SortFunc(all, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	return all
}

func isAffinity(key string) bool { return strings.HasPrefix(key, store.HostsPrefix) }

// decodeAffinity converts a claim, which has to be of the node and to the block
// that its key names.
func decodeAffinity(kv store.KV) (resource.Object, error) {
	node, cidr, err := store.ParseHostBlockKey(kv.Key)
	if err != nil {
		return nil, err
	}
	a, err := ipam.DecodeAffinity(kv.Value)
	if err != nil {
		return nil, fmt.Errorf("decode %s: %w", kv.Key, err)
	}
	if a.Node != node || a.CIDR != cidr {
		return nil, fmt.Errorf("check %s: it holds the claim of %s to %s", kv.Key, a.Node, a.CIDR)
	}
	id := resource.ID{Kind: resource.KindBlockAffinity, Name: resource.AffinityName(node, cidr)}
	return &affinity{Meta: resource.Meta{ID: id, Revision: kv.ModRevision}, BlockAffinity: a}, nil
}
