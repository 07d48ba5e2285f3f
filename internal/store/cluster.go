package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/google/uuid"
)

// schemaVersion is the layout of keys and values that this version writes.
const schemaVersion = 1

// Cluster is the identity of a cluster, kept at MetaKey. It lets a host tell
// the store it knows from one that was emptied, restored or swapped.
type Cluster struct {
	GUID string `json:"guid"`
	// Epoch counts the adoptions: each says that the operator has accepted the
	// store as it is, although hosts remember another one.
	Epoch uint64 `json:"epoch"`
	// Adopted are the GUIDs of stores, lost, replaced or restored, whose hosts
	// now belong here.
	Adopted []string `json:"adopted,omitempty"`
	// Schema is the layout of keys and values.
	Schema int `json:"schema"`
	// Importing names the import that is being written, or broke off: what the
	// store holds is not whole, and nobody's to follow.
	Importing string `json:"importing,omitempty"`

	// unknown are fields of a newer version, which are written back unchanged.
	unknown map[string]json.RawMessage
}

// Identity reads the identity of a cluster and the store's revision, which also
// holds with ErrNotFound.
func Identity(ctx context.Context, s Store) (Cluster, int64, error) {
	c, _, revision, err := readIdentity(ctx, s)
	return c, revision, err
}

// EnsureIdentity reads the identity and makes one where there is none. A host
// that has a local copy asks Judge first: an empty store is foreign to it. One
// with an import that is not whole is ErrForeign.
func EnsureIdentity(ctx context.Context, s Store) (Cluster, int64, error) {
	c, revision, err := Identity(ctx, s)
	if err == nil && c.Importing != "" {
		return c, revision, fmt.Errorf("%w: %s", ErrForeign, unfinished)
	}
	if !errors.Is(err, ErrNotFound) {
		return c, revision, err
	}
	c = NewCluster()
	revision, err = writeIdentity(ctx, s, c, 0)
	if errors.Is(err, ErrConflict) { // another host was first
		return Identity(ctx, s)
	}
	return c, revision, err
}

// unfinished is why nobody follows a store with an import that is not whole.
const unfinished = "an import into it is not whole: wait for it, or repeat `vrouterctl datastore import`"

// NewCluster returns a new identity.
func NewCluster() Cluster { return Cluster{GUID: uuid.NewString(), Schema: schemaVersion} }

// Adopt makes the store the one that hosts with a copy belong to: it adds the
// copy's GUID and raises the epoch above the copy's. A store without identity
// gets one.
func Adopt(ctx context.Context, s Store, copied Copy) (Cluster, int64, error) {
	for {
		c, modRevision, _, err := readIdentity(ctx, s)
		switch {
		case errors.Is(err, ErrNotFound):
			c = NewCluster()
		case err != nil:
			return Cluster{}, 0, err
		case c.Importing != "":
			return Cluster{}, 0, fmt.Errorf("%w: %s", ErrForeign, unfinished)
		}
		c.Epoch = max(c.Epoch, copied.Epoch) + 1
		if copied.GUID != "" && !slices.Contains(c.Adopted, copied.GUID) {
			c.Adopted = append(c.Adopted, copied.GUID)
		}
		revision, err := writeIdentity(ctx, s, c, modRevision)
		if errors.Is(err, ErrConflict) {
			continue // somebody else succeeded, so this ends
		}
		return c, revision, err
	}
}

// Overtaken is a revision of a copy: it says that the store was seen in a state
// older than the one copied. It may have grown past that since: no revision is
// the one known until an adoption raises the epoch.
const Overtaken = math.MaxInt64

// VerdictKind says how a store stands to a copy.
type VerdictKind int

// The kinds of verdicts.
const (
	Same    VerdictKind = iota // the store that the copy was made of, not older
	Adopted                    // another one, or an older state, that the operator accepted
	Foreign                    // neither: remove nothing, wait for the operator
)

// String returns the kind as a word.
func (k VerdictKind) String() string {
	return [...]string{"same", "adopted", "foreign"}[k]
}

// Verdict is what Judge found.
type Verdict struct {
	Kind   VerdictKind
	Reason string // of Foreign, in words for an operator
}

