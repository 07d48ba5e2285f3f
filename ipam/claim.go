package ipam

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/projectvrouter/vrouter/internal/store"
)

// unlessNeed passes on that something must be read, and no other error: a block
// that cannot be read must not hold up the others.
func unlessNeed(err error) error {
	var need *NeedError
	if errors.As(err, &need) {
		return err
	}
	return nil
}

// claimsKey is written whenever a node gets a block or may use one no more, and
// compared whenever it uses one: two claims at once cannot exceed its limit,
// and what was remembered of its blocks holds.
func claimsKey(node string) string { return "guard/ipam/" + store.Escape(node) }

// text is what a key holds that nobody reads.
type text string

func (t text) encode() ([]byte, error) { return []byte(t), nil }

// putClaims records that a node's blocks change.
func (s *Step) putClaims(node string, cidr netip.Prefix) {
	s.put(claimsKey(node), text(cidr.String()))
}

// ownBlocks returns the affinities of the node that is asked for, in the family
// of the search, and makes the transaction depend on there being no others.
func (f *search) ownBlocks() ([]*BlockAffinity, error) {
	key, prefix := claimsKey(f.req.Node), store.HostBlockPrefix(f.req.Node)
	keys := []string{key}
	if f.reads.ranges[prefix] == 0 && f.guesses() { // if it has none, these are read next
		keys = append(keys, store.SequenceKey)
		w := f.walk(f.pools[0])
		for i := range f.look(f.pools[0]) {
			keys = append(keys, store.BlockKey(w.at(uint64(i))))
		}
	}
	if err := f.need(keys, []string{prefix}); err != nil {
		return nil, err
	}
	f.guardKey(key)
	all, err := f.affinities(prefix)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(a *BlockAffinity) bool { return FamilyOf(a.CIDR.Addr()) != f.family }), nil
}

// survey reads which blocks have an affinity. At many hosts it is the costly
// part of a claim, so that no more than the keys is looked at.
func (f *search) survey() error {
	if f.surveyed {
		return nil
	}
	if err := f.need([]string{store.SequenceKey}, []string{store.HostsPrefix}); err != nil {
		return err
	}
	f.surveyed = true
	f.begin()
	for key, found := range f.reads.keys {
		if found.kv.ModRevision == 0 || !strings.HasPrefix(key, store.HostsPrefix) {
			continue
		}
		if _, cidr, err := store.ParseHostBlockKey(key); err == nil {
			f.taken[cidr] = true
		}
	}
	return nil
}

// begin begins to walk the pools for a block.
func (f *search) begin() {
	if f.taken != nil {
		return
	}
	f.taken = make(map[netip.Prefix]bool)
	for _, a := range f.own {
		f.taken[a.CIDR] = true
	}
}

// manyBlocks is how many blocks a pool has at least where one is claimed without
// a survey, if it can be. Hosts begin at places of their own: as long as much of
// such a pool is unclaimed the first block is mostly nobody's. What others have
// of a small one is read in no time.
const manyBlocks = 64

// maxLook is how many blocks are looked at in one go for some that are nobody's.
const maxLook = 16

// look returns how many blocks of a pool what is still wanted will take, within
// bounds: that many are worth reading at once.
func (f *search) look(pool *Pool) int {
	size := 1 << (pool.CIDR.Addr().BitLen() - pool.BlockSize)
	return min(max(1, (f.wanted-len(f.got)+size-1)/size), maxLook)
}

// guesses tells whether a block may be found without a survey.
func (f *search) guesses() bool {
	return !f.surveyed && f.reads.ranges[store.HostsPrefix] == 0 && len(f.pools) > 0 && f.walk(f.pools[0]).count >= manyBlocks
}

// walk returns the node's walk of a pool.
func (f *search) walk(pool *Pool) *walk {
	w := f.walks[pool]
	if w == nil {
		w = newWalk(pool, f.Env.Reservations, f.req.Node)
		if f.walks == nil {
			f.walks = make(map[*Pool]*walk)
		}
		f.walks[pool] = w
	}
	return w
}

