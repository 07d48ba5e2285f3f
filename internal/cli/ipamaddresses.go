package cli

import (
	"context"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/projectvrouter/vrouter/internal/resource"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// heldOptions says which of the addresses that are held to show.
type heldOptions struct {
	addresses bool
	borrowed  bool
	pool      string
}

// ipamAddresses lists the addresses that somebody holds. It reads page by page,
// as there may be more than one answer can have.
func (a *app) ipamAddresses(ctx context.Context, o *heldOptions) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	within := netip.Prefix{}
	if o.pool != "" {
		pool, err := getObject(ctx, c, ref{kind: resource.KindIPPool, name: o.pool})
		if err != nil {
			return err
		}
		if within, err = netip.ParsePrefix(pool.(*vrouterv1.IPPool).GetSpec().GetCidr()); err != nil {
			return err
		}
	}
	a.newProgress("read", 0)
	nodes, err := a.nodesByAddress(ctx, c)
	if err != nil {
		return err
	}
	blocks, err := a.list(ctx, c, resource.KindIPAMBlock, scope{})
	if err != nil {
		return err
	}
	a.progress.clear()
	var all []heldAddress
	for _, msg := range blocks {
		for _, h := range heldOf(msg.(*vrouterv1.IPAMBlock).GetSpec(), nodes) {
			if (!within.IsValid() || within.Contains(h.address)) && (h.from != "" || !o.borrowed) {
				all = append(all, h)
			}
		}
	}
	slices.SortFunc(all, func(x, y heldAddress) int { return x.address.Compare(y.address) })
	t := a.newTable(false, "address", "block", flexible+"handle", "node", "borrowed from")
	for _, h := range all {
		t.add(h.address.String(), h.block, h.handle, or(h.node, "-"), or(h.from, "-"))
	}
	return t.flush(a.Out)
}

// heldAddress is an address that somebody holds.
type heldAddress struct {
	address       netip.Addr
	block, handle string
	node          string // of the endpoint that has it, if one has
	from          string // whose block it is of, where that is another node's
}

// heldOf returns the addresses of a block that are held, and where they are.
func heldOf(b *vrouterv1.IPAMBlockSpec, nodes map[netip.Addr]string) []heldAddress {
	cidr, err := netip.ParsePrefix(b.GetCidr())
	if err != nil {
		return nil // 'ipam check' tells
	}
	var held []heldAddress
	address := cidr.Addr()
	for _, n := range b.GetAllocations() {
		if 0 < n && int(n) <= len(b.GetAttributes()) {
			h := heldAddress{address: address, block: b.GetCidr(), handle: b.GetAttributes()[n-1].GetHandleId(), node: nodes[address]}
			if h.node != "" {
				h.from = lender(b.GetAffinity(), h.node)
			}
			held = append(held, h)
		}
		address = address.Next()
	}
	return held
}

// lender returns whose block an address of an endpoint on a node is of, where
// it is another's.
func lender(affinity, node string) string {
	if affinity == "host:"+node {
		return ""
	}
	return strings.TrimPrefix(affinity, "host:")
}

// ownerText renders the owner of a handle by its kind and name.
func ownerText(kind, key string) string {
	return or(strings.TrimSpace(kind+" "+keyName(key)), "unknown")
}

// keyName renders the key of an object in the store as the name of the object.
func keyName(key string) string {
	parts := strings.SplitN(key, "/", 4)
	if len(parts) != 4 || parts[0] != "r" {
		return key
	}
	name, err := url.PathUnescape(parts[3])
	if err != nil {
		return key
	}
	return strings.TrimPrefix(parts[2]+"/"+name, "-/")
}

// nodesByAddress reads on which node the endpoint of each address is.
func (a *app) nodesByAddress(ctx context.Context, c *client) (map[netip.Addr]string, error) {
	endpoints, err := a.list(ctx, c, resource.KindWorkloadEndpoint, scope{})
	if err != nil {
		return nil, err
	}
	nodes := make(map[netip.Addr]string)
	for _, msg := range endpoints {
		spec := msg.(*vrouterv1.WorkloadEndpoint).GetSpec()
		for _, text := range spec.GetIpNetworks() {
			if p, err := netip.ParsePrefix(text); err == nil {
				nodes[p.Addr()] = spec.GetNode()
			}
		}
	}
	return nodes, nil
}
