package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// Importer writes a file into a store.
type Importer struct {
	Store store.Store
	// Self is the node that takes the call: what its daemon has written into a
	// new store at its start is in nobody's way.
	Self string
	// Guards are keys that are written with the last transaction: who remembers
	// what it read before compares them.
	Guards []string
	Now    func() time.Time
}

// Imported is what was written, or would be.
type Imported struct {
	Keys     int
	GUID     string
	Warnings []string
}

// NotEmptyError is a store that holds something already.
type NotEmptyError struct {
	Keys int
	Some []string // of them
	Live []string // nodes whose daemons follow the store
}

// Error names what is there.
func (e *NotEmptyError) Error() string {
	if len(e.Live) > 0 {
		return fmt.Sprintf("hosts follow this store already (%s): stop their vrouterd until it is whole", strings.Join(e.Live, ", "))
	}
	return fmt.Sprintf("the store is not empty: it holds %d keys, such as %s. Import into a new etcd, or under another store.prefix",
		e.Keys, strings.Join(e.Some, ", "))
}

// Run writes a file that was checked, and makes the store one to follow when all
// of it is there. What breaks off before leaves a store that nobody follows, and
// may be repeated with the same file or another.
func (i *Importer) Run(ctx context.Context, f *File, dryRun bool) (*Imported, error) {
	t, err := i.look(ctx)
	if err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	out := &Imported{Keys: len(f.KVs), GUID: t.meta.GUID, Warnings: f.importWarnings()}
	if !t.again {
		if err := i.vacant(ctx); err != nil {
			return nil, fmt.Errorf("import: %w", err)
		}
	}
	if dryRun {
		return out, nil
	}
	if err := i.begin(ctx, t, f); err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	if err := i.fill(ctx, t, f); err != nil {
		return nil, fmt.Errorf("import: %w (the store is not whole, and nobody follows it: repeat the import)", err)
	}
	return out, nil
}

func (f *File) importWarnings() []string {
	var out []string
	if !f.Locked {
		out = append(out, "the datastore was not locked when it was exported: what was written later is not in the file. "+
			"Sequence numbers of addresses begin far above those of the file")
	}
	if !f.Secrets {
		out = append(out, "the file has no Secrets: sessions that take their passwords from them do not come up until they are applied")
	}
	return out
}

// target is the store that is written to.
type target struct {
	meta      store.Cluster
	metaAt    int64 // revision; zero: there is none
	cluster   []byte
	clusterAt int64 // revision of ClusterInformation; zero: there is none
	again     bool  // an import broke off here
}

// look reads what the store is.
func (i *Importer) look(ctx context.Context) (*target, error) {
	t := &target{meta: store.NewCluster()}
	kv, _, err := i.Store.Get(ctx, store.MetaKey)
	switch {
	case err == nil:
		if t.meta, err = store.DecodeCluster(kv.Value); err != nil {
			return nil, err
		}
		t.metaAt, t.again = kv.ModRevision, t.meta.Importing != ""
	case !errors.Is(err, store.ErrNotFound):
		return nil, fmt.Errorf("read the identity of the store: %w", err)
	}
	kv, _, err = i.Store.Get(ctx, clusterKey())
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("read %s: %w", clusterKey(), err)
	}
	t.cluster, t.clusterAt = kv.Value, kv.ModRevision
	return t, nil
}

// selfKey is the Node of who takes the call.
func (i *Importer) selfKey() string {
	return store.ResourceKey(string(resource.KindNode), "", i.Self)
}

// vacant refuses a store that holds anything but what the daemon that takes the
// call writes into a new one at its start, or that other daemons follow.
func (i *Importer) vacant(ctx context.Context) error {
	there := &NotEmptyError{}
	kvs, _, err := read(ctx, i.Store, "")
	if err != nil {
		return err
	}
	for _, kv := range kvs {
		if kv.Key == clusterKey() || kv.Key == i.selfKey() || isDefault(kv) {
			continue
		}
		if there.Keys++; len(there.Some) < 5 {
			there.Some = append(there.Some, kv.Key)
		}
	}
	live, err := i.Store.List(ctx, store.LivingPrefix, store.ListOptions{})
	if err != nil {
		return fmt.Errorf("look who follows the store: %w", err)
	}
	for _, kv := range live.KVs {
		if _, node, err := store.ParseLiveKey(kv.Key); err == nil && node != i.Self {
			there.Live = append(there.Live, node)
		}
	}
	if there.Keys+len(there.Live) > 0 {
		return there
	}
	return nil
}

