package ipam

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/projectvrouter/vrouter/internal/store"
)

// Store is what address management needs of a store.Store.
type Store interface {
	Read(ctx context.Context, keys, prefixes []string) (store.Snapshot, error)
	List(ctx context.Context, prefix string, opts store.ListOptions) (store.Page, error)
	Txn(ctx context.Context, compares []store.Compare, ops []store.Op) (int64, error)
}

// NeedError says what else must be read before a step can decide. It is no
// failure: read it and run the step again.
type NeedError struct {
	Keys     []string
	Prefixes []string // ranges, whole
}

// Error names the keys.
func (e *NeedError) Error() string {
	return fmt.Sprintf("to be read: %s", strings.Join(slices.Concat(e.Prefixes, e.Keys), " "))
}

// Reads is what was read of the store. It need not be of one revision:
// everything that a step depends on is compared when it writes. It belongs to
// one goroutine.
type Reads struct {
	keys   map[string]*read
	ranges map[string]int64 // revision of which a range was read whole
	// guess says that handles that were not read may be taken for absent, and
	// that the rest may be old: the transaction tells. A refusal is in doubt
	// then, and so is that there is less than was asked for.
	guess bool
}

// read is a key; without a revision it is absent.
type read struct {
	kv     store.KV // without its value once that was decoded
	at     int64    // revision of the store when it was read
	object any      // decoded from kv, once
	err    error    // of decoding
}

// NewReads returns what holds nothing yet. With guess, handles that were not
// read are taken for absent, which saves reading them and makes a conflict if
// wrong; a refusal must then be tried again without.
func NewReads(guess bool) *Reads {
	return &Reads{keys: make(map[string]*read), ranges: make(map[string]int64), guess: guess}
}

// Fill reads what a step needs. What fits into one round trip is of one
// revision, of which a range is in any case.
func (r *Reads) Fill(ctx context.Context, s Store, need *NeedError) error {
	keys, prefixes := need.Keys, need.Prefixes
	for len(keys)+len(prefixes) > 0 {
		ranges := prefixes[:min(len(prefixes), store.MaxOps)]
		some := keys[:min(len(keys), store.MaxOps-len(ranges))]
		keys, prefixes = keys[len(some):], prefixes[len(ranges):]
		found, err := s.Read(ctx, some, ranges)
		if err != nil {
			return fmt.Errorf("read %s: %w", strings.Join(slices.Concat(ranges, some), " "), err)
		}
		r.took(found.KVs, found.Revision)
		for i, prefix := range ranges {
			if err := r.rest(ctx, s, prefix, found.Pages[i]); err != nil {
				return fmt.Errorf("read %s: %w", prefix, err)
			}
		}
	}
	return nil
}

// rest takes in a range of which the first page was read.
func (r *Reads) rest(ctx context.Context, s Store, prefix string, p store.Page) (err error) {
	r.took(p.KVs, p.Revision)
	for p.Next != "" {
		if p, err = s.List(ctx, prefix, store.ListOptions{Limit: p.NextLimit(), Start: p.Next, Revision: p.Revision}); err != nil {
			return err
		}
		r.took(p.KVs, p.Revision)
	}
	r.ranges[prefix] = p.Revision
	return nil
}

func (r *Reads) took(kvs []store.KV, revision int64) {
	for _, kv := range kvs {
		r.keys[kv.Key] = &read{kv: kv, at: revision}
	}
}

// wrote takes in what the transaction of a step has written at a revision.
func (r *Reads) wrote(s *Step, ops []store.Op, revision int64) {
	for _, op := range ops {
		now := &read{kv: store.KV{Key: op.Key}, at: revision}
		if !op.Delete {
			now.kv.ModRevision = revision
			if object := s.staged[op.Key]; object != nil {
				now.object = object
			} else {
				now.kv.Value = op.Value
			}
		}
		r.keys[op.Key] = now
	}
}

// keep forgets everything but the keys that are named and what lies below a
// prefix.
func (r *Reads) keep(prefix string, keys map[string]bool) {
	maps.DeleteFunc(r.keys, func(key string, _ *read) bool {
		return !keys[key] && !strings.HasPrefix(key, prefix)
	})
	maps.DeleteFunc(r.ranges, func(p string, _ int64) bool { return p != prefix })
}

// known returns a key that was read, or lies in a range that was.
func (r *Reads) known(key string) (*read, bool) {
	if found := r.keys[key]; found != nil {
		return found, true
	}
	for prefix := range r.ranges {
		if strings.HasPrefix(key, prefix) {
			return &read{kv: store.KV{Key: key}}, true
		}
	}
	return nil, false
}

// below returns the keys of a range that was read and exist, in order.
func (r *Reads) below(prefix string) []string {
	var out []string
	for key, found := range r.keys {
		if found.kv.ModRevision != 0 && strings.HasPrefix(key, prefix) {
			out = append(out, key)
		}
	}
	slices.Sort(out)
	return out
}

// decode returns the object of a key, decoded once; nil when it is absent.
func (f *read) decode(decode func([]byte) (any, error)) (any, error) {
	if f.kv.ModRevision == 0 {
		return nil, nil
	}
	if f.object == nil && f.err == nil {
		f.object, f.err = decode(f.kv.Value)
		f.kv.Value = nil // which may be large, and is remembered for long
	}
	return f.object, f.err
}