// guessed returns one of the blocks that unclaimed would begin with, if that
// itself says that it is nobody's. Where half of a pool is claimed one in thirty
// searches finds none.
func (f *search) guessed() (*Block, error) {
	if !f.guesses() {
		return nil, nil
	}
	f.begin()
	first := f.look(f.pools[0])
	for _, look := range []int{first, max(first, 4)} {
		next := f.candidates(f.pools[0], look)
		keys := []string{store.SequenceKey}
		for _, cidr := range next {
			keys = append(keys, store.BlockKey(cidr))
		}
		if err := f.need(keys, nil); err != nil {
			return nil, err
		}
		for _, cidr := range next {
			b, err := f.claimable(cidr)
			if b != nil || err != nil {
				return b, err
			}
			f.taken[cidr] = true
		}
	}
	return nil, nil
}

// foreign finds the blocks of others in the chosen pools, every node in an order
// of its own, reserves first. Hosts and what is no host keep to their own.
func (f *search) foreign() error {
	if f.asked {
		return nil
	}
	if err := f.survey(); err != nil {
		return err
	}
	all, err := f.affinities(store.HostsPrefix)
	if err != nil {
		return err
	}
	f.asked = true
	rank := make(map[netip.Prefix]uint64)
	for _, a := range all {
		virtual := AffinityOf(a.Node).Virtual() || AffinityOf(f.req.Node).Virtual()
		if a.Node == f.req.Node || virtual || a.Assigned || a.State == PendingDeletion || f.chosen(a.CIDR) == nil {
			continue
		}
		if _, err := f.affinity(a.Node, a.CIDR); err != nil {
			continue // it may say that nobody else uses the block
		}
		f.others = append(f.others, a)
		rank[a.CIDR] = hashOf(f.req.Node, a.CIDR.String()) >> 1
		if a.State != Pending {
			rank[a.CIDR] |= 1 << 63
		}
	}
	slices.SortFunc(f.others, func(a, b *BlockAffinity) int { return cmp.Compare(rank[a.CIDR], rank[b.CIDR]) })
	return nil
}

// claimed records that the node has a block now.
func (f *search) claimed(cidr netip.Prefix, state State) {
	a := &BlockAffinity{Node: f.req.Node, CIDR: cidr, State: state}
	f.putAffinity(a)
	f.putClaims(f.req.Node, cidr)
	f.own = append(f.own, a)
	f.taken[cidr] = true
}

// claim makes a block that nobody has the node's, and takes addresses from it.
// It tells whether there was one.
func (f *search) claim() (bool, error) {
	b, err := f.unclaimed()
	if err != nil || b == nil {
		return false, err
	}
	if f.full() {
		f.more = true
		return false, nil
	}
	f.claimed(b.CIDR, Confirmed)
	f.take(b)
	return true, nil
}

// unclaimed returns the next block that the node may claim, already with its
// affinity and not yet staged: one that does not exist, or one without
// affinity that has free addresses, as a dead node leaves them. Nil: there is
// none.
func (f *search) unclaimed() (*Block, error) {
	if b, err := f.guessed(); b != nil || err != nil {
		return b, err
	}
	if err := f.survey(); err != nil {
		return nil, err
	}
	for _, pool := range f.pools {
		// Mostly the first are free; where they are not, many are read at once.
		for look := f.look(pool); ; look = maxLook {
			batch := f.candidates(pool, look)
			if len(batch) == 0 {
				break
			}
			if err := f.needBlocks(batch); err != nil {
				return nil, err
			}
			for _, cidr := range batch {
				b, err := f.claimable(cidr)
				if err != nil || b != nil {
					return b, err
				}
				f.taken[cidr] = true
			}
		}
	}
	return nil, nil
}

// candidates returns up to n blocks of a pool that no affinity names, in the
// node's order.
func (f *search) candidates(pool *Pool, n int) []netip.Prefix {
	var out []netip.Prefix
	w := f.walk(pool)
	for i := w.tried; i < w.count && len(out) < n; i++ {
		if cidr := w.at(i); !f.taken[cidr] {
			out = append(out, cidr)
		} else if len(out) == 0 { // it need not be looked at again
			w.tried = i + 1
		}
	}
	return out
}

