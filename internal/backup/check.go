package backup

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/ipam"
)

// maxProblems is how many problems are told one by one.
const maxProblems = 100

// Problems collects what is wrong with a file.
type Problems struct {
	list []resource.Problem
	more int
}

// Add adds err, if it is one, as the problem of path; those of a
// *resource.Invalid each with its own path below.
func (p *Problems) Add(path string, err error) {
	bad, ok := err.(*resource.Invalid) //nolint:errorlint // a wrapped one is one problem
	if err == nil {
		return
	}
	if !ok {
		bad = &resource.Invalid{Problems: []resource.Problem{{Reason: err.Error()}}}
	}
	for _, q := range bad.Problems {
		if len(p.list) >= maxProblems {
			p.more++
			continue
		}
		if q.Line > 0 {
			q.Path, q.Line = fmt.Sprintf("line %d: %s", q.Line, q.Path), 0
		}
		q.Path = strings.TrimSuffix(strings.TrimPrefix(path+": "+q.Path, ": "), ": ")
		p.list = append(p.list, q)
	}
}

// Err returns all of them as a *resource.Invalid; nil: there are none.
func (p *Problems) Err() error {
	if len(p.list) == 0 {
		return nil
	}
	list := slices.Clip(p.list)
	if p.more > 0 {
		list = append(list, resource.Problem{Reason: fmt.Sprintf("and %d more problems", p.more)})
	}
	return &resource.Invalid{Problems: list}
}

// checker looks at what a file holds as the API would, had it been written
// there: object by object, and at what they must be to each other.
type checker struct {
	Problems

	claims    map[string]string       // address key → endpoint key
	addresses map[string][]netip.Addr // endpoint key → its addresses
	pools     map[string]netip.Prefix // by key
	foreign   []netip.Prefix
}

// Check finds all that the API would refuse. The error is a *resource.Invalid;
// paths begin with the key.
func (f *File) Check() error {
	c := &checker{claims: make(map[string]string), addresses: make(map[string][]netip.Addr), pools: make(map[string]netip.Prefix)}
	for _, kv := range f.KVs {
		c.one(kv)
	}
	c.together(f.KVs)
	return c.Err()
}

// one checks a key and its value by themselves.
func (c *checker) one(kv KV) {
	switch {
	case strings.HasPrefix(kv.Key, store.AddressPrefix):
		if _, err := store.ParseAddressKey(kv.Key); err != nil {
			c.Add(kv.Key, err)
			return
		}
		c.claims[kv.Key] = string(kv.Value)
	case strings.HasPrefix(kv.Key, store.BlockPrefix):
		b, err := ipam.DecodeBlock(kv.Value)
		if err == nil && store.BlockKey(b.CIDR) != kv.Key {
			err = fmt.Errorf("it holds block %s", b.CIDR)
		}
		c.Add(kv.Key, err)
	case strings.HasPrefix(kv.Key, store.HostsPrefix):
		a, err := ipam.DecodeAffinity(kv.Value)
		if err == nil && store.HostBlockKey(a.Node, a.CIDR) != kv.Key {
			err = fmt.Errorf("it holds the affinity of %s to %s", a.Node, a.CIDR)
		}
		c.Add(kv.Key, err)
	case strings.HasPrefix(kv.Key, store.HandlePrefix):
		h, err := ipam.DecodeHandle(kv.Value)
		if err == nil && store.HandleKey(h.ID) != kv.Key {
			err = fmt.Errorf("it holds handle %s", h.ID)
		}
		c.Add(kv.Key, err)
	default:
		c.object(kv)
	}
}

// object checks a resource.
func (c *checker) object(kv KV) {
	kind, _, _, err := store.ParseResourceKey(kv.Key)
	if err != nil {
		c.Add(kv.Key, err)
		return
	}
	msg, err := resource.Decode(resource.Kind(kind), kv.Value, 0)
	if err != nil {
		c.Add(kv.Key, err)
		return
	}
	object, err := resource.Check(msg)
	c.Add(kv.Key, resource.CheckUnknown(msg))
	c.Add(kv.Key, err)
	if id := resource.IDOf(msg); store.ResourceKey(string(id.Kind), id.Namespace, id.Name) != kv.Key {
		c.Add(kv.Key, fmt.Errorf("it holds %s", id))
	}
	switch o := object.(type) {
	case *resource.WorkloadEndpoint:
		c.addresses[kv.Key] = o.Addresses
	case *resource.IPPool:
		c.pools[kv.Key] = o.CIDR
	case *resource.IPAMConfiguration:
		c.foreign = o.Foreign
		for _, p := range ipam.ConfigOf(o).Check() {
			c.Add(kv.Key+": "+p.Path, errors.New(p.Reason))
		}
	}
}

// together checks what keys must be to each other: every address of an endpoint
// is claimed by it and by nobody else, and no two pools overlap.
func (c *checker) together(kvs []KV) {
	var pools []string
	for _, kv := range kvs { // in their order
		if _, ok := c.pools[kv.Key]; ok {
			pools = append(pools, kv.Key)
		}
		for _, a := range c.addresses[kv.Key] {
			if holder, ok := c.claims[store.AddressKey(a)]; !ok {
				c.Add(kv.Key, fmt.Errorf("its address %s is not claimed", a))
			} else if holder != kv.Key {
				c.Add(kv.Key, fmt.Errorf("its address %s is held by %s", a, holder))
			}
		}
		if holder, ok := c.claims[kv.Key]; ok {
			a, _ := store.ParseAddressKey(kv.Key) // it was parsed before
			if !slices.Contains(c.addresses[holder], a) {
				c.Add(kv.Key, fmt.Errorf("it is claimed for %s, which does not have it", holder))
			}
		}
	}
	for i, key := range pools {
		for _, other := range pools[:i] {
			if c.pools[key].Overlaps(c.pools[other]) {
				c.Add(key, fmt.Errorf("%s overlaps %s of %s", c.pools[key], c.pools[other], other))
			}
		}
		for _, foreign := range c.foreign {
			if c.pools[key].Overlaps(foreign) {
				c.Add(key, fmt.Errorf("%s overlaps %s, which the IPAMConfiguration says is foreign", c.pools[key], foreign))
			}
		}
	}
}
