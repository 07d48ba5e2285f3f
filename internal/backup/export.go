package backup

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/ipam"
)

// clusterKey is where ClusterInformation is stored.
func clusterKey() string {
	return store.ResourceKey(string(resource.KindClusterInformation), "", resource.DefaultName)
}

// readTries is how often a store is read that compacts while it is: a store of
// 250,000 endpoints is read in seconds, and few compact more often.
const readTries = 3

// Read takes what a store holds, at one revision. Writer is the version of this
// program. A store that compacts that revision meanwhile is read again, at a
// later one.
func Read(ctx context.Context, s store.Store, secrets bool, writer string, now time.Time) (*File, error) {
	cluster, _, err := store.Identity(ctx, s)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, fmt.Errorf("export: the store has no cluster identity: it is empty: %w", err)
	case err != nil:
		return nil, fmt.Errorf("export: %w", err)
	case cluster.Importing != "":
		return nil, fmt.Errorf("export: %w: an import into it is not whole", store.ErrForeign)
	}
	f := &File{Header: Header{
		Format: formatName, Version: formatVersion, ClusterGUID: cluster.GUID,
		Secrets: secrets, Created: now.UTC().Format(time.RFC3339), Writer: writer,
	}}
	without := ""
	if !secrets {
		without = store.KindPrefix(string(resource.KindSecret))
	}
	for n := 1; ; n++ {
		if f.KVs, f.Revision, err = read(ctx, s, without); err == nil {
			f.SequenceFloor, err = ipam.SequenceFloor(ctx, s, f.Revision)
		}
		if err == nil {
			break
		}
		if n == readTries || !errors.Is(err, store.ErrCompacted) {
			return nil, fmt.Errorf("export: %w", err)
		}
	}
	for _, kv := range f.KVs {
		if locked := (&resource.LockedError{}); kv.Key == clusterKey() && errors.As(resource.Unlocked(kv.Value), &locked) {
			f.Locked = true
		}
	}
	return f, nil
}

// read returns what the ranges hold, at one revision, and that. Keys that begin with without are left out, unless it is empty.
func read(ctx context.Context, s store.Store, without string) ([]KV, int64, error) {
	var kvs []KV
	revision := int64(0)
	for _, prefix := range ranges() {
		var err error
		revision, err = store.Scan(ctx, s, prefix, revision, func(kv store.KV) {
			if without == "" || !strings.HasPrefix(kv.Key, without) {
				kvs = append(kvs, KV{kv.Key, kv.Value})
			}
		})
		if err != nil {
			return nil, 0, fmt.Errorf("read %s: %w", prefix, err)
		}
	}
	return kvs, revision, nil
}

// Warnings says what whoever exports should know.
func (f *File) Warnings() []string {
	var out []string
	if !f.Locked {
		out = append(out, "the datastore is not locked: what is written from now on is not in the file. To move the cluster, "+
			"lock it first (vrouterctl datastore lock) and export again")
	}
	if !f.Secrets {
		out = append(out, "Secrets are not in the file: sessions that take their passwords from them do not come up after an "+
			"import until they are applied again")
	}
	var bad *resource.Invalid
	if errors.As(f.Check(), &bad) {
		for _, p := range bad.Problems {
			out = append(out, fmt.Sprintf("an import would refuse %s: %s", p.Path, p.Reason))
		}
	}
	return out
}
