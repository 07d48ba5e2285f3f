package calico

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/ipam"
)

// settle finds out what there is: pools, nodes, endpoints, whose addresses it
// claims. Empty blocks that no pool has any more, or that are of another size
// than its own, are left out, as Calico would sooner or later.
func (c *conversion) settle() (endpoints []*object) {
	for _, o := range c.sorted() {
		switch checked := o.checked.(type) {
		case *resource.IPPool:
			c.pools = append(c.pools, checked)
		case *resource.Node:
			c.node(o.id.Name, "Node")
		case *resource.WorkloadEndpoint:
			endpoints = append(endpoints, o)
			c.node(checked.Node, "endpoints")
		}
	}
	left := make(map[netip.Prefix]bool)
	for _, b := range c.sortedBlocks() {
		if len(b.free) < len(b.held) {
			continue
		}
		if pool := c.poolOf(b.cidr.Addr()); pool == nil || pool.BlockSize != b.cidr.Bits() {
			c.note("%d blocks are left out, such as %s: nobody holds an address of them, and no pool has blocks of their size there", b.source)
			delete(c.blocks, b.cidr)
			left[b.cidr] = true
		}
	}
	maps.DeleteFunc(c.affinities, func(id affinityID, _ affinity) bool { return left[id.cidr] })
	return endpoints
}

func (c *conversion) node(name, what string) {
	if c.nodes[name] == nil {
		c.nodes[name] = make(map[string]bool)
	}
	c.nodes[name][what] = true
}

func (c *conversion) poolOf(a netip.Addr) *resource.IPPool {
	for _, p := range c.pools {
		if p.CIDR.Contains(a) {
			return p
		}
	}
	return nil
}

// ownAddresses has endpoints hold their addresses, each as its own handle: by
// that they are released with the endpoint. What no block of Calico's knows of,
// as where an orchestrator gives out addresses by itself, is taken.
func (c *conversion) ownAddresses(endpoints []*object) {
	outside := 0
	for _, o := range endpoints {
		handle, owner := ipam.EndpointHandle(o.id)
		endpoint := o.checked.(*resource.WorkloadEndpoint)
		for _, a := range endpoint.Addresses {
			if other := c.owned[a]; other != nil {
				c.problems.Add(o.source+": spec.ipNetworks", fmt.Errorf("%s is an address of %s (%s), too", a, other.id, other.source))
				continue
			}
			c.owned[a] = o
			c.put(o.source, store.AddressKey(a), []byte(owner.Key))
			b, at := c.find(a)
			if b == nil {
				pool := c.poolOf(a)
				if pool == nil {
					outside++
					continue
				}
				b, at = c.newBlock(o.source, pool, a)
			}
			if b.held[at] == nil {
				b.take(at, c.floor+1)
			}
			h := b.held[at]
			if pod, ns := h.attributes["pod"], h.attributes["namespace"]; pod != "" && (pod != endpoint.Endpoint.Workload || ns != o.id.Namespace) {
				c.note("%d addresses are taken as those of endpoints, and Calico's blocks say of another pod, such as %s",
					fmt.Sprintf("%s of %s: pod %s of %s", a, handle, pod, ns))
			}
			h.handle, h.owner = handle, owner
		}
	}
	if outside > 0 {
		c.warn("%d addresses of endpoints are outside all pools: address management does not know of them, and no peer is told of them", outside)
	}
	for _, b := range c.blocks {
		c.floor = max(c.floor, b.sequence)
	}
}

// newBlock adds a block for an address that none has. It is nobody's: who claims
// it next has it.
func (c *conversion) newBlock(source string, pool *resource.IPPool, a netip.Addr) (*block, int) {
	cidr, _ := a.Prefix(pool.BlockSize) // in its bounds, or the pool would have been refused
	b := &block{source: source + " (" + cidr.String() + ")", cidr: cidr, sequence: c.floor + 1,
		held: make([]*holding, 1<<(a.BitLen()-pool.BlockSize))}
	for i := range b.held {
		b.free = append(b.free, uint32(i))
	}
	c.blocks[cidr] = b
	return b, ordinal(cidr, a)
}

// take gives out a free address.
func (b *block) take(at int, sequence uint64) {
	b.held[at] = &holding{sequence: sequence}
	b.sequence = max(b.sequence, sequence)
	if i := slices.Index(b.free, uint32(at)); i >= 0 {
		b.free = slices.Delete(b.free, i, i+1)
	}
}
