package ipam

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/projectvrouter/vrouter/internal/store"
)

// Contents is all that the store knows of addresses, at one revision: what
// checks and the collector look at.
type Contents struct {
	Revision   int64
	Blocks     []*Block
	Affinities []*BlockAffinity
	Handles    map[string]*Handle
	Endpoints  map[netip.Addr]string // the a/ keys: which key's object holds an address
	Unreadable []Finding             // keys that do not convert
}

// ReadContents reads it all.
func ReadContents(ctx context.Context, s Store) (*Contents, error) {
	c := &Contents{Handles: make(map[string]*Handle), Endpoints: make(map[netip.Addr]string)}
	for _, r := range []struct {
		prefix string
		add    func(store.KV) error
	}{
		{store.BlockPrefix, c.addBlock},
		{store.HostsPrefix, c.addAffinity},
		{store.HandlePrefix, c.addHandle},
		{store.AddressPrefix, c.addEndpoint},
	} {
		revision, err := store.Scan(ctx, s, r.prefix, c.Revision, func(kv store.KV) {
			if err := r.add(kv); err != nil {
				c.Unreadable = append(c.Unreadable, Finding{Unreadable, kv.Key, err.Error()})
			}
		})
		if err != nil {
			return nil, err
		}
		c.Revision = revision
	}
	slices.SortFunc(c.Blocks, func(a, b *Block) int { return a.CIDR.Compare(b.CIDR) })
	slices.SortFunc(c.Affinities, func(a, b *BlockAffinity) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), a.CIDR.Compare(b.CIDR))
	})
	return c, nil
}

func (c *Contents) addBlock(kv store.KV) error {
	b, err := DecodeBlock(kv.Value)
	if err == nil && store.BlockKey(b.CIDR) != kv.Key {
		err = fmt.Errorf("it holds block %s", b.CIDR)
	}
	if err == nil {
		c.Blocks = append(c.Blocks, b)
	}
	return err
}

func (c *Contents) addAffinity(kv store.KV) error {
	a, err := DecodeAffinity(kv.Value)
	if err == nil && store.HostBlockKey(a.Node, a.CIDR) != kv.Key {
		err = fmt.Errorf("it holds the affinity of %s to %s", a.Node, a.CIDR)
	}
	if err == nil {
		c.Affinities = append(c.Affinities, a)
	}
	return err
}

func (c *Contents) addHandle(kv store.KV) error {
	h, err := DecodeHandle(kv.Value)
	if err == nil && store.HandleKey(h.ID) != kv.Key {
		err = fmt.Errorf("it holds handle %s", h.ID)
	}
	if err == nil {
		c.Handles[h.ID] = h
	}
	return err
}

func (c *Contents) addEndpoint(kv store.KV) error {
	a, err := store.ParseAddressKey(kv.Key)
	if err == nil {
		c.Endpoints[a] = string(kv.Value)
	}
	return err
}
