package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/internal/telemetry"
	"github.com/projectvrouter/vrouter/internal/version"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// node is the edge configuration → our own Node, and keeps our lease.
type node struct {
	id       Identity // belongs to Run
	leaseTTL time.Duration
	store    store.Store
	gate     *store.Gate // the store, while the datastore is not locked
	feed     *feed
	health   *telemetry.Health
	log      hclog.Logger
	claimed  chan struct{} // closed once the name was known to be ours, and our Node written
	written  int64         // revision of our Node then

	linksChanged chan struct{} // signalled when our Node does not list the host's interfaces
	identified   chan struct{} // signalled when there is a next identity

	mu    sync.Mutex               // guards the rest
	asked bool                     // the store has said who has the name
	taken bool                     // another live host has it
	links []resource.NodeInterface // of the host, which our Node is to list; nil: not known
	next  *Identity                // takes the place of id; nil: nothing does
}

func newNode(id Identity, ttl time.Duration, s store.Store, f *feed, health *telemetry.Health, log hclog.Logger) *node {
	cluster := store.ResourceKey(string(resource.KindClusterInformation), "", resource.DefaultName)
	gate := store.NewGate(s, cluster, func(kv store.KV) error { return resource.Unlocked(kv.Value) })
	return &node{id: id, leaseTTL: ttl, store: s, gate: gate, feed: f, health: health, log: log,
		claimed: make(chan struct{}), linksChanged: make(chan struct{}, 1), identified: make(chan struct{}, 1)}
}

// Run registers the node and keeps its lease until ctx ends. It does nothing
// while the store is a foreign one.
func (n *node) Run(ctx context.Context) error {
	n.health.Set(conditionNode, false, "waiting for the store")
	pause := firstPause
	for {
		guid, ok := n.feed.Ours(ctx)
		if !ok {
			return nil
		}
		lease, held, err := n.register(ctx, guid)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			n.report(err)
			n.log.Warn("node is not registered", "node", n.id.Name, "retry_in", pause, "error", err)
			if !sleep(ctx, pause) {
				return nil
			}
			pause = min(2*pause, longPause)
			continue
		}
		pause = firstPause
		n.report(nil)
		if held != nil {
			n.log.Warn("node is registered, and changes of it wait", "node", n.id.Name, "error", held)
		}
		if !n.keep(ctx, lease, held != nil, guid) {
			return nil
		}
	}
}

// keep keeps the lease until it is lost; false: ctx ended first. What could not
// be written, because the datastore was locked, is written once it is not.
func (n *node) keep(ctx context.Context, lease store.Lease, held bool, guid string) bool {
	var links <-chan time.Time
	for {
		var again <-chan time.Time
		if held {
			again = time.After(longPause)
		}
		select {
		case <-ctx.Done():
			// The lease runs out by itself: a daemon that comes back within it
			// was never away.
			return false
		case <-lease.Lost():
			n.log.Warn("lease was lost", "node", n.id.Name)
			return true
		case <-n.linksChanged:
			links = n.tryLinks(ctx)
		case <-links:
			links = n.tryLinks(ctx)
		case <-n.identified:
			if err := n.restate(ctx, lease, guid); err != nil {
				held = true
				n.log.Warn("changes of the node wait", "node", n.id.Name, "retry_in", longPause, "error", err)
			}
		case <-again:
			if n.restate(ctx, lease, guid) == nil {
				held = false
				n.log.Info("node is registered as it should be", "node", n.id.Name)
			}
		}
	}
}

// restate writes what could not be written before, or has changed since.
func (n *node) restate(ctx context.Context, lease store.Lease, guid string) error {
	n.identify()
	_, err := n.writeNode(ctx)
	return errors.Join(err, n.writeDefaults(ctx, guid), n.announce(ctx, lease))
}

// report states the condition of the node. A lease lost with the store turns a
// node that was registered no more red than losing the store does; a name that
// another host has taken since does.
func (n *node) report(err error) {
	switch {
	case err == nil:
		n.health.Set(conditionNode, true, "")
	case isClosed(n.claimed) && !n.Taken():
		n.health.Set(conditionNode, true, fmt.Sprintf("registered before, and not now: %v", err))
	default:
		n.health.Set(conditionNode, false, err.Error())
	}
}

// register claims the name, then writes what must stand in the store. While the
// datastore is locked a Node that stands there will do, and what would have been
// written is held back; a host without one cannot join.
func (n *node) register(ctx context.Context, guid string) (lease store.Lease, held, err error) {
	n.identify()
	lease, err = n.claim(ctx)
	if err != nil {
		return nil, nil, err
	}
	revision, err := n.writeNode(ctx)
	err = errors.Join(err, n.writeDefaults(ctx, guid))
	if locked := (&resource.LockedError{}); errors.As(err, &locked) && revision != 0 {
		held, err = locked, nil
	}
	if err != nil {
		return nil, nil, errors.Join(err, lease.Revoke(ctx))
	}
	if !isClosed(n.claimed) {
		n.written = revision
		close(n.claimed)
	}
	return lease, held, nil
}

