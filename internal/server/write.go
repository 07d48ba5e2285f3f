package server

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/ipam"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

const (
	// maxTries is how often a write is tried when others write the same keys.
	// With the pauses between them it takes well over as many writers at once
	// to exhaust them.
	maxTries = 12
	// firstPause and lastPause bound the pause before a try, which is random
	// below a bound that doubles: writers that collided come apart.
	firstPause = 2 * time.Millisecond
	lastPause  = 128 * time.Millisecond
)

// writer is the one place where objects are written and removed, whichever
// service asks: each time one transaction that compares all it was built on.
type writer struct {
	store       *store.Gate // writes nothing while the datastore is locked
	requirePool bool        // endpoints have no address outside every pool
	settings    *settings   // of ipam
	ipam        *ipam.Client
	spares      *spares
}

// change is an object to be written. msg is the caller's, in canonical form.
type change struct {
	msg     proto.Message
	checked resource.Object
	mode    vrouterv1.PutMode
	version string // resource version that must be the stored one; empty: any
	dryRun  bool

	addresses *vrouterv1.AddressRequest // for an endpoint that states none
	heldBy    []string                  // handles that may hold addresses of an endpoint
}

// outcome is what became of a change.
type outcome struct {
	msg       proto.Message // as stored, with its resource version
	revision  int64         // mod revision of the object; zero after a dry run that would write
	created   bool
	unchanged bool
	warnings  []string // of what is kept otherwise than the caller may think
}

// stored is an object as it stands in the store.
type stored struct {
	id       resource.ID
	revision int64         // zero: there is none
	msg      proto.Message // nil: there is none, or it cannot be read
}

// txn is a transaction in the making.
type txn struct {
	compares []store.Compare
	ops      []store.Op
}

func (t *txn) compare(key string, revision int64) {
	t.compares = append(t.compares, store.Compare{Key: key, ModRevision: revision})
}

func (t *txn) put(key string, value []byte) {
	t.ops = append(t.ops, store.Op{Key: key, Value: value})
}

func (t *txn) delete(key string) {
	t.ops = append(t.ops, store.Op{Key: key, Delete: true})
}

// accept brings a raw object into canonical form, in place, and checks it.
func accept(msg proto.Message) (resource.Object, error) {
	resource.Canonicalize(msg)
	return resource.Check(msg)
}

// put performs a change.
func (w *writer) put(ctx context.Context, c change) (outcome, error) {
	var out outcome
	var err error
	if endpoint, ok := c.checked.(*resource.WorkloadEndpoint); ok {
		out, err = w.putEndpoint(ctx, c, endpoint)
	} else {
		err = retried(ctx, func() (err error) {
			out, err = w.tryPut(ctx, c)
			return err
		})
	}
	if err != nil {
		return outcome{}, err
	}
	return out, nil
}

// tryPut performs a change of anything but an endpoint unless somebody else is
// faster, which is a *store.ConflictError.
func (w *writer) tryPut(ctx context.Context, c change) (outcome, error) {
	old, err := w.stored(ctx, resource.IDOf(c.msg))
	if err != nil {
		return outcome{}, err
	}
	if same := c.builtIn(old); same != nil {
		return outcome{msg: same, unchanged: true}, nil
	}
	if err := c.allowed(old); err != nil {
		return outcome{}, err
	}
	next := resource.Successor(c.msg, old.msg)
	keepIdentity(next, old.msg)
	out := outcome{msg: next, revision: old.revision, created: old.revision == 0}
	if old.msg != nil && resource.SameStored(old.msg, next) {
		out.unchanged = true
		resource.SetVersion(next, old.revision)
		return out, nil
	}
	value, err := resource.Encode(next)
	if err != nil {
		return outcome{}, err
	}
	var t txn
	t.compare(resourceKey(old.id), old.revision)
	t.put(resourceKey(old.id), value)
	if guarded(old.id.Kind) {
		t.put(settingsGuard, []byte(old.id.String()))
	}
	switch checked := c.checked.(type) {
	case *resource.IPPool:
		err = w.reservePool(ctx, &t, old, checked)
	case *resource.IPAMConfiguration:
		err = w.configure(ctx, &t, checked)
	case *resource.ClusterInformation:
		err = w.whole(ctx, &t)
	}
	if err != nil {
		return outcome{}, err
	}
	out.revision, err = w.commit(ctx, w.door(old.id.Kind), t, c.dryRun)
	if err != nil {
		return outcome{}, err
	}
	resource.SetVersion(next, out.revision)
	return out, nil
}

// keepIdentity leaves the GUID that the cluster has, and with which every node
// remembers it: that of a manifest is of another cluster.
func keepIdentity(next, old proto.Message) {
	was, _ := old.(*vrouterv1.ClusterInformation)
	if guid := was.GetSpec().GetClusterGuid(); guid != "" {
		resource.SpecOf(next).(*vrouterv1.ClusterInformationSpec).ClusterGuid = &guid
	}
}

