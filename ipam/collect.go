package ipam

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/projectvrouter/vrouter/internal/store"
)

// World is what the collector looks at in one round.
type World struct {
	*Contents
	Env *Env
	// Node tells whether there is a Node object. A node is dead when it has
	// none, never because its lease ended.
	Node func(name string) bool
	// Owner returns the revision of the object that a key holds, zero when there
	// is none, and whether it has an address.
	Owner func(key string, a netip.Addr) (revision int64, has bool)
}

// LeakedHandle is a handle that all addresses of have leaked: its owner is gone,
// or has none of them. It is released whole or not at all.
type LeakedHandle struct {
	ID       string
	Owner    Owner
	Revision int64     // of the owner when it was judged; zero: gone
	Releases []Release // with sequence numbers and blocks
}

// HostBlock is a node's block.
type HostBlock struct {
	Node     string // empty: nobody's
	CIDR     netip.Prefix
	Sequence uint64 // zero: no block says so, only an affinity
}

// Garbage is what a round found ready to go.
type Garbage struct {
	Leaks []LeakedHandle
	Dead  []HostBlock // of nodes that are gone: blocks in use stay, for whoever claims them
	Empty []HostBlock // that nothing is used of, or that are none
	Left  int         // how much more is ready, for later rounds
}

// Collector finds what nobody needs any more. It only decides; Client.Collect
// checks everything again in the transaction that takes it away. What was found
// once must be found again, the same, after a grace period. It belongs to one
// goroutine.
type Collector struct {
	Grace time.Duration // from the first sight; zero: 5 minutes
	Max   int           // items of a round; zero: 100
	seen  map[suspect]sight
}

// suspect identifies what may be garbage; an address given out again or a block
// used again is another one.
type suspect struct {
	kind     string
	id       string
	sequence uint64
}

// The kinds of suspects.
const (
	suspectLeak  = "handle"
	suspectDead  = "dead"
	suspectEmpty = "empty"
)

type sight struct {
	first time.Time
	ready bool // seen more than once, and long enough
}

// The defaults: those of Calico, and a number that a store takes in a second.
const (
	defaultGrace   = 5 * time.Minute
	defaultCollect = 100
)

// round is a round under way.
type round struct {
	*Collector
	world World
	now   map[suspect]sight
	found []found
}

// found is garbage that is ready.
type found struct {
	suspect
	first time.Time
	add   func(*Garbage)
}

// Round looks at the world and returns what is ready to go, the longest known
// first.
func (c *Collector) Round(w World) *Garbage {
	r := &round{Collector: c, world: w, now: make(map[suspect]sight)}
	r.handles()
	r.blocks()
	c.seen = r.now
	slices.SortStableFunc(r.found, func(a, b found) int {
		return cmp.Or(a.first.Compare(b.first), cmp.Compare(a.kind, b.kind), cmp.Compare(a.id, b.id))
	})
	g := &Garbage{}
	limit := min(len(r.found), cmp.Or(c.Max, defaultCollect))
	for _, f := range r.found[:limit] {
		f.add(g)
	}
	g.Left = len(r.found) - limit
	return g
}

// Suspects is how many things of each kind may be garbage, and are watched.
type Suspects struct {
	Leaks, Dead, Empty int
}

// Suspects returns what the last round took note of.
func (c *Collector) Suspects() Suspects {
	var n Suspects
	for s := range c.seen {
		switch s.kind {
		case suspectLeak:
			n.Leaks++
		case suspectDead:
			n.Dead++
		case suspectEmpty:
			n.Empty++
		}
	}
	return n
}

// Forget forgets what was seen: all of it is looked at anew.
func (c *Collector) Forget() { c.seen = nil }

// suspect takes note of what may be garbage, and collects what is.
func (r *round) suspect(s suspect, add func(*Garbage)) {
	was, again := r.seen[s]
	if !again {
		was.first = r.world.Env.Now
	}
	was.ready = again && r.world.Env.Now.Sub(was.first) >= cmp.Or(r.Grace, defaultGrace)
	r.now[s] = was
	if was.ready {
		r.found = append(r.found, found{s, was.first, add})
	}
}

// handles finds leaked handles. What is external, or says no owner, never is.
func (r *round) handles() {
	held := make(map[string][]Release)
	for _, b := range r.world.Blocks {
		for _, h := range b.Holdings() {
			held[h.Handle] = append(held[h.Handle], Release{Address: h.Address, Handle: h.Handle, Sequence: h.Sequence, Block: b.CIDR})
		}
	}
	for _, id := range slices.Sorted(maps.Keys(held)) {
		h := r.world.Handles[id]
		if h == nil || h.Owner.Key == "" {
			continue
		}
		switch h.Owner.Kind {
		case OwnerEndpoint, OwnerTunnel, OwnerLoadBalancer:
		default:
			continue
		}
		leak := LeakedHandle{ID: id, Owner: h.Owner, Releases: held[id]}
		last, needed := uint64(0), false
		for _, release := range leak.Releases {
			revision, has := r.world.Owner(h.Owner.Key, release.Address)
			leak.Revision, needed = revision, needed || has
			last = max(last, release.Sequence)
		}
		if !needed {
			r.suspect(suspect{suspectLeak, id, last}, func(g *Garbage) { g.Leaks = append(g.Leaks, leak) })
		}
	}
}

