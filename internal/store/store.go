package store

import (
	"context"
	"time"
)

// MaxOps is how many operations, and how many compares, one transaction may
// hold: the limit that an etcd server has unless configured otherwise.
const MaxOps = 128

// KV is a key with its value. Neither the value nor the slice behind it may be
// changed by whoever receives it.
type KV struct {
	Key            string // below the prefix: "r/Node/-/host1"
	Value          []byte
	CreateRevision int64 // of the transaction that created the key
	ModRevision    int64 // of the transaction that wrote the value
}

// Compare is a condition of a transaction: the key was last written at
// ModRevision. Zero means that the key must not exist.
type Compare struct {
	Key         string
	ModRevision int64
	// Below: Key is a prefix, and none of the keys below it was created after
	// ModRevision. So a range that was read then can be relied upon to have got
	// no more keys; others may have gone, or been written again.
	Below bool
}

// Op is a put, or a delete when Delete is set. A delete of a key that does not
// exist is no error. A put without a lease takes the key off the lease that it
// had. One transaction may name a key in one Op only.
type Op struct {
	Key    string
	Value  []byte
	Delete bool
	Lease  LeaseID // zero: the key lives until it is deleted
}

// ListOptions says which part of a range to read.
type ListOptions struct {
	Limit    int    // keys in a page; zero: no limit
	Start    string // key to continue at, from Page.Next; empty: the first
	Revision int64  // revision to read at; zero: the newest
}

// Page is a part of a range, in order of keys.
type Page struct {
	KVs []KV
	// Revision is the revision the page shows. To read later pages of the same
	// snapshot pass it on in ListOptions.Revision.
	Revision int64
	Next     string // key to continue at; empty when this page is the last
}

// ReadLimit is how many keys of a range Read returns at most.
const ReadLimit = 1000

// Snapshot is what Read returns.
type Snapshot struct {
	KVs      []KV   // of the keys, in their order; one that does not exist has no revision
	Pages    []Page // of the ranges, in their order: their first ReadLimit keys
	Revision int64
}

// Store is a datastore with transactions, watches and leases. All methods may
// be called at once. Every call ends in bounded time: at the deadline of its
// context, and no later than a limit of the driver.
//
// Errors wrap one of the kinds of this package. [ErrUnavailable] from Txn
// leaves open whether the transaction took place; repeating a
// compare-and-swap is safe, but may meet its own earlier success as a
// conflict.
type Store interface {
	// Get returns a key and the store's revision, linearizably. The revision
	// also holds with ErrNotFound.
	Get(ctx context.Context, key string) (KV, int64, error)

	// Read returns keys and ranges as they are at one revision, the store's,
	// linearizably and in one round trip: up to MaxOps of both together.
	Read(ctx context.Context, keys, prefixes []string) (Snapshot, error)

	// List returns the keys with a prefix. The first page (Revision zero) is
	// linearizable; later ones are read at its revision. ErrCompacted when
	// that revision is gone: start again.
	List(ctx context.Context, prefix string, opts ListOptions) (Page, error)

	// Txn performs all of ops when all of compares hold, and none otherwise. It
	// returns the revision at which they became visible. A compare that does
	// not hold is a *ConflictError. At most MaxOps of either. Without ops it only
	// looks, linearizably and at one revision, at what a transaction costs to be
	// read: many keys in one round trip.
	Txn(ctx context.Context, compares []Compare, ops []Op) (int64, error)

	// Watch tells the state below some prefixes and what becomes of it. It
	// neither blocks nor fails; errors come from Next. Cancelling ctx closes
	// the watch.
	Watch(ctx context.Context, opts WatchOptions) Watch

	// Grant makes a lease: keys put under it are deleted when it is lost. It is
	// kept alive until it is revoked or the store is closed; a closed store
	// leaves it to expire. The least ttl is a second.
	Grant(ctx context.Context, ttl time.Duration) (Lease, error)

	// Revision returns the store's revision, linearizably.
	Revision(ctx context.Context) (int64, error)

	// Close ends watches and stops keeping leases alive. Later calls fail with
	// ErrClosed.
	Close() error
}

// LeaseID names a lease in an Op.
type LeaseID int64

// Lease is a lease that is being kept alive.
type Lease interface {
	ID() LeaseID
	// Lost is closed once the lease must be taken as gone: the server said so,
	// or no renewal came through for its whole time to live.
	Lost() <-chan struct{}
	// Revoke ends the lease at once and deletes its keys. Revoking a lease that
	// is gone is no error.
	Revoke(ctx context.Context) error
}

// WatchOptions says what to watch and from where.
type WatchOptions struct {
	Prefixes []string // non-empty, and none a prefix of another

	// After, when not zero, is the revision up to which the caller knows
	// everything: no snapshot is told, and the watch fails with ErrCompacted
	// where the history after it is gone.
	After int64

	// MinRevision is the least revision that the store must have, such as that
	// of a local copy: a lower one is ErrForeign.
	MinRevision int64

	// GUID, when not empty, is the identity that the store must have before
	// every (re)watch (see Identity): another one, or none, is ErrForeign. Only
	// it tells a stranger that has reached a higher revision; what a watch
	// without it would tell then is the stranger's state.
	GUID string

	// Forget saves the table of keys and revisions that the watch otherwise
	// keeps for finding out what changed while history was lost (about 140 bytes
	// a key). Where it would be needed the watch fails with ErrCompacted
	// instead, as with After.
	Forget bool
}

// Watch is a stream of state. It has one consumer.
//
// Without After it tells the snapshot, in one or more batches, then one with
// Synced set, then changes as they come. A consumer that falls behind is told
// the newest state of each key, not each step; what waits for it is bounded by
// the number of keys. When connection or leader are lost the watch goes on by
// itself; when history was compacted meanwhile it reads a snapshot again and
// tells only how it differs: Put for what is new or changed, Delete for what
// has gone. While it does so Synced is false.
type Watch interface {
	// Next blocks until there is news, the watch has failed, or ctx ends. Only
	// the last leaves the watch usable. Failures: ErrForeign, ErrCompacted,
	// ErrPermission, ErrClosed.
	Next(ctx context.Context) (Batch, error)
	Close()
}

// Batch is news of a watch.
type Batch struct {
	// Events in the order in which they happened; at most one for a key. Empty
	// when there is only progress to tell.
	Events []Event
	// Revision is the one up to which everything below the prefixes has been
	// told; single events may be newer. Zero before the first snapshot is
	// complete.
	Revision int64
	// Synced says that after this batch the consumer holds the state at
	// Revision whole. It stays true until a snapshot has to be read again.
	Synced bool
}

// EventType is what became of a key.
type EventType int

// The types of events.
const (
	Put    EventType = iota // the key now has the value in KV
	Delete                  // the key is gone; KV has Key and ModRevision only
)

// String returns "put" or "delete".
func (t EventType) String() string {
	if t == Delete {
		return "delete"
	}
	return "put"
}

// Event says what a key is now. It may repeat what is known already: a Delete
// of a key never told is no error.
type Event struct {
	Type EventType
	KV   KV
}
