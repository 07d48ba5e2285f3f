package agent

import (
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/fib"
	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/view"
)

// blocks is the edge owned blocks → blackholes → originations. It works within
// the task of workloads, because a block that is told stands for the addresses
// in it: which of both peers are told is one decision.
//
// Every block has a blackhole, so that a packet to a free address loops nowhere,
// one that is drained until its last address is given back: others may still
// have the route to it, and by the default route such a packet would come back;
// what somebody has is more specific: a workload of this host, or an address
// that another host has borrowed and tells. A block of one address has a
// blackhole, too, which learned routes override; it has none while an endpoint of
// this host has the address, whose route of before may have to stand until it
// is policed. It is never told: it is told as what its workload has.
type blocks struct {
	claims  *view.Blocks
	table   *fib.Table
	origins *origins
	log     hclog.Logger

	inUse func(netip.Prefix) bool // an endpoint here wants it

	owned   map[netip.Prefix]*block
	lengths []int // that occur among them, in no order
	leaving []netip.Prefix
	turn    int  // of what is to be told of pools, when announce looked last
	due     bool // announce is to look again

	shown atomic.Pointer[[]netip.Prefix] // those that cover, for whoever asks
}

// block is one that is owned, or was until settle is through.
type block struct {
	status fib.Status
	yields bool  // its one address is an endpoint's: there is no blackhole
	gone   bool  // it is not ours any longer
	drains bool  // it will soon be nobody's: its addresses are told by themselves
	told   bool  // peers are told
	covers bool  // and not of the addresses in it
	err    error // why the speaker did not take it
}

func newBlocks(c *view.Blocks, t *fib.Table, o *origins, inUse func(netip.Prefix) bool, log hclog.Logger) *blocks {
	b := &blocks{claims: c, table: t, origins: o, inUse: inUse, log: log, owned: make(map[netip.Prefix]*block)}
	o.covered = b.covered
	return b
}

// follow carries which blocks are owned to the table, and reports whether others
// are than before, or the kernel holds others. The blackhole of one that is gone
// stays until withdraw.
func (b *blocks) follow() (changed bool) {
	now := make(map[netip.Prefix]view.OwnBlock)
	for _, own := range b.claims.Owned() {
		now[own.CIDR] = own
	}
	for prefix, was := range b.owned {
		if _, is := now[prefix]; !is && !was.gone {
			was.gone, changed = true, true
		}
	}
	b.lengths = b.lengths[:0]
	for prefix, is := range now {
		own := b.owned[prefix]
		if own == nil || own.gone || own.drains != is.Draining {
			changed = true
		}
		if own == nil {
			own = &block{}
			b.owned[prefix] = own
		}
		own.gone, own.drains = false, is.Draining
		if own.yields = prefix.IsSingleIP() && b.inUse(prefix); own.yields {
			b.table.Delete(fib.Blackhole, prefix)
			continue
		}
		b.table.Put(fib.Blackhole, prefix, fib.Route{Blackhole: true})
		now := b.table.Get(prefix).Status // asked: a route that stands already makes no news
		was := own.status
		changed = changed || now.Programmed != was.Programmed || now.Source != was.Source || (now.Err == nil) != (was.Err == nil)
		own.status = now
	}
	for prefix := range b.owned {
		if !slices.Contains(b.lengths, prefix.Bits()) {
			b.lengths = append(b.lengths, prefix.Bits())
		}
	}
	return changed
}

// programmed takes over what the kernel holds of a block; false: it is none.
func (b *blocks) programmed(s fib.Status) bool {
	own := b.owned[s.Prefix]
	if own == nil {
		return false
	}
	own.status = s
	return true
}

// announce originates the blocks that are to be told, says which addresses they
// stand for from now on, and returns the blocks where that is otherwise than
// before. What is not to be told any longer is told until withdraw.
func (b *blocks) announce() (moved []netip.Prefix) {
	b.turn, b.due = b.origins.exports.modesTurn(), false
	for prefix, own := range b.owned {
		mode := b.origins.exports.advertised(prefix)
		tell := b.forwards(prefix, own) && mode != resource.AdvertiseEndpoints
		own.err = nil
		if tell {
			if own.err = b.origins.tell(prefix, ""); own.err != nil {
				b.log.Warn("a block is not told to peers, the addresses in it are", "prefix", prefix, "error", own.err)
				tell = own.told
			}
		}
		if own.told && !tell {
			b.leaving = append(b.leaving, prefix)
		}
		covers := tell && mode == resource.AdvertiseBlocks
		if covers != own.covers {
			moved = append(moved, prefix)
		}
		own.told, own.covers = tell, covers
	}
	if len(moved) > 0 {
		b.show()
	}
	return moved
}