// blocks finds blocks of dead nodes, and unused ones of which their node has
// more.
func (r *round) blocks() {
	type place struct {
		node   string
		family Family
	}
	affinities := make(map[HostBlock]*BlockAffinity)
	kept := make(map[place]bool)
	for _, a := range r.world.Affinities {
		affinities[HostBlock{Node: a.Node, CIDR: a.CIDR}] = a
	}
	for _, b := range r.world.Blocks { // one that is in use is the one that is kept
		if !b.unused(r.world.Env) {
			kept[place{b.Affinity.Node(), FamilyOf(b.CIDR.Addr())}] = true
		}
	}
	for _, b := range r.world.Blocks {
		node := b.Affinity.Node()
		block := HostBlock{node, b.CIDR, b.Sequence}
		a := affinities[HostBlock{Node: node, CIDR: b.CIDR}]
		at := place{node, FamilyOf(b.CIDR.Addr())}
		switch {
		case b.Affinity != "" && !b.Affinity.Virtual() && !r.world.Node(node):
			r.suspect(suspect{suspectDead, node + " " + b.CIDR.String(), 0}, func(g *Garbage) { g.Dead = append(g.Dead, block) })
		case !b.unused(r.world.Env), a != nil && (a.Assigned || a.State == Pending):
		case b.Affinity != "" && !kept[at]:
			kept[at] = true
		default:
			r.suspect(suspect{suspectEmpty, b.CIDR.String(), b.Sequence}, func(g *Garbage) { g.Empty = append(g.Empty, block) })
		}
	}
	r.unexplained(affinities)
}

// unexplained finds affinities that no block explains: nothing ever makes them,
// but a store that was imported may have some, and their nodes take the blocks
// for theirs.
func (r *round) unexplained(affinities map[HostBlock]*BlockAffinity) {
	for _, b := range r.world.Blocks {
		delete(affinities, HostBlock{Node: b.Affinity.Node(), CIDR: b.CIDR})
	}
	for _, a := range r.world.Affinities {
		block := HostBlock{Node: a.Node, CIDR: a.CIDR}
		switch {
		case affinities[block] == nil || AffinityOf(a.Node).Virtual():
		case !r.world.Node(a.Node):
			r.suspect(suspect{suspectDead, a.Node + " " + a.CIDR.String(), 0}, func(g *Garbage) { g.Dead = append(g.Dead, block) })
		case !a.Assigned: // else the node will make the block
			r.suspect(suspect{suspectEmpty, a.Node + " " + a.CIDR.String(), 0}, func(g *Garbage) { g.Empty = append(g.Empty, block) })
		}
	}
}

// CollectLeak releases a leaked handle, if its owner is what it was and each
// address is still held as it was. Errors: *HandleError (the owner has
// changed), *StaleError, *AddressError.
func (s *Step) CollectLeak(leak LeakedHandle) error {
	return s.attempt(func() error {
		if err := s.need([]string{leak.Owner.Key}, nil); err != nil {
			return err
		}
		if s.revision(leak.Owner.Key) != leak.Revision {
			return &HandleError{ErrHandleInUse, leak.ID, leak.Owner}
		}
		s.guardKey(leak.Owner.Key)
		var cidrs []netip.Prefix
		for _, r := range leak.Releases {
			cidrs = append(cidrs, r.Block)
		}
		if err := s.needBlocks(cidrs); err != nil {
			return err
		}
		for _, r := range leak.Releases {
			if err := s.release(r); err != nil {
				return err
			}
		}
		return nil
	})
}

// CollectDead ends the affinity of a dead node to a block, if there is still no
// Node object. The block stays while addresses of it are held. Errors:
// *BlockError.
func (s *Step) CollectDead(b HostBlock) error {
	return s.attempt(func() error {
		key := store.ResourceKey("Node", "", b.Node)
		if err := s.need([]string{key}, nil); err != nil {
			return err
		}
		if s.revision(key) != 0 {
			return &BlockError{ErrBlockInUse, b.CIDR, "node " + b.Node + " is back"}
		}
		s.guardKey(key)
		return s.releaseBlock(b.Node, b.CIDR, Force)
	})
}

// CollectEmpty removes a block, or an affinity without one, if it is as it was
// seen. Errors: *BlockError.
func (s *Step) CollectEmpty(b HostBlock) error {
	return s.attempt(func() error {
		now, err := s.block(b.CIDR)
		switch {
		case err != nil:
			return err
		case b.Sequence == 0 && (now == nil || now.Affinity.Node() != b.Node):
			return s.releaseBlock(b.Node, b.CIDR, IfEmpty)
		case now == nil:
			return nil
		case now.Sequence != b.Sequence || now.Affinity.Node() != b.Node || !now.unused(s.Env):
			return &BlockError{ErrBlockInUse, b.CIDR, "it was used meanwhile"}
		case b.Node == "":
			s.delete(store.BlockKey(b.CIDR))
			return nil
		}
		a, err := s.affinity(b.Node, b.CIDR)
		if err != nil {
			return err
		}
		if a != nil && a.Assigned {
			return &BlockError{ErrBlockInUse, b.CIDR, "it is assigned to node " + b.Node}
		}
		return s.releaseBlock(b.Node, b.CIDR, IfEmpty)
	})
}
