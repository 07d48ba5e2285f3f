package store

import (
	"encoding/json"
	"fmt"
)

// Cluster is the identity of a cluster, kept at MetaKey. It lets a host tell
// the store it knows from one that was emptied, restored or swapped.
type Cluster struct {
	GUID string `json:"guid"`
	// Epoch counts the adoptions: each says that the operator has accepted the
	// store as it is, although hosts remember another one.
	Epoch uint64 `json:"epoch"`
	// Adopted are GUIDs of lost or replaced stores whose hosts now belong here.
	Adopted []string `json:"adopted,omitempty"`
}

// decodeCluster reads the value of MetaKey. Fields of a newer version are
// ignored.
func decodeCluster(value []byte) (Cluster, error) {
	var c Cluster
	if err := json.Unmarshal(value, &c); err != nil {
		return Cluster{}, fmt.Errorf("read %s: %w", MetaKey, err)
	}
	if c.GUID == "" {
		return Cluster{}, fmt.Errorf("read %s: no guid in %q", MetaKey, value)
	}
	return c, nil
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
	c, err := decodeCluster(meta)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrForeign, err)
	}
	if c.GUID != opts.GUID {
		return fmt.Errorf("%w: it belongs to cluster %s, wanted %s", ErrForeign, c.GUID, opts.GUID)
	}
	return nil
}
