package calico

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/ipam"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// madeHandle is a handle as the blocks make it.
type madeHandle struct {
	source string
	owner  ipam.Owner
	blocks map[string]uint32
}

// externalPrefix begins the handle of an address that Calico held for no handle.
const externalPrefix = "calico/"

// encodeBlocks makes keys of blocks and of the affinities to them, and counts
// for the handles.
func (c *conversion) encodeBlocks(t *Taken) {
	for _, b := range c.sortedBlocks() {
		spec := &vrouterv1.IPAMBlockSpec{
			Cidr:                        proto.String(b.cidr.String()),
			Allocations:                 make([]uint32, len(b.held)),
			Unallocated:                 b.free,
			SequenceNumber:              proto.Uint64(b.sequence),
			SequenceNumberForAllocation: make([]uint64, len(b.held)),
		}
		if b.affinity != "" {
			spec.Affinity = proto.String(b.affinity)
		}
		if b.claimed != 0 {
			spec.AffinityClaimTime = proto.Int64(b.claimed)
		}
		a, known := b.cidr.Addr(), make(map[string][]uint32)
		for ordinal, h := range b.held {
			if h != nil {
				if h.handle == "" {
					h.handle = externalPrefix + a.String()
				}
				spec.Allocations[ordinal] = attribute(spec, known, h)
				spec.SequenceNumberForAllocation[ordinal] = h.sequence
				c.count(b, h)
				t.Addresses++
				if h.owner.Kind == ipam.OwnerExternal {
					t.External++
				}
			}
			a = a.Next()
		}
		c.putMessage(b.source, store.BlockKey(b.cidr), spec)
		c.encodeAffinity(b)
	}
	for _, id := range slices.SortedFunc(maps.Keys(c.affinities), compareAffinities) {
		a := c.affinities[id]
		if b := c.blocks[id.cidr]; (b == nil || b.affinity != string(ipam.AffinityOf(id.node))) && a.state != "pending" {
			c.note("%d affinities are left out, such as %s: the node does not have the block", fmt.Sprintf("%s (%s, %s)", a.source, id.node, id.cidr))
		}
	}
}

func compareAffinities(a, b affinityID) int {
	if n := strings.Compare(a.node, b.node); n != 0 {
		return n
	}
	return a.cidr.Compare(b.cidr)
}

// attribute returns which of the block's attributes a holding has, counted from
// one, and adds it if it has none of them yet. Known are those of each handle.
func attribute(spec *vrouterv1.IPAMBlockSpec, known map[string][]uint32, h *holding) uint32 {
	for _, n := range known[h.handle] {
		if maps.Equal(spec.Attributes[n-1].GetSecondary(), h.attributes) {
			return n
		}
	}
	spec.Attributes = append(spec.Attributes, &vrouterv1.AllocationAttribute{HandleId: proto.String(h.handle), Secondary: h.attributes})
	n := uint32(len(spec.Attributes))
	known[h.handle] = append(known[h.handle], n)
	return n
}

// encodeAffinity makes the key that says that a node has the block. A claim that
// was under way is done: the block names the node.
func (c *conversion) encodeAffinity(b *block) {
	if b.affinity == "" {
		return
	}
	kind, name, _ := strings.Cut(b.affinity, ":")
	node := ipam.Affinity(b.affinity).Node()
	state := ipam.Confirmed
	if c.affinities[affinityID{node, b.cidr}].state == string(ipam.PendingDeletion) {
		state = ipam.PendingDeletion
	}
	if kind == "host" {
		c.node(node, "blocks")
	}
	c.putMessage(b.source, store.HostBlockKey(node, b.cidr), &vrouterv1.BlockAffinitySpec{
		State: proto.String(string(state)), Node: proto.String(name), Type: proto.String(kind), Cidr: proto.String(b.cidr.String()),
	})
}

// count adds an address to its handle.
func (c *conversion) count(b *block, h *holding) {
	m := c.made[h.handle]
	if m == nil {
		m = &madeHandle{b.source, h.owner, make(map[string]uint32)}
		c.made[h.handle] = m
	}
	if m.owner != h.owner {
		c.problems.Add(b.source, fmt.Errorf("handle %q is that of endpoint %s, which does not have all of its addresses", h.handle, m.owner.Key+h.owner.Key))
	}
	m.blocks[b.cidr.String()]++
}

func (c *conversion) encodeHandles() {
	for _, id := range slices.Sorted(maps.Keys(c.made)) {
		m := c.made[id]
		spec := &vrouterv1.IPAMHandleSpec{HandleId: proto.String(id), Block: m.blocks, OwnerKind: proto.String(string(m.owner.Kind))}
		if m.owner.Key != "" {
			spec.Owner = proto.String(m.owner.Key)
		}
		c.putMessage(m.source, store.HandleKey(id), spec)
	}
}

func (c *conversion) putMessage(source, key string, m proto.Message) {
	value, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		c.problems.Add(source, fmt.Errorf("encode: %w", err))
		return
	}
	c.put(source, key, value)
}

// warnOfHandles tells of handles that Calico counted otherwise than its blocks.
func (c *conversion) warnOfHandles() {
	var wrong []string
	for id, h := range c.handles {
		if !maps.Equal(h.blocks, c.counted[id]) {
			wrong = append(wrong, id)
		}
	}
	if len(wrong) > 0 {
		slices.Sort(wrong)
		c.warn("%d handles count otherwise than the blocks, which decide, such as %q", len(wrong), wrong[0])
	}
}
