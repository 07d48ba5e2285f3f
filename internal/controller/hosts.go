package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// hosts is what is stored of nodes and their HostEndpoints, folded from a watch.
type hosts struct {
	auto      resource.AutoHostEndpoints
	revision  int64                     // of the ControllerConfiguration; zero: there is none
	unknown   bool                      // it was never read in a good form: nothing is made or taken away
	nodes     map[string]*resource.Node // nil: there, and not understood
	revisions map[string]int64          // of nodes
	endpoints map[string]storedHostEndpoint
	locked    bool // the datastore
}

// storedHostEndpoint is a HostEndpoint as it stands; nil raw: it does not
// decode, and so is nothing that we made.
type storedHostEndpoint struct {
	raw      *vrouterv1.HostEndpoint
	revision int64
}

func newHosts() *hosts {
	return &hosts{
		nodes: make(map[string]*resource.Node), revisions: make(map[string]int64), endpoints: make(map[string]storedHostEndpoint),
	}
}

// protectHosts makes the HostEndpoints of nodes what the ControllerConfiguration
// says, until ctx ends.
func (c *Controller) protectHosts(ctx context.Context, t *term) {
	s := fence(c.opts.Store, t)
	for pause := firstPause; ctx.Err() == nil; pause = min(2*pause, longPause) {
		err := c.followHosts(ctx, s)
		if ctx.Err() != nil || errors.Is(err, errDeposed) {
			return
		}
		c.log.Warn("host endpoints not looked after", "retry_in", pause, "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

func (c *Controller) followHosts(ctx context.Context, s fenced) error {
	watch := c.opts.Store.Watch(ctx, store.WatchOptions{Prefixes: []string{
		store.KindPrefix(string(resource.KindControllerConfiguration)), store.KindPrefix(string(resource.KindClusterInformation)),
		store.KindPrefix(string(resource.KindNode)), store.KindPrefix(string(resource.KindHostEndpoint)),
	}})
	defer watch.Close()
	h, told := newHosts(), make(map[string]bool)
	for {
		if err := h.gather(ctx, watch); err != nil {
			return fmt.Errorf("follow nodes: %w", err)
		}
		if err := c.writeHosts(ctx, s, h, told); err != nil {
			return err
		}
	}
}

// gather takes in what has changed, until it is quiet for a moment, or a longer
// one has passed: many nodes are never all quiet.
func (h *hosts) gather(ctx context.Context, watch store.Watch) error {
	var limit time.Time // zero: nothing has changed yet, or not all is known
	for {
		waiting, done := ctx, context.CancelFunc(func() {})
		if !limit.IsZero() {
			waiting, done = context.WithTimeout(ctx, min(settle, time.Until(limit)))
		}
		batch, err := watch.Next(waiting)
		done()
		switch {
		case err == nil:
			h.apply(batch)
			switch {
			case !batch.Synced:
				limit = time.Time{}
			case limit.IsZero():
				limit = time.Now().Add(longestSettle)
			case !time.Now().Before(limit):
				return nil
			}
		case ctx.Err() == nil && !limit.IsZero() && errors.Is(err, context.DeadlineExceeded):
			return nil
		default:
			return err
		}
	}
}

func (h *hosts) apply(b store.Batch) {
	for _, e := range b.Events {
		kind, _, name, err := store.ParseResourceKey(e.KV.Key)
		if err != nil {
			continue
		}
		switch resource.Kind(kind) {
		case resource.KindClusterInformation:
			h.locked = resource.Unlocked(e.KV.Value) != nil // one that was deleted has no value
		case resource.KindControllerConfiguration:
			h.configure(e)
		case resource.KindNode:
			h.node(name, e)
		case resource.KindHostEndpoint:
			if e.Type == store.Delete {
				delete(h.endpoints, name)
				continue
			}
			msg, _, _ := decodeObject(resource.KindHostEndpoint, e.KV)
			raw, _ := msg.(*vrouterv1.HostEndpoint)
			h.endpoints[name] = storedHostEndpoint{raw, e.KV.ModRevision}
		}
	}
}

// configure takes in the ControllerConfiguration. One that is not understood
// leaves what it said before.
func (h *hosts) configure(e store.Event) {
	if e.Type == store.Delete {
		h.auto, h.revision, h.unknown = resource.AutoHostEndpoints{}, 0, false
		return
	}
	first := h.revision == 0
	h.revision = e.KV.ModRevision
	_, object, err := decodeObject(resource.KindControllerConfiguration, e.KV)
	if err != nil {
		h.unknown = h.unknown || first
		return
	}
	h.auto, h.unknown = object.(*resource.ControllerConfiguration).HostEndpoints, false
}

func (h *hosts) node(name string, e store.Event) {
	if e.Type == store.Delete {
		delete(h.nodes, name)
		delete(h.revisions, name)
		return
	}
	h.revisions[name] = e.KV.ModRevision
	_, object, err := decodeObject(resource.KindNode, e.KV)
	if err == nil {
		h.nodes[name] = object.(*resource.Node)
	} else if _, there := h.nodes[name]; !there {
		h.nodes[name] = nil // else its last good form
	}
}

// decodeObject reads a stored object. The message is there even if the object
// is not in order.
func decodeObject(kind resource.Kind, kv store.KV) (proto.Message, resource.Object, error) {
	msg, err := resource.Decode(kind, kv.Value, kv.ModRevision)
	if err != nil {
		return nil, nil, fmt.Errorf("decode %s: %w", kv.Key, err)
	}
	object, err := resource.Check(msg)
	if err != nil {
		return msg, nil, fmt.Errorf("check %s: %w", kv.Key, err)
	}
	return msg, object, nil
}

// writeHosts stores what differs. Each write depends on the node, the
// configuration and the HostEndpoint that it was decided by. Told is what a
// person stands in the way of, and was said.
func (c *Controller) writeHosts(ctx context.Context, s fenced, h *hosts, told map[string]bool) error {
	if h.locked || h.unknown {
		return nil
	}
	wanted, problems := make(map[string]bool), 0
	for _, name := range slices.Sorted(maps.Keys(h.nodes)) {
		if h.nodes[name] == nil {
			continue
		}
		made := hostEndpointsOf(h.auto, h.nodes[name])
		for _, name := range slices.Sorted(maps.Keys(made)) {
			wanted[name] = true
			if ours, err := c.writeHost(ctx, s, h, made[name]); err != nil {
				return err
			} else if !ours {
				problems++
				if !told[name] {
					c.log.Warn("host endpoint is somebody else's and stays", "endpoint", name, "node", made[name].GetSpec().GetNode())
				}
				told[name] = true
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(h.endpoints)) {
		old := h.endpoints[name]
		if wanted[name] || old.raw == nil || !automatic(old.raw) {
			continue
		}
		node := old.raw.GetSpec().GetNode()
		if known, there := h.nodes[node]; there && known == nil && h.auto.Enabled {
			continue // what it is to have cannot be told
		}
		if err := c.txnHost(ctx, s, h, node, store.Op{Key: hostEndpointKey(name), Delete: true}, old.revision); err != nil {
			return err
		}
	}
	c.count(func(s *stats) { s.hostEndpoints, s.hostProblems = len(wanted)-problems, problems })
	return nil
}

// writeHost stores a HostEndpoint, unless it stands or one of people has its name.
func (c *Controller) writeHost(ctx context.Context, s fenced, h *hosts, made *vrouterv1.HostEndpoint) (ours bool, err error) {
	old, there := h.endpoints[made.GetMetadata().GetName()]
	if there && (old.raw == nil || !automatic(old.raw)) {
		return false, nil
	}
	var before proto.Message
	if there {
		made.Metadata.Annotations = old.raw.GetMetadata().GetAnnotations() // tools may have put some there
		before = old.raw
	}
	next := resource.Successor(made, before)
	if there && resource.SameStored(before, next) {
		return true, nil
	}
	value, err := resource.Encode(next)
	if err != nil {
		return true, fmt.Errorf("encode host endpoint %s: %w", made.GetMetadata().GetName(), err)
	}
	op := store.Op{Key: hostEndpointKey(made.GetMetadata().GetName()), Value: value}
	return true, c.txnHost(ctx, s, h, made.GetSpec().GetNode(), op, old.revision)
}

func (c *Controller) txnHost(ctx context.Context, s fenced, h *hosts, node string, op store.Op, revision int64) error {
	written, err := c.txn(ctx, s, []store.Compare{
		{Key: op.Key, ModRevision: revision},
		{Key: store.ResourceKey(string(resource.KindNode), "", node), ModRevision: h.revisions[node]},
		{Key: store.ResourceKey(string(resource.KindControllerConfiguration), "", resource.DefaultName), ModRevision: h.revision},
	}, op)
	if err != nil || written == 0 {
		return err
	}
	c.log.Info("host endpoint of a node written", "key", op.Key, "node", node, "deleted", op.Delete)
	return nil
}

func hostEndpointKey(name string) string {
	return store.ResourceKey(string(resource.KindHostEndpoint), "", name)
}
