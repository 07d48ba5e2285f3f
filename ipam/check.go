package ipam

import (
	"fmt"
	"maps"
	"math/big"
	"net/netip"
	"slices"
)

// FindingKind is what a check found.
type FindingKind string

// The kinds of findings. What they are about is the block, the handle, the
// address, or "NODE CIDR" of an affinity.
const (
	Unreadable         FindingKind = "unreadable"          // a key's value does not convert
	OutsidePools       FindingKind = "outside-pools"       // a block lies in no pool
	WrongSize          FindingKind = "wrong-size"          // a block is not of its pool's block size
	Overlap            FindingKind = "overlap"             // two blocks have addresses in common
	NoAffinity         FindingKind = "no-affinity"         // a block names a node that has no affinity
	AffinityNoBlock    FindingKind = "affinity-no-block"   // an affinity without its block
	AffinityOtherBlock FindingKind = "affinity-not-owner"  // an affinity to a block that names another node
	PendingInUse       FindingKind = "pending-in-use"      // addresses are held of a reserve
	HandleMissing      FindingKind = "handle-missing"      // an address names a handle that is not there
	HandleCount        FindingKind = "handle-count"        // a handle counts otherwise than its blocks
	NotAllocated       FindingKind = "not-allocated"       // an endpoint has an address that its block does not give it
	NoEndpoint         FindingKind = "no-endpoint-address" // an address is held for an endpoint that does not have it
)

// Finding is one thing that a check found.
type Finding struct {
	Kind    FindingKind `json:"kind"`
	Subject string      `json:"subject"`
	Detail  string      `json:"detail,omitempty"`
}

// String renders it on one line.
func (f Finding) String() string { return fmt.Sprintf("%s: %s: %s", f.Kind, f.Subject, f.Detail) }

// Usage is how much of a pool is in use.
type Usage struct {
	Pool   string       `json:"pool"`
	CIDR   netip.Prefix `json:"cidr"`
	Blocks int          `json:"blocks"` // that exist
	InUse  int          `json:"inUse"`  // addresses
	Free   int          `json:"free"`   // addresses of existing blocks
	// Reserved is how many that nobody holds reservations keep, with or without
	// a block.
	Reserved *big.Int `json:"reserved"`
	Disabled bool     `json:"disabled,omitempty"` // it gives nothing any more
	Manual   bool     `json:"manual,omitempty"`   // it gives to those that name it
}

// Report is the outcome of a check.
type Report struct {
	Revision int64     `json:"revision"` // of the store
	Problems []Finding `json:"problems"`
	// Leaks are addresses that are held for an endpoint that does not have
	// them, ready for release: a stale one is refused.
	Leaks []Leak  `json:"leaks"`
	Pools []Usage `json:"pools"`
}

// Leak is an address that nobody needs, as its block told.
type Leak struct {
	Address  netip.Addr `json:"address"`
	Handle   string     `json:"handle"`
	Sequence uint64     `json:"sequence"`
	Reason   string     `json:"reason"`
}

// checking is a check under way.
type checking struct {
	*Contents
	env    *Env
	report *Report
	counts map[string]map[netip.Prefix]int // addresses by handle and block
	held   map[netip.Addr]string           // handle by address
	blocks map[netip.Prefix]*Block
}

// Check compares blocks, affinities, handles, endpoints and pools with each
// other. The order of its findings depends on the contents alone.
func (c *Contents) Check(env *Env) *Report {
	k := &checking{
		Contents: c,
		env:      env,
		report:   &Report{Revision: c.Revision, Problems: append([]Finding{}, c.Unreadable...), Leaks: []Leak{}},
		counts:   make(map[string]map[netip.Prefix]int),
		held:     make(map[netip.Addr]string),
		blocks:   make(map[netip.Prefix]*Block),
	}
	k.ofBlocks()
	k.ofAffinities()
	k.ofHandles()
	k.ofEndpoints()
	k.usage()
	return k.report
}

func (k *checking) found(kind FindingKind, subject, detail string, args ...any) {
	k.report.Problems = append(k.report.Problems, Finding{kind, subject, fmt.Sprintf(detail, args...)})
}

func (k *checking) ofBlocks() {
	for i, b := range k.Blocks {
		k.blocks[b.CIDR] = b
		p := k.env.poolOfBlock(b.CIDR)
		switch {
		case p == nil:
			k.found(OutsidePools, b.CIDR.String(), "%d of its addresses are held", b.Size()-b.Free())
		case p.BlockSize != b.CIDR.Bits():
			k.found(WrongSize, b.CIDR.String(), "blocks of pool %s are /%d", p.Name, p.BlockSize)
		}
		// Sorted by address: what overlaps follows the larger one at once.
		for _, next := range k.Blocks[i+1:] {
			if !next.CIDR.Overlaps(b.CIDR) {
				break
			}
			k.found(Overlap, b.CIDR.String(), "with block %s", next.CIDR)
		}
		for _, h := range b.Holdings() {
			k.held[h.Address] = h.Handle
			if k.counts[h.Handle] == nil {
				k.counts[h.Handle] = make(map[netip.Prefix]int)
			}
			k.counts[h.Handle][b.CIDR]++
		}
	}
}

