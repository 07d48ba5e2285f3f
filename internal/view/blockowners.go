package view

import (
	"maps"
	"net/netip"
	"slices"
	"sync"

	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/ipam"
)

// BlockOwners says whose each block is, of all nodes: folded from a watch on
// their claims, apart from a View, because only a reflector that checks origins
// has to know. All methods may be called at once.
//
// A pending claim is none. One that is to be deleted still is: its node may be
// telling peers of the block until it has told them of the addresses in it.
type BlockOwners struct {
	changed chan struct{}

	mu          sync.RWMutex // guards the rest
	claims      map[netip.Prefix][]blockClaim
	unconfirmed map[string]struct{} // keys that the snapshot under way has not told
	dirty       map[netip.Prefix]struct{}
	synced      bool
}

// blockClaim is a node's claim to a block. Two have one for as long as one of
// them is left over; what was written last counts.
type blockClaim struct {
	node     string
	revision int64
}

// NewBlockOwners returns one that knows of no block.
func NewBlockOwners() *BlockOwners {
	return &BlockOwners{
		changed: make(chan struct{}, 1), claims: make(map[netip.Prefix][]blockClaim),
		unconfirmed: make(map[string]struct{}), dirty: make(map[netip.Prefix]struct{}),
	}
}

// Of returns the node whose block p is, and false where p is nobody's block.
func (b *BlockOwners) Of(p netip.Prefix) (node string, ok bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return ownerOf(b.claims[p])
}

func ownerOf(claims []blockClaim) (node string, ok bool) {
	last := int64(-1)
	for _, c := range claims {
		if c.revision > last || c.revision == last && c.node < node {
			node, ok, last = c.node, true, c.revision
		}
	}
	return node, ok
}

// Synced reports whether a watch has told everything, and goes on.
func (b *BlockOwners) Synced() bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.synced
}

// Changed signals that Drain has news.
func (b *BlockOwners) Changed() <-chan struct{} { return b.changed }

// Drain returns the blocks whose owner came, went or changed since it was last
// called, in no order.
func (b *BlockOwners) Drain() []netip.Prefix {
	b.mu.Lock()
	defer b.mu.Unlock()
	news := slices.Collect(maps.Keys(b.dirty))
	clear(b.dirty)
	return news
}

// Restart says that the batches of another watch follow. What is known stays
// until its snapshot is whole.
func (b *BlockOwners) Restart() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.synced = false
	for cidr, claims := range b.claims {
		for _, c := range claims {
			b.unconfirmed[store.HostBlockKey(c.node, cidr)] = struct{}{}
		}
	}
}

// Apply folds a batch of a watch on store.HostsPrefix. A claim that does not
// convert stays what it was.
func (b *BlockOwners) Apply(batch store.Batch) {
	b.mu.Lock()
	defer b.mu.Unlock()
	was := make(map[netip.Prefix]string)
	for _, e := range batch.Events {
		delete(b.unconfirmed, e.KV.Key)
		a, err := ipam.DecodeAffinity(e.KV.Value)
		switch {
		case e.Type == store.Put && err != nil:
		case e.Type == store.Put && a.State != ipam.Pending:
			b.setLocked(e.KV.Key, e.KV.ModRevision, was)
		default:
			b.setLocked(e.KV.Key, 0, was)
		}
	}
	if batch.Synced && !b.synced {
		for key := range b.unconfirmed {
			b.setLocked(key, 0, was)
		}
		clear(b.unconfirmed)
		b.synced = true
	}
	for cidr, node := range was {
		if now, _ := ownerOf(b.claims[cidr]); now != node {
			b.dirty[cidr] = struct{}{}
		}
	}
	if len(b.dirty) > 0 {
		signal(b.changed)
	}
}

// setLocked says at which revision a claim was written; zero: there is none. It
// notes in was whose the block was before the batch.
func (b *BlockOwners) setLocked(key string, revision int64, was map[netip.Prefix]string) {
	node, cidr, err := store.ParseHostBlockKey(key)
	if err != nil {
		return
	}
	if _, noted := was[cidr]; !noted {
		was[cidr], _ = ownerOf(b.claims[cidr])
	}
	claims := slices.DeleteFunc(b.claims[cidr], func(c blockClaim) bool { return c.node == node })
	if revision != 0 {
		claims = append(claims, blockClaim{node, revision})
	}
	if len(claims) == 0 {
		delete(b.claims, cidr)
		return
	}
	b.claims[cidr] = claims
}