// claimable returns a block for the node to claim, nil if it cannot.
func (f *search) claimable(cidr netip.Prefix) (*Block, error) {
	b, err := f.block(cidr)
	if err != nil {
		return nil, unlessNeed(err)
	}
	me := AffinityOf(f.req.Node)
	switch {
	case b == nil:
		return f.create(cidr)
	case b.Affinity != "" && b.Affinity != me, b.usable(f.Env) == 0:
		return nil, nil
	}
	b = f.edit(b)
	b.Affinity, b.ClaimedAt = me, f.Env.Now
	return b, nil
}

const (
	// chunk is how many blocks of others are read first.
	chunk = 16
	// maxLooked is how many are looked at for an empty one before addresses are
	// borrowed instead. With strict affinity all are.
	maxLooked = 64
)

// reclaim takes over a block of another node that nothing is used of, once it
// has had it for a while; a reserve at once. It tells whether there was one.
func (f *search) reclaim() (bool, error) {
	if err := f.foreign(); err != nil {
		return false, err
	}
	ahead := 0
	for i := 0; i < len(f.others); i++ {
		a := f.others[i]
		if !f.Env.Config.StrictAffinity && i >= maxLooked && a.State != Pending {
			break
		}
		var err error
		if ahead, err = f.needOthers(i, ahead); err != nil {
			return false, err
		}
		b, err := f.block(a.CIDR)
		if err != nil {
			if err := unlessNeed(err); err != nil {
				return false, err
			}
			continue
		}
		if b, err = f.spoils(a, b); err != nil {
			return false, err
		}
		if b == nil {
			continue
		}
		if f.full() {
			f.more = true
			return false, nil
		}
		f.delete(store.HostBlockKey(a.Node, a.CIDR))
		f.others = slices.Delete(f.others, i, i+1)
		f.claimed(b.CIDR, Confirmed)
		f.take(b)
		return true, nil
	}
	return false, nil
}

// needOthers makes sure that the i-th of others' blocks has been read, where all
// before ahead have; each time as many as so far, or this would never end where
// thousands are full. It returns before which one all have been read now.
func (f *search) needOthers(i, ahead int) (int, error) {
	if i < ahead {
		return ahead, nil
	}
	ahead = min(i+max(i, chunk), len(f.others))
	var cidrs []netip.Prefix
	for _, a := range f.others[i:ahead] {
		cidrs = append(cidrs, a.CIDR)
	}
	return ahead, f.needBlocks(cidrs)
}

// reclaimAfter is the age at which an unused block of another host may be taken:
// Calico's number.
const reclaimAfter = time.Minute

// spoils returns the block of another's affinity for the node to take over, nil
// if it cannot. An affinity without its block claims nothing.
func (f *search) spoils(a *BlockAffinity, b *Block) (*Block, error) {
	if b == nil { // the key of the affinity is deleted, and so compared
		return f.create(a.CIDR)
	}
	age := f.Env.Now.Sub(b.ClaimedAt) // below zero by much: of a clock that was wrong
	old := age >= reclaimAfter || age <= -reclaimAfter
	if b.Affinity != AffinityOf(a.Node) || !b.unused(f.Env) || b.usable(f.Env) == 0 || a.State != Pending && !old {
		return nil, nil
	}
	b = f.edit(b)
	b.Affinity, b.ClaimedAt = AffinityOf(f.req.Node), f.Env.Now
	return b, nil
}

// borrow takes single addresses out of others' blocks.
func (f *search) borrow() error {
	if err := f.foreign(); err != nil {
		return err
	}
	ahead := 0
	for i := 0; i < len(f.others) && !f.done(); i++ {
		var err error
		if ahead, err = f.needOthers(i, ahead); err != nil {
			return err
		}
		a := f.others[i]
		b, err := f.block(a.CIDR)
		if err != nil {
			if err := unlessNeed(err); err != nil {
				return err
			}
			continue
		}
		if b != nil && b.Affinity == AffinityOf(a.Node) {
			f.fill(b, nil)
		}
	}
	return nil
}