// outdated reports whether announce has something to do that follow does not tell
// of: the pools have changed, or caughtUp has heard of blocks.
func (b *blocks) outdated() bool { return b.due || b.turn != b.origins.exports.modesTurn() }

// show publishes which blocks stand for their addresses.
func (b *blocks) show() {
	var all []netip.Prefix
	for prefix, own := range b.owned {
		if own.covers {
			all = append(all, prefix)
		}
	}
	b.shown.Store(&all)
}

// coverOf returns the block that peers are told of instead of an address;
// invalid: none. It may be called from anywhere.
func (b *blocks) coverOf(a netip.Addr) netip.Prefix {
	if all := b.shown.Load(); all != nil {
		for _, prefix := range *all {
			if prefix.Contains(a) {
				return prefix
			}
		}
	}
	return netip.Prefix{}
}

// forwards tells whether the block can be told: it stays the host's, and the
// kernel drops what no route of it is for. One that is about to be written or
// repaired counts as it did before: others need not hear of a moment.
func (b *blocks) forwards(prefix netip.Prefix, own *block) bool {
	switch s := own.status; {
	case own.gone, own.drains, prefix.IsSingleIP():
		return false
	case s.Programmed:
		return s.Source == fib.Blackhole
	case s.Err != nil:
		return false
	}
	return own.told
}

// withdraw takes back what announce has found not to be told any longer, and
// the blackholes of blocks that are gone.
func (b *blocks) withdraw() {
	for _, prefix := range b.leaving {
		b.origins.withdraw(prefix)
	}
	b.leaving = nil
	for prefix, own := range b.owned {
		if own.gone && !own.told { // else announce has not heard of it yet
			delete(b.owned, prefix)
			b.table.Delete(fib.Blackhole, prefix)
		}
	}
}

// holding returns the owned block that holds the address of p with others; nil:
// there is none.
func (b *blocks) holding(p netip.Prefix) (netip.Prefix, *block) {
	for _, bits := range b.lengths {
		if bits >= p.Bits() {
			continue
		}
		if prefix, err := p.Addr().Prefix(bits); err == nil && b.owned[prefix] != nil {
			return prefix, b.owned[prefix]
		}
	}
	return netip.Prefix{}, nil
}

// covered reports whether peers are told of p by its block alone.
func (b *blocks) covered(p netip.Prefix) bool {
	_, own := b.holding(p)
	return own != nil && own.covers
}

// awaited reports whether p is likely to be covered in a moment: once the kernel
// has the blackhole of its block, or announce has seen that.
func (b *blocks) awaited(p netip.Prefix) bool {
	prefix, own := b.holding(p)
	if own == nil || own.gone || own.drains || own.told || own.err != nil || own.status.Err != nil {
		return false
	}
	return (!own.status.Programmed || own.status.Source == fib.Blackhole) && b.origins.exports.advertised(prefix) == resource.AdvertiseBlocks
}

// caughtUp reports whether p is awaited by what is known of claims now: of those
// that unheard knows to be known some may not be followed yet.
func (b *blocks) caughtUp(p netip.Prefix) (awaited bool) {
	if _, own := b.holding(p); own != nil || b.origins.exports.advertised(p) != resource.AdvertiseBlocks {
		return false
	}
	b.due = b.follow() || b.due
	return b.awaited(p)
}

// unheard reports whether the transaction that wrote an endpoint with p may have
// given the host a block to cover it that was not told yet.
func (b *blocks) unheard(p netip.Prefix, revision int64) bool {
	if _, own := b.holding(p); own != nil || b.origins.exports.advertised(p) != resource.AdvertiseBlocks {
		return false
	}
	return !b.claims.Knows(revision)
}

// tried reports whether the kernel was tried for every block, and no endpoint
// waits for news of them, or for announce.
func (b *blocks) tried() bool {
	if b.claims.Asking() || b.outdated() {
		return false
	}
	for _, own := range b.owned {
		if !own.yields && !own.status.Programmed && own.status.Err == nil {
			return false
		}
	}
	return true
}

// troubled reports whether a block is to be looked at again without news.
func (b *blocks) troubled() bool {
	for _, own := range b.owned {
		if own.err != nil || !own.yields && !own.status.Programmed {
			return true
		}
	}
	return false
}