// remove deletes an object with its status, and the addresses of an endpoint.
// It returns the object as it was last; no object is a *missingError.
func (w *writer) remove(ctx context.Context, id resource.ID, version string) (stored, error) {
	var last stored
	var err error
	switch id.Kind {
	case resource.KindWorkloadEndpoint:
		last, err = w.removeEndpoint(ctx, id, version)
	case resource.KindIPPool:
		last, err = w.removePool(ctx, id, version)
	default:
		err = retried(ctx, func() error {
			var t txn
			if last, err = w.removal(ctx, &t, id, version); err == nil {
				_, err = w.commit(ctx, w.door(id.Kind), t, false)
			}
			return err
		})
	}
	if err != nil {
		return stored{}, err
	}
	return last, nil
}

// removal adds to a transaction what deletes an object with its status, and
// returns it as it is.
func (w *writer) removal(ctx context.Context, t *txn, id resource.ID, version string) (stored, error) {
	if err := w.removable(ctx, id); err != nil {
		return stored{}, err
	}
	old, err := w.stored(ctx, id)
	if err != nil {
		return stored{}, err
	}
	if old.revision == 0 {
		return stored{}, &missingError{id}
	}
	if err := writable(id); err != nil {
		return stored{}, err
	}
	if version != "" && version != strconv.FormatInt(old.revision, 10) {
		return stored{}, &staleError{id, version, old.revision}
	}
	t.compare(resourceKey(id), old.revision)
	t.delete(resourceKey(id))
	t.delete(statusKey(id))
	if guarded(id.Kind) {
		t.put(settingsGuard, []byte(id.String()))
	}
	switch id.Kind {
	case resource.KindNode:
		err = w.stopped(ctx, t, id)
	case resource.KindClusterInformation:
		err = w.whole(ctx, t)
	}
	return old, err
}

// stopped refuses to delete a node whose daemon lives, and makes the transaction
// depend on that: without its Node the other hosts would close their sessions
// with it, and what runs there could not be reached.
func (w *writer) stopped(ctx context.Context, t *txn, id resource.ID) error {
	for _, role := range roles() {
		key := store.LiveKey(role, id.Name)
		_, _, err := w.store.Get(ctx, key)
		switch {
		case err == nil:
			return &stateError{"IN_USE", id.String(), fmt.Sprintf("node %s is alive as %s: stop its vrouterd first", id.Name, role)}
		case !errors.Is(err, store.ErrNotFound):
			return fmt.Errorf("look whether node %s lives: %w", id.Name, err)
		}
		t.compare(key, 0)
	}
	return nil
}

// stored reads an object. One that cannot be read has a revision and no msg.
func (w *writer) stored(ctx context.Context, id resource.ID) (stored, error) {
	s := stored{id: id}
	kv, _, err := w.store.Get(ctx, resourceKey(id))
	if errors.Is(err, store.ErrNotFound) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	s.revision = kv.ModRevision
	if msg, err := resource.Decode(id.Kind, kv.Value, kv.ModRevision); err == nil {
		s.msg = msg
	}
	return s, nil
}

// gate returns the store as writers have it: open unless ClusterInformation says
// that the datastore is locked.
func gate(s store.Store) *store.Gate {
	key := resourceKey(resource.ID{Kind: resource.KindClusterInformation, Name: resource.DefaultName})
	return store.NewGate(s, key, func(kv store.KV) error { return resource.Unlocked(kv.Value) })
}

// door is the store that objects of a kind are written to: ClusterInformation
// may be written while the datastore is locked, or it could not be unlocked.
func (w *writer) door(kind resource.Kind) store.Store {
	if kind == resource.KindClusterInformation {
		return w.store.Store
	}
	return w.store
}

// commit performs a transaction; a dry run only looks whether it would succeed.
func (w *writer) commit(ctx context.Context, s store.Store, t txn, dryRun bool) (int64, error) {
	if !dryRun {
		return s.Txn(ctx, t.compares, t.ops)
	}
	if s == store.Store(w.store) {
		if err := w.store.Check(ctx); err != nil {
			return 0, err
		}
	}
	_, err := w.store.Store.Txn(ctx, t.compares, nil)
	return 0, err
}

// retried calls try until it ends otherwise than by a conflict.
func retried(ctx context.Context, try func() error) error {
	bound := firstPause
	for n := 1; ; n++ {
		err := try()
		if !errors.Is(err, store.ErrConflict) || n == maxTries {
			return err
		}
		timer := time.NewTimer(rand.N(bound))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
		bound = min(2*bound, lastPause)
	}
}
