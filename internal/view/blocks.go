package view

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"

	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/ipam"
)

// Blocks says which blocks a node owns: folded from a watch of its own on the
// node's claims, apart from a View. On one watch together the revision would be
// that of the range where less happens, and some servers never say how far that
// is. All methods may be called at once.
//
// As in a View, what does not convert keeps its last good form, and what the
// local copy told is forgotten when the first snapshot does not tell it.
//
// Two watches run apart. Who has heard of a transaction elsewhere, and has to
// know whether it gave the node a block, asks by Knows: the claims are then read
// and folded in by Take, which the watch repeats later.
type Blocks struct {
	node    string
	changed chan struct{}
	copied  chan struct{}
	asked   chan struct{}

	mu          sync.Mutex // guards the rest
	claims      map[string]ownClaim
	unconfirmed map[string]struct{} // keys of the copy, or of an earlier watch, that this one has not told
	isSynced    bool
	synced      chan struct{} // closed while isSynced
	reached     int64         // revision up to which every claim is known
	question    int64         // revision that somebody has to know of; zero: nobody asks
	round       int           // of watches
}

// ownClaim is what is kept of a key.
type ownClaim struct {
	checked  *ipam.BlockAffinity // the last good form; nil when there never was one
	good     store.KV            // what checked was made of, else what is stored
	problem  error               // why what is stored does not convert; nil when it does
	revision int64               // of what is stored
}

// NewBlocks returns the blocks of the node of that name: none.
func NewBlocks(node string) *Blocks {
	return &Blocks{
		node: node, changed: make(chan struct{}, 1), copied: make(chan struct{}, 1), asked: make(chan struct{}, 1),
		claims: make(map[string]ownClaim), unconfirmed: make(map[string]struct{}), synced: make(chan struct{}),
	}
}

// Prefix is what is to be watched.
func (b *Blocks) Prefix() string { return store.HostBlockPrefix(b.node) }

// Load takes from the local copy what is of blocks. It must come before the
// first batch.
func (b *Blocks) Load(kvs []store.KV) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, kv := range kvs {
		if node, _, err := store.ParseHostBlockKey(kv.Key); err == nil && node == b.node {
			b.unconfirmed[kv.Key] = struct{}{}
			b.putLocked(kv)
		}
	}
	signal(b.changed)
}

// Restart says that the batches of another watch follow. What is known stays in
// force until its snapshot is whole.
func (b *Blocks) Restart() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for key := range b.claims {
		b.unconfirmed[key] = struct{}{}
	}
	if b.isSynced {
		b.isSynced, b.synced = false, make(chan struct{})
	}
	b.round++
	b.reached, b.question = 0, 0
	signal(b.changed) // nobody is told what he asked
}

// Apply folds a batch of the watch.
func (b *Blocks) Apply(batch store.Batch) {
	b.mu.Lock()
	defer b.mu.Unlock()
	news := len(batch.Events) > 0
	for _, e := range batch.Events {
		if _, old := b.unconfirmed[e.KV.Key]; !old && e.KV.ModRevision < b.claims[e.KV.Key].revision {
			continue // Take knows more
		}
		delete(b.unconfirmed, e.KV.Key)
		if e.Type == store.Put {
			b.putLocked(e.KV)
		} else {
			delete(b.claims, e.KV.Key)
		}
	}
	if batch.Synced && !b.isSynced {
		for key := range b.unconfirmed {
			delete(b.claims, key)
		}
		clear(b.unconfirmed)
		b.isSynced, news = true, true
		close(b.synced)
	}
	if news {
		signal(b.changed)
		signal(b.copied)
	}
	b.reachLocked(batch.Revision)
}

// Knows reports whether every claim is known that was there at a revision of
// the store, as far as it can be: without a watch nobody asks for more. If not,
// Changed signals when it is.
func (b *Blocks) Knows(revision int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.isSynced || revision <= b.reached {
		return true
	}
	b.question = max(b.question, revision)
	signal(b.asked)
	return false
}

// Asked signals that the claims are to be read: Round is to be called before,
// and Take, or GiveUp, after.
func (b *Blocks) Asked() <-chan struct{} { return b.asked }