func (k *checking) ofAffinities() {
	explained := make(map[netip.Prefix]bool)
	for _, a := range k.Affinities {
		subject := a.Node + " " + a.CIDR.String()
		b := k.blocks[a.CIDR]
		switch {
		case b == nil:
			k.found(AffinityNoBlock, subject, "%s", a.State)
			continue
		case b.Affinity != AffinityOf(a.Node):
			k.found(AffinityOtherBlock, subject, "the block names %q", b.Affinity)
			continue
		case a.State == Pending && !b.Empty():
			k.found(PendingInUse, subject, "%d of its addresses are held", b.Size()-b.Free())
		}
		explained[a.CIDR] = true
	}
	for _, b := range k.Blocks {
		if b.Affinity != "" && !explained[b.CIDR] {
			k.found(NoAffinity, b.CIDR.String(), "the block names %q", b.Affinity)
		}
	}
}

func (k *checking) ofHandles() {
	for _, id := range slices.Sorted(maps.Keys(k.counts)) {
		if k.Handles[id] == nil {
			k.found(HandleMissing, id, "it holds addresses in %d blocks", len(k.counts[id]))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(k.Handles)) {
		h := k.Handles[id]
		for _, cidr := range h.blocks() {
			if n := k.counts[id][cidr]; n != h.Blocks[cidr] {
				k.found(HandleCount, id, "%d addresses in %s, the block has %d", h.Blocks[cidr], cidr, n)
			}
		}
		for _, cidr := range slices.SortedFunc(maps.Keys(k.counts[id]), netip.Prefix.Compare) {
			if h.Blocks[cidr] == 0 {
				k.found(HandleCount, id, "none in %s, the block has %d", cidr, k.counts[id][cidr])
			}
		}
	}
}

func (k *checking) ofEndpoints() {
	present := make(map[string]bool) // endpoints that have addresses
	for _, key := range k.Endpoints {
		present[key] = true
	}
	for _, a := range slices.SortedFunc(maps.Keys(k.Endpoints), netip.Addr.Compare) {
		if k.env.poolOf(a) == nil {
			continue
		}
		if _, held := k.held[a]; !held {
			k.found(NotAllocated, a.String(), "it is of %s, and free for others", Owner{OwnerEndpoint, k.Endpoints[a]})
		}
	}
	for _, b := range k.Blocks {
		for _, held := range b.Holdings() {
			h := k.Handles[held.Handle]
			if h == nil || h.Owner.Kind != OwnerEndpoint || k.Endpoints[held.Address] == h.Owner.Key {
				continue
			}
			reason := h.Owner.String() + " has others"
			if !present[h.Owner.Key] {
				reason = h.Owner.String() + " is gone, or has none"
			}
			k.found(NoEndpoint, held.Address.String(), "handle %s holds it: %s", h.ID, reason)
			k.report.Leaks = append(k.report.Leaks, Leak{held.Address, h.ID, held.Sequence, reason})
		}
	}
}

func (k *checking) usage() {
	of := make(map[string]Filled)
	for part, filled := range k.Parts(k.env) {
		of[part.Pool] = of[part.Pool].plus(filled)
	}
	for i := range k.env.Pools {
		p := &k.env.Pools[i]
		f := of[p.Name]
		u := Usage{Pool: p.Name, CIDR: p.CIDR, Blocks: f.Blocks, InUse: f.InUse, Free: f.Free,
			Reserved: k.env.keptOf(p.CIDR), Disabled: p.Disabled, Manual: p.Manual}
		for a := range k.held {
			if p.CIDR.Contains(a) && k.env.Reserved(a) {
				u.Reserved.Sub(u.Reserved, big.NewInt(1))
			}
		}
		k.report.Pools = append(k.report.Pools, u)
	}
}

// Part is what a node has of a pool; without a node, what is nobody's.
type Part struct{ Pool, Node string }

// Filled is how full some blocks are.
type Filled struct {
	Blocks int // that exist
	InUse  int // addresses
	Free   int // addresses
}

func (f Filled) plus(g Filled) Filled {
	return Filled{f.Blocks + g.Blocks, f.InUse + g.InUse, f.Free + g.Free}
}

// Parts tells how full the blocks of each node are, pool by pool.
func (c *Contents) Parts(env *Env) map[Part]Filled {
	parts := make(map[Part]Filled)
	for _, b := range c.Blocks {
		if p := env.poolOfBlock(b.CIDR); p != nil {
			part := Part{p.Name, b.Affinity.Node()}
			parts[part] = parts[part].plus(Filled{1, b.Size() - b.Free(), b.Free()})
		}
	}
	return parts
}
