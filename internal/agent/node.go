package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/internal/telemetry"
	"github.com/projectvrouter/vrouter/internal/version"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// Identity is what the host says of itself: what stands in its configuration
// file, which it restores at every start, and what was detected, which only
// fills what the API leaves open.
type Identity struct {
	Name       string
	Role       string     // RoleAgent or RoleReflector
	HostID     string     // made once per host, kept on its disk
	BootID     string     // made at every start of the daemon
	APIAddress string     // where other nodes may call; empty: nowhere
	Configured NodeFields // from the configuration file
	Detected   NodeFields // from the host's interfaces
	// HasAddress says whether an address is one of this host's.
	HasAddress func(netip.Addr) bool
}

// NodeFields are the fields of a Node that a host may state itself.
type NodeFields struct {
	IPv4, IPv6 netip.Prefix
	ASNumber   uint32
	ClusterID  netip.Addr
	Labels     map[string]string
}

// The roles of a daemon.
const (
	RoleAgent     = "agent"
	RoleReflector = "reflector"
)

// Live is the value of a daemon's key under a lease.
type Live struct {
	APIAddress string `json:"apiAddress,omitempty"`
	Version    string `json:"version"`
	HostID     string `json:"hostID"`
	BootID     string `json:"bootID"`
}

// node is the edge configuration → our own Node, and keeps our lease.
type node struct {
	id       Identity
	leaseTTL time.Duration
	store    store.Store
	feed     *feed
	health   *telemetry.Health
	log      hclog.Logger
	claimed  chan struct{} // closed once the name is known to be ours

	mu    sync.Mutex // guards taken
	taken bool       // another live host has the name
}

func newNode(id Identity, ttl time.Duration, s store.Store, f *feed, health *telemetry.Health, log hclog.Logger) *node {
	return &node{id: id, leaseTTL: ttl, store: s, feed: f, health: health, log: log, claimed: make(chan struct{})}
}

// Run registers the node and keeps its lease until ctx ends. It does nothing
// while the store is a foreign one.
func (n *node) Run(ctx context.Context) error {
	claimed, pause := false, firstPause
	for ctx.Err() == nil {
		lease, err := n.register(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			n.health.Set(conditionNode, false, err.Error())
			n.log.Warn("node is not registered", "node", n.id.Name, "retry_in", pause, "error", err)
			if !sleep(ctx, pause) {
				return nil
			}
			pause = min(2*pause, longPause)
			continue
		}
		if !claimed {
			close(n.claimed)
			claimed = true
		}
		pause = firstPause
		n.health.Set(conditionNode, true, "")
		select {
		case <-ctx.Done():
			// The lease runs out by itself: a daemon that comes back within it
			// was never away.
			return nil
		case <-lease.Lost():
			n.log.Warn("lease was lost", "node", n.id.Name)
		}
	}
	return nil
}

// register claims the name, then writes what must stand in the store.
func (n *node) register(ctx context.Context) (store.Lease, error) {
	if reason := n.feed.Foreign(); reason != "" {
		return nil, errors.New(reason)
	}
	if guid, _ := n.feed.Identity(); guid == "" {
		return nil, errors.New("the store has not been reached yet")
	}
	lease, err := n.claim(ctx)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(n.writeDefaults(ctx), n.writeNode(ctx)); err != nil {
		return nil, errors.Join(err, lease.Revoke(ctx))
	}
	return lease, nil
}

// claim takes the live key of our name, unless another live host has it.
func (n *node) claim(ctx context.Context) (store.Lease, error) {
	key := store.LiveKey(n.id.Role, n.id.Name)
	kv, _, err := n.store.Get(ctx, key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	if err == nil {
		var held Live
		other := json.Unmarshal(kv.Value, &held) == nil && held.HostID != n.id.HostID
		n.setTaken(other)
		if other {
			return nil, fmt.Errorf("the name %q is held by another live host (host id %s, API at %q)",
				n.id.Name, held.HostID, held.APIAddress)
		}
	}
	value, err := json.Marshal(Live{
		APIAddress: n.id.APIAddress, Version: version.String(), HostID: n.id.HostID, BootID: n.id.BootID,
	})
	if err != nil {
		return nil, err
	}
	lease, err := n.store.Grant(ctx, n.leaseTTL)
	if err != nil {
		return nil, err
	}
	_, err = n.store.Txn(ctx,
		[]store.Compare{{Key: key, ModRevision: kv.ModRevision}},
		[]store.Op{{Key: key, Value: value, Lease: lease.ID()}})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("claim the name %q: %w", n.id.Name, err), lease.Revoke(ctx))
	}
	return lease, nil
}

