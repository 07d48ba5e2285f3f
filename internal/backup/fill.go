package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/ipam"
)

const (
	// batchKeys and batchBytes bound a transaction of an import: below MaxOps,
	// and below the 1.5 MiB that an etcd takes unless configured otherwise. A
	// single value may be larger than the second.
	batchKeys  = 100
	batchBytes = 512 << 10
	// atOnce is how many transactions are under way: an etcd far away costs its
	// round trip an eighth of the time, and what it commits together in one sync
	// of its disk is not more than its own limit of what may be pending.
	atOnce = 8
	// patience is how often a transaction is tried with a store that does not
	// answer; between the tries are half a minute together.
	patience   = 6
	firstPause = time.Second
	// lostHistory is what the sequence numbers of an export are raised by that
	// was not locked: more than what the cluster can have written since, which
	// nobody knows of any more. It is a thousand revisions a second for 34 years.
	lostHistory = 1 << 40
)

// fill makes the store hold what the file says, looks whether it does, and takes
// the mark away.
func (i *Importer) fill(ctx context.Context, t *target, f *File) error {
	wanted, floor, err := f.wanted(t)
	if err != nil {
		return err
	}
	there, _, err := read(ctx, i.Store, "")
	if err != nil {
		return err
	}
	if err := i.commit(ctx, t, i.difference(there, wanted)); err != nil {
		return err
	}
	base := []byte(strconv.FormatUint(floor, 10))
	if err := i.commit(ctx, t, []store.Op{{Key: store.SequenceKey, Value: base}}); err != nil {
		return err
	}
	there, _, err = read(ctx, i.Store, "")
	if err != nil {
		return err
	}
	if left := i.difference(there, wanted); len(left) > 0 {
		return fmt.Errorf("%s was written, and reads otherwise", left[0].Key)
	}
	t.meta.Importing = ""
	var guards []store.Op
	for _, key := range i.Guards {
		guards = append(guards, store.Op{Key: key, Value: []byte("import")})
	}
	if err := i.mark(ctx, t, guards); err != nil {
		return fmt.Errorf("make the store one to follow: %w", err)
	}
	return nil
}

// wanted is what the store is to hold: what the file does, with the store's own
// ClusterInformation; and what sequence numbers are to begin above. Where the
// cluster may have gone on after the export, no block may give out numbers that
// it gave out then.
func (f *File) wanted(t *target) ([]KV, uint64, error) {
	floor := f.SequenceFloor
	if !f.Locked {
		floor += lostHistory
	}
	var out []KV
	cluster := KV{clusterKey(), t.cluster}
	for _, kv := range f.KVs {
		if strings.HasPrefix(kv.Key, store.BlockPrefix) && !f.Locked {
			raised, err := ipam.RaiseSequence(kv.Value, floor)
			if err != nil {
				return nil, 0, fmt.Errorf("%s: %w", kv.Key, err)
			}
			kv.Value = raised
		}
		if cluster.Key != "" && kv.Key >= cluster.Key {
			out = append(out, cluster)
			same := kv.Key == cluster.Key
			if cluster.Key = ""; same {
				continue
			}
		}
		out = append(out, kv)
	}
	if cluster.Key != "" {
		out = append(out, cluster)
	}
	return out, floor, nil
}

// difference is what makes of there what is wanted; both are in order of keys.
// The Node of who takes the call stays if the file has none.
func (i *Importer) difference(there, wanted []KV) []store.Op {
	var ops []store.Op
	for len(there)+len(wanted) > 0 {
		switch {
		case len(wanted) == 0 || len(there) > 0 && there[0].Key < wanted[0].Key:
			if there[0].Key != i.selfKey() {
				ops = append(ops, store.Op{Key: there[0].Key, Delete: true})
			}
			there = there[1:]
			continue
		case len(there) == 0 || wanted[0].Key < there[0].Key:
			ops = append(ops, store.Op{Key: wanted[0].Key, Value: wanted[0].Value})
		default:
			if !bytes.Equal(there[0].Value, wanted[0].Value) {
				ops = append(ops, store.Op{Key: wanted[0].Key, Value: wanted[0].Value})
			}
			there = there[1:]
		}
		wanted = wanted[1:]
	}
	return ops
}

// commit performs operations, as many at a time as a transaction holds, and
// several transactions at a time: nobody follows the store before all are done,
// so that their order means nothing.
func (i *Importer) commit(call context.Context, t *target, ops []store.Op) error {
	g, ctx := errgroup.WithContext(call)
	g.SetLimit(atOnce)
	for batch := range Batches(ops) {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error {
			err := i.patiently(ctx, func() error {
				_, err := i.Store.Txn(ctx, t.compares(), batch)
				return err
			})
			if errors.Is(err, store.ErrConflict) {
				return fmt.Errorf("another import has begun, or somebody has changed the lock: %w", err)
			}
			if err != nil {
				return fmt.Errorf("write %d keys from %s: %w", len(batch), batch[0].Key, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return call.Err() // it may have ended before all was written
}

// Batches cuts operations into what a transaction takes.
func Batches(ops []store.Op) iter.Seq[[]store.Op] {
	return func(yield func([]store.Op) bool) {
		for len(ops) > 0 {
			n, size := 0, 0
			for n < len(ops) && n < batchKeys && (n == 0 || size+len(ops[n].Key)+len(ops[n].Value) <= batchBytes) {
				size += len(ops[n].Key) + len(ops[n].Value)
				n++
			}
			if !yield(ops[:n]) {
				return
			}
			ops = ops[n:]
		}
	}
}

// patiently calls try again while a store does not answer: one that is busy with
// what an import gives it may need longer than a call may take. What try did then
// it may do again.
func (i *Importer) patiently(ctx context.Context, try func() error) error {
	for n, pause := 1, firstPause; ; n, pause = n+1, 2*pause {
		err := try()
		if !errors.Is(err, store.ErrUnavailable) || n == patience {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
	}
}
