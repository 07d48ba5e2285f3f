package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// mostLinks is how many interfaces a Node lists: all hosts keep it, and one that
// grew without bound could not be stored.
const mostLinks = 256

// SetInterfaces says which interfaces the host has, but for those of workloads,
// and their addresses. Our Node lists them, so that a controller can make
// HostEndpoints for them.
func (a *Agent) SetInterfaces(all map[string][]netip.Addr) { a.node.setLinks(linksOf(all)) }

// linksOf puts interfaces in order. What no object can hold is left out: a name
// that is no text, and what is more than a Node should list.
func linksOf(all map[string][]netip.Addr) []resource.NodeInterface {
	links := make([]resource.NodeInterface, 0, len(all))
	for name, addresses := range all {
		if !resource.ValidInterfaceName(name) {
			continue
		}
		addresses = slices.SortedFunc(slices.Values(addresses), netip.Addr.Compare)
		links = append(links, resource.NodeInterface{Name: name, Addresses: slices.Compact(addresses)})
	}
	slices.SortFunc(links, func(a, b resource.NodeInterface) int { return strings.Compare(a.Name, b.Name) })
	return links[:min(len(links), mostLinks)]
}

func (n *node) setLinks(links []resource.NodeInterface) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.links = links
	signal(n.linksChanged)
}

// saw has what our Node lists put right, if it is not what the host has: people
// who write the Node need not know of it.
func (n *node) saw(own *resource.Node) {
	n.mu.Lock()
	defer n.mu.Unlock()
	same := func(a, b resource.NodeInterface) bool {
		return a.Name == b.Name && slices.Equal(a.Addresses, b.Addresses)
	}
	if n.links != nil && own != nil && !slices.EqualFunc(own.Interfaces, n.links, same) {
		signal(n.linksChanged)
	}
}

// tryLinks has our Node list the host's interfaces; what it returns wakes for
// another try, nil: there need not be any.
func (n *node) tryLinks(ctx context.Context) <-chan time.Time {
	err := n.writeLinks(ctx)
	if err == nil || ctx.Err() != nil {
		return nil
	}
	n.log.Warn("interfaces of the node were not stored", "node", n.id.Name, "retry_in", longPause, "error", err)
	return time.After(longPause)
}

// writeLinks has our Node list the host's interfaces, and touches nothing else
// of it. One that was deleted stays so until the daemon registers again.
func (n *node) writeLinks(ctx context.Context) error {
	for ctx.Err() == nil {
		kv, _, err := n.store.Get(ctx, store.ResourceKey(string(resource.KindNode), "", n.id.Name))
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		old, err := resource.Decode(resource.KindNode, kv.Value, kv.ModRevision)
		if err != nil {
			return fmt.Errorf("read our own node: %w", err)
		}
		object := proto.Clone(old).(*vrouterv1.Node)
		n.listLinks(object)
		if _, err = n.write(ctx, resource.KindNode, n.id.Name, object, old, kv.ModRevision); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return ctx.Err()
}

// listLinks puts the host's interfaces into its Node, once they are known.
func (n *node) listLinks(object *vrouterv1.Node) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.links == nil {
		return
	}
	if object.Spec == nil {
		object.Spec = &vrouterv1.NodeSpec{}
	}
	object.Spec.Interfaces = nil
	for _, link := range n.links {
		listed := &vrouterv1.NodeInterface{Name: proto.String(link.Name)}
		for _, a := range link.Addresses {
			listed.Addresses = append(listed.Addresses, a.String())
		}
		object.Spec.Interfaces = append(object.Spec.Interfaces, listed)
	}
}