// Judge says whether a store, with its identity (if found) and revision, is the
// one that a copy was made of.
func Judge(copied Copy, cluster Cluster, found bool, revision int64) Verdict {
	foreign := func(format string, args ...any) Verdict {
		return Verdict{Foreign, fmt.Sprintf(format, args...)}
	}
	same := found && cluster.GUID == copied.GUID
	switch {
	case !found:
		return foreign("the store has no cluster identity: it is empty, and this host remembers cluster %s", copied.GUID)
	case cluster.Importing != "":
		return foreign("%s", unfinished)
	// First, because a restored backup may have grown past the copy's revision
	// by another way since it was adopted.
	case cluster.Epoch > copied.Epoch && slices.Contains(cluster.Adopted, copied.GUID):
		return Verdict{Kind: Adopted}
	case same && cluster.Epoch >= copied.Epoch && revision >= copied.Revision:
		return Verdict{Kind: Same}
	case !same:
		return foreign("the store belongs to cluster %s, this host to %s", cluster.GUID, copied.GUID)
	case cluster.Epoch < copied.Epoch:
		return foreign("the store was restored from an old backup: it is at epoch %d, this host has seen %d",
			cluster.Epoch, copied.Epoch)
	case copied.Revision == Overtaken:
		return foreign("the store was restored from an old backup, and may have grown since: it is at revision %d", revision)
	}
	return foreign("the store was restored from an old backup: it is at revision %d, this host has seen %d",
		revision, copied.Revision)
}

// CheckIdentity decides whether a watch may go on: told is the revision up to
// which it has told everything, meta the value of MetaKey (nil: there is
// none), and revision the store's. It is for drivers, which call it before
// each start of a watch.
func CheckIdentity(opts WatchOptions, told int64, meta []byte, revision int64) error {
	if least := max(told, opts.MinRevision, opts.After); revision < least {
		return fmt.Errorf("%w: its revision %d is lower than %d, which was seen before", ErrForeign, revision, least)
	}
	if opts.GUID == "" {
		return nil
	}
	if meta == nil {
		return fmt.Errorf("%w: it has no cluster identity, wanted %s", ErrForeign, opts.GUID)
	}
	c, err := DecodeCluster(meta)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrForeign, err)
	}
	if c.GUID != opts.GUID {
		return fmt.Errorf("%w: it belongs to cluster %s, wanted %s", ErrForeign, c.GUID, opts.GUID)
	}
	if c.Importing != "" {
		return fmt.Errorf("%w: %s", ErrForeign, unfinished)
	}
	return nil
}

func readIdentity(ctx context.Context, s Store) (c Cluster, modRevision, revision int64, err error) {
	kv, revision, err := s.Get(ctx, MetaKey)
	if err != nil {
		return Cluster{}, 0, revision, err
	}
	c, err = DecodeCluster(kv.Value)
	return c, kv.ModRevision, revision, err
}

func writeIdentity(ctx context.Context, s Store, c Cluster, modRevision int64) (int64, error) {
	value, err := c.Encode()
	if err != nil {
		return 0, err
	}
	return s.Txn(ctx, []Compare{{Key: MetaKey, ModRevision: modRevision}}, []Op{{Key: MetaKey, Value: value}})
}

// DecodeCluster reads the value of MetaKey.
func DecodeCluster(value []byte) (Cluster, error) {
	var c Cluster
	if err := json.Unmarshal(value, &c); err != nil {
		return Cluster{}, fmt.Errorf("read cluster identity: %w", err)
	}
	if err := json.Unmarshal(value, &c.unknown); err != nil {
		return Cluster{}, fmt.Errorf("read cluster identity: %w", err)
	}
	if c.GUID == "" {
		return Cluster{}, errors.New("read cluster identity: it has no guid")
	}
	return c, nil
}

// Encode renders the value of MetaKey: the known fields over those that were
// read.
func (c Cluster) Encode() ([]byte, error) {
	known, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("write cluster identity: %w", err)
	}
	all := maps.Clone(c.unknown)
	delete(all, "importing") // known, and left out when it is empty
	if err := json.Unmarshal(known, &all); err != nil {
		return nil, fmt.Errorf("write cluster identity: %w", err)
	}
	return json.Marshal(all)
}