// isDefault tells whether a key is the BGPConfiguration that a daemon makes in a
// store that has none, as it made it.
func isDefault(kv KV) bool {
	if kv.Key != store.ResourceKey(string(resource.KindBGPConfiguration), "", resource.DefaultName) {
		return false
	}
	msg, err := resource.Decode(resource.KindBGPConfiguration, kv.Value, 0)
	if err != nil {
		return false
	}
	made := &vrouterv1.BGPConfiguration{
		Metadata: &vrouterv1.Metadata{Name: proto.String(resource.DefaultName)}, Spec: &vrouterv1.BGPConfigurationSpec{},
	}
	resource.Canonicalize(made)
	return proto.Equal(resource.SpecOf(made), resource.SpecOf(msg)) && len(resource.MetadataOf(msg).GetLabels()) == 0
}

// begin marks the store and locks it. What was written between the look and the
// lock is found by looking again.
func (i *Importer) begin(ctx context.Context, t *target, f *File) error {
	before := *t
	var err error
	if t.cluster, err = f.lockedCluster(t, i.Now()); err != nil {
		return err
	}
	t.meta.Importing = f.Sum
	if err := i.mark(ctx, t, []store.Op{{Key: clusterKey(), Value: t.cluster}}); err != nil {
		return fmt.Errorf("lock the store: %w", err)
	}
	t.clusterAt = t.metaAt
	if t.again {
		return nil
	}
	if err := i.vacant(ctx); err != nil {
		return errors.Join(err, i.undo(ctx, t, before))
	}
	return nil
}

// mark writes the identity of the store, with more, if both it and
// ClusterInformation are as they were. Where the store has not answered, the
// identity tells whether it did so.
func (i *Importer) mark(ctx context.Context, t *target, more []store.Op) error {
	meta, err := t.meta.Encode()
	if err != nil {
		return err
	}
	ops := slices.Concat(more, []store.Op{{Key: store.MetaKey, Value: meta}})
	unsure := false
	return i.patiently(ctx, func() error {
		revision, err := i.Store.Txn(ctx, t.compares(), ops)
		var conflict *store.ConflictError
		if unsure && errors.As(err, &conflict) && conflict.Key == store.MetaKey && bytes.Equal(conflict.Have.Value, meta) {
			revision, err = conflict.Have.ModRevision, nil
		}
		if err == nil {
			t.metaAt = revision
		}
		unsure = unsure || errors.Is(err, store.ErrUnavailable)
		return err
	})
}

// compares is what every transaction of an import depends on: that the store is
// still marked by it, and locked.
func (t *target) compares() []store.Compare {
	return []store.Compare{{Key: store.MetaKey, ModRevision: t.metaAt}, {Key: clusterKey(), ModRevision: t.clusterAt}}
}

// undo leaves the store as it was before begin.
func (i *Importer) undo(ctx context.Context, t *target, before target) error {
	ops := []store.Op{{Key: store.MetaKey, Delete: true}, {Key: clusterKey(), Delete: true}}
	if before.metaAt != 0 {
		meta, err := before.meta.Encode()
		if err != nil {
			return err
		}
		ops[0] = store.Op{Key: store.MetaKey, Value: meta}
	}
	if before.clusterAt != 0 {
		ops[1] = store.Op{Key: clusterKey(), Value: before.cluster}
	}
	if _, err := i.Store.Txn(ctx, t.compares(), ops); err != nil {
		return fmt.Errorf("leave the store as it was: %w", err)
	}
	return nil
}

// lockedCluster is the ClusterInformation of the file, with the identity of the
// store that it is written to, and locked.
func (f *File) lockedCluster(t *target, now time.Time) ([]byte, error) {
	var old, next *vrouterv1.ClusterInformation
	for _, value := range [][]byte{f.value(clusterKey()), t.cluster} {
		if msg, err := resource.Decode(resource.KindClusterInformation, value, 0); old == nil && len(value) > 0 && err == nil {
			old = msg.(*vrouterv1.ClusterInformation)
		}
	}
	if next = proto.CloneOf(old); next == nil {
		next = &vrouterv1.ClusterInformation{Metadata: &vrouterv1.Metadata{Name: proto.String(resource.DefaultName)}}
	}
	if next.Spec == nil {
		next.Spec = &vrouterv1.ClusterInformationSpec{}
	}
	next.Spec.ClusterGuid, next.Spec.DatastoreReady = proto.String(t.meta.GUID), proto.Bool(false)
	next.Spec.DatastoreLock = &vrouterv1.DatastoreLock{
		By:     proto.String("vrouterctl datastore import"),
		Reason: proto.String(f.origin()),
		Since:  proto.String(now.UTC().Format(time.RFC3339)),
	}
	resource.Canonicalize(next)
	var was proto.Message
	if old != nil {
		was = old
	}
	return resource.Encode(resource.Successor(next, was))
}

// value returns that of a key; nil: the file does not have it.
func (f *File) value(key string) []byte {
	n, ok := slices.BinarySearchFunc(f.KVs, key, func(kv KV, key string) int { return strings.Compare(kv.Key, key) })
	if !ok {
		return nil
	}
	return f.KVs[n].Value
}