func (n *node) setTaken(taken bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.taken = taken
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
func (n *node) writeDefaults(ctx context.Context) error {
	guid, _ := n.feed.Identity()
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
	err := n.write(ctx, kind, name, object, nil, 0)
	if errors.Is(err, store.ErrConflict) {
		return nil
	}
	return err
}

// writeNode creates our Node, or restores in it what our configuration states
// and fills what it lacks. Other fields belong to the API.
func (n *node) writeNode(ctx context.Context) error {
	key := store.ResourceKey(string(resource.KindNode), "", n.id.Name)
	for ctx.Err() == nil {
		kv, _, err := n.store.Get(ctx, key)
		object := &vrouterv1.Node{Metadata: &vrouterv1.Metadata{Name: proto.String(n.id.Name)}}
		var old proto.Message
		switch {
		case errors.Is(err, store.ErrNotFound):
		case err != nil:
			return err
		default:
			if old, err = resource.Decode(resource.KindNode, kv.Value, kv.ModRevision); err != nil {
				return fmt.Errorf("read our own node: %w", err)
			}
			object = proto.Clone(old).(*vrouterv1.Node)
		}
		n.id.fill(object)
		err = n.write(ctx, resource.KindNode, n.id.Name, object, old, kv.ModRevision)
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return ctx.Err()
}

// fill states what the host says of itself in its Node.
func (id Identity) fill(object *vrouterv1.Node) {
	if object.Spec == nil {
		object.Spec = &vrouterv1.NodeSpec{}
	}
	if object.Spec.Bgp == nil {
		object.Spec.Bgp = &vrouterv1.NodeBGPSpec{}
	}
	bgp := object.Spec.Bgp
	bgp.Ipv4Address = id.address(bgp.Ipv4Address, id.Configured.IPv4, id.Detected.IPv4)
	bgp.Ipv6Address = id.address(bgp.Ipv6Address, id.Configured.IPv6, id.Detected.IPv6)
	if as := id.Configured.ASNumber; as != 0 {
		bgp.AsNumber = structpb.NewNumberValue(float64(as))
	}
	if id.Configured.ClusterID.IsValid() {
		bgp.RouteReflectorClusterId = proto.String(id.Configured.ClusterID.String())
	}
	for key, value := range id.Configured.Labels {
		if object.Metadata.Labels == nil {
			object.Metadata.Labels = make(map[string]string)
		}
		object.Metadata.Labels[key] = value
	}
}

// address chooses between what the configuration states, what stands in the
// Node and was given by the API, and what was detected. An address in the Node
// that this host no longer has was detected once, and gives way.
func (id Identity) address(stored *string, configured, detected netip.Prefix) *string {
	if configured.IsValid() {
		return proto.String(configured.String())
	}
	if stored != nil {
		p, err := netip.ParsePrefix(*stored)
		if err != nil || !detected.IsValid() || id.HasAddress == nil || id.HasAddress(p.Addr()) {
			return stored
		}
	}
	if detected.IsValid() {
		return proto.String(detected.String())
	}
	return stored
}

// write stores an object over old, which is nil when there is none; revision is
// that of old.
func (n *node) write(ctx context.Context, kind resource.Kind, name string, object, old proto.Message, revision int64) error {
	resource.Canonicalize(object)
	if _, err := resource.Check(object); err != nil {
		return fmt.Errorf("%s %s: %w", kind, name, err)
	}
	next := resource.Successor(object, old)
	if old != nil && resource.SameStored(old, next) {
		return nil
	}
	value, err := resource.Encode(next)
	if err != nil {
		return err
	}
	key := store.ResourceKey(string(kind), "", name)
	_, err = n.store.Txn(ctx, []store.Compare{{Key: key, ModRevision: revision}}, []store.Op{{Key: key, Value: value}})
	if err != nil {
		return fmt.Errorf("write %s %s: %w", kind, name, err)
	}
	return nil
}