// claim takes the live key of our name, unless another live host has it, in
// either role: both would write the same Node.
func (n *node) claim(ctx context.Context) (store.Lease, error) {
	var free []store.Compare
	for _, role := range []string{RoleAgent, RoleReflector} {
		key := store.LiveKey(role, n.id.Name)
		kv, _, err := n.store.Get(ctx, key)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		if err == nil {
			if held, other := n.heldBy(kv.Value); other {
				n.setTaken(true)
				return nil, fmt.Errorf("the name %q is held by another live host (%s, host id %s, API at %q)",
					n.id.Name, role, held.HostID, held.APIAddress)
			}
		}
		free = append(free, store.Compare{Key: key, ModRevision: kv.ModRevision})
	}
	n.setTaken(false)
	value, err := n.id.live()
	if err != nil {
		return nil, err
	}
	lease, err := n.store.Grant(ctx, n.leaseTTL)
	if err != nil {
		return nil, err
	}
	own := store.Op{Key: store.LiveKey(n.id.Role, n.id.Name), Value: value, Lease: lease.ID()}
	if _, err = n.store.Txn(ctx, free, []store.Op{own}); err != nil {
		return nil, errors.Join(fmt.Errorf("claim the name %q: %w", n.id.Name, err), lease.Revoke(ctx))
	}
	return lease, nil
}

// announce tells under our lease where our API is, if that has changed. Without
// our key the lease is lost, and all is told anew.
func (n *node) announce(ctx context.Context, lease store.Lease) error {
	key := store.LiveKey(n.id.Role, n.id.Name)
	value, err := n.id.live()
	if err != nil {
		return err
	}
	kv, _, err := n.store.Get(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil || bytes.Equal(kv.Value, value) {
		return err
	}
	if _, other := n.heldBy(kv.Value); other {
		return nil
	}
	own := store.Op{Key: key, Value: value, Lease: lease.ID()}
	_, err = n.store.Txn(ctx, []store.Compare{{Key: key, ModRevision: kv.ModRevision}}, []store.Op{own})
	return err
}

// heldBy reads a live key, and reports whether it is another host's. A value
// that nobody can read is nobody's.
func (n *node) heldBy(value []byte) (held Live, other bool) {
	if json.Unmarshal(value, &held) != nil {
		return Live{}, false
	}
	return held, held.HostID != n.id.HostID
}

func (n *node) setTaken(taken bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked, n.taken = true, taken
}

// Free reports whether the store said last that no other live host has our
// name, whether or not it took our claim.
func (n *node) Free() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.asked && !n.taken
}

// Taken reports whether the store said last that another live host has our
// name.
func (n *node) Taken() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.taken
}

// writeDefaults makes the objects that every cluster has. That they exist
// already, or that another host wins the race, is as good.
func (n *node) writeDefaults(ctx context.Context, guid string) error {
	settings := &vrouterv1.BGPConfiguration{
		Metadata: &vrouterv1.Metadata{Name: proto.String(resource.DefaultName)},
		Spec:     &vrouterv1.BGPConfigurationSpec{},
	}
	cluster := &vrouterv1.ClusterInformation{
		Metadata: &vrouterv1.Metadata{Name: proto.String(resource.DefaultName)},
		Spec: &vrouterv1.ClusterInformationSpec{
			ClusterGuid: proto.String(guid), DatastoreReady: proto.Bool(true),
			VrouterVersion: proto.String(version.String()),
		},
	}
	return errors.Join(
		n.create(ctx, resource.KindBGPConfiguration, resource.DefaultName, settings),
		n.create(ctx, resource.KindClusterInformation, resource.DefaultName, cluster))
}

func (n *node) create(ctx context.Context, kind resource.Kind, name string, object proto.Message) error {
	_, _, err := n.store.Get(ctx, store.ResourceKey(string(kind), "", name))
	if errors.Is(err, store.ErrNotFound) {
		_, err = n.write(ctx, kind, name, object, nil, 0)
	}
	if errors.Is(err, store.ErrConflict) {
		return nil
	}
	return err
}

// writeNode creates our Node, or restores in it what our configuration states
// and fills what it lacks. Other fields belong to the API. It returns the
// revision at which the Node stands, also when the datastore is locked.
func (n *node) writeNode(ctx context.Context) (int64, error) {
	key := store.ResourceKey(string(resource.KindNode), "", n.id.Name)
	for ctx.Err() == nil {
		kv, _, err := n.store.Get(ctx, key)
		object := &vrouterv1.Node{Metadata: &vrouterv1.Metadata{Name: proto.String(n.id.Name)}}
		var old proto.Message
		switch {
		case errors.Is(err, store.ErrNotFound):
		case err != nil:
			return 0, err
		default:
			if old, err = resource.Decode(resource.KindNode, kv.Value, kv.ModRevision); err != nil {
				return 0, fmt.Errorf("read our own node: %w", err)
			}
			object = proto.Clone(old).(*vrouterv1.Node)
		}
		n.id.fill(object)
		n.listLinks(object)
		revision, err := n.write(ctx, resource.KindNode, n.id.Name, object, old, kv.ModRevision)
		if locked := (&resource.LockedError{}); errors.As(err, &locked) {
			return kv.ModRevision, err
		}
		if !errors.Is(err, store.ErrConflict) {
			return revision, err
		}
	}
	return 0, ctx.Err()
}

// write stores an object over old, which is nil when there is none; revision is
// that of old. It returns the revision at which the object stands.
func (n *node) write(ctx context.Context, kind resource.Kind, name string, object, old proto.Message,
	revision int64) (int64, error) {
	resource.Canonicalize(object)
	if _, err := resource.Check(object); err != nil {
		return 0, fmt.Errorf("%s %s: %w", kind, name, err)
	}
	next := resource.Successor(object, old)
	if old != nil && resource.SameStored(old, next) {
		return revision, nil
	}
	value, err := resource.Encode(next)
	if err != nil {
		return 0, err
	}
	key := store.ResourceKey(string(kind), "", name)
	revision, err = n.gate.Txn(ctx, []store.Compare{{Key: key, ModRevision: revision}}, []store.Op{{Key: key, Value: value}})
	if err != nil {
		return 0, fmt.Errorf("write %s %s: %w", kind, name, err)
	}
	return revision, nil
}