// Asking reports whether there is a question without an answer.
func (b *Blocks) Asking() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.question != 0
}

// Round names the watch that runs now.
func (b *Blocks) Round() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.round
}

// Take folds in the claims as they were read during a watch. What is not there
// any longer is left to the watch.
func (b *Blocks) Take(round int, page store.Page) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if round != b.round || page.Revision < b.reached {
		return // of another store, perhaps; or the watch knows more
	}
	for _, kv := range page.KVs {
		if kv.ModRevision > b.claims[kv.Key].revision {
			b.putLocked(kv)
			signal(b.changed)
			signal(b.copied)
		}
	}
	b.reachLocked(page.Revision)
}

// GiveUp says that what was asked cannot be found out: nobody waits for it.
func (b *Blocks) GiveUp(round int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if round == b.round {
		b.reachLocked(b.question)
	}
}

// reachLocked notes up to which revision every claim is known.
func (b *Blocks) reachLocked(revision int64) {
	b.reached = max(b.reached, revision)
	if b.question != 0 && b.question <= b.reached {
		b.question = 0
		signal(b.changed)
	}
}

func (b *Blocks) putLocked(kv store.KV) {
	claim := b.claims[kv.Key]
	if checked, err := decodeClaim(kv); err == nil {
		claim = ownClaim{checked: checked, good: kv}
	} else if claim.problem = err; claim.checked == nil {
		claim.good = kv // a newer version may make something of it
	}
	claim.revision = kv.ModRevision
	b.claims[kv.Key] = claim
}

// decodeClaim converts a claim, which has to be of the node and to the block that
// its key names.
func decodeClaim(kv store.KV) (*ipam.BlockAffinity, error) {
	node, cidr, err := store.ParseHostBlockKey(kv.Key)
	if err != nil {
		return nil, err
	}
	a, err := ipam.DecodeAffinity(kv.Value)
	if err != nil {
		return nil, fmt.Errorf("decode %s: %w", kv.Key, err)
	}
	if a.Node != node || a.CIDR != cidr {
		return nil, fmt.Errorf("check %s: it holds the claim of %s to %s", kv.Key, a.Node, a.CIDR)
	}
	return a, nil
}

// OwnBlock is a block that the node owns.
type OwnBlock struct {
	CIDR netip.Prefix
	// Draining: it gives out no more, and is the node's until its last address
	// is given back. Nobody else has it before, but it may go at any moment.
	Draining bool
}

// Owned returns the blocks that the node owns, in order of prefix. A claim that
// is pending is not ownership: such a block may be another's at any moment.
func (b *Blocks) Owned() []OwnBlock {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []OwnBlock
	for _, c := range b.claims {
		if c.checked != nil && c.checked.State != ipam.Pending {
			all = append(all, OwnBlock{c.checked.CIDR, c.checked.State == ipam.PendingDeletion})
		}
	}
	slices.SortFunc(all, func(a, b OwnBlock) int {
		return cmp.Or(a.CIDR.Addr().Compare(b.CIDR.Addr()), cmp.Compare(a.CIDR.Bits(), b.CIDR.Bits()))
	})
	return all
}

// Changed signals that Owned may return something else.
func (b *Blocks) Changed() <-chan struct{} { return b.changed }

// CopyChanged signals that Copy may return something else that the store told.
func (b *Blocks) CopyChanged() <-chan struct{} { return b.copied }

// Synced is closed once the store has told everything.
func (b *Blocks) Synced() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.synced
}

// Copy returns what the local copy must hold, in order of keys: of a claim that
// does not convert the last good form.
func (b *Blocks) Copy() []store.KV {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []store.KV
	for _, key := range slices.Sorted(maps.Keys(b.claims)) {
		all = append(all, b.claims[key].good)
	}
	return all
}

// Problems returns why claims do not convert, in order of keys.
func (b *Blocks) Problems() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []string
	for _, key := range slices.Sorted(maps.Keys(b.claims)) {
		if err := b.claims[key].problem; err != nil {
			all = append(all, fmt.Sprintf("%s: its last good form stays in force: %v", key, err))
		}
	}
	return all
}
