package ipam

import (
	"context"
	"fmt"
	"strconv"

	"github.com/projectvrouter/vrouter/internal/store"
)

// Sequence numbers say which holding of an address a release means, and must
// not come again: not for a block that is made anew, and not in a store that
// was filled from another one, whose revision may be lower. No sequence number
// is above the revision of the store plus the base that it was given.

// parseBase reads what SequenceKey holds.
func parseBase(data []byte) (any, error) { return strconv.ParseUint(string(data), 10, 64) }

// sequenceBase returns what sequence numbers begin above, beside the revision.
func (s *Step) sequenceBase() (uint64, error) {
	if err := s.need([]string{store.SequenceKey}, nil); err != nil {
		return 0, err
	}
	base, err := s.object(store.SequenceKey, parseBase)
	n, _ := base.(uint64)
	return n, err
}

// SequenceFloor returns a number that no sequence number is above which a store
// has given out up to a revision.
func SequenceFloor(ctx context.Context, s Store, revision int64) (uint64, error) {
	page, err := s.List(ctx, store.SequenceKey, store.ListOptions{Revision: revision})
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", store.SequenceKey, err)
	}
	for _, kv := range page.KVs {
		if kv.Key == store.SequenceKey {
			base, err := strconv.ParseUint(string(kv.Value), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("read %s: %w", store.SequenceKey, err)
			}
			return base + uint64(revision), nil
		}
	}
	return uint64(revision), nil
}

// RaiseSequence has a stored block number what it gives out from now on above
// floor. What it holds keeps its numbers.
func RaiseSequence(data []byte, floor uint64) ([]byte, error) {
	b, err := DecodeBlock(data)
	if err != nil {
		return nil, err
	}
	if b.Sequence >= floor {
		return data, nil
	}
	b.Sequence = floor
	return b.encode()
}
