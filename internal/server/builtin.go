package server

import (
	"context"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// Some objects are always there: the tiers and the profile that policies may
// name without anybody having made them. Nothing is stored for them; readers
// see them where nothing is, without a resource version.

// builtIn returns the object of that name that is always there; nil if it is
// none of them.
func builtIn(id resource.ID) proto.Message {
	for _, msg := range resource.BuiltIn(id.Kind) {
		if resource.IDOf(msg) == id {
			return msg
		}
	}
	return nil
}

// builtIn returns the object that is always there if the change says nothing
// else than it is and nothing is stored for it, and else nil.
func (c *change) builtIn(old stored) proto.Message {
	msg := builtIn(old.id)
	if msg == nil || old.revision != 0 || c.version != "" || c.mode == vrouterv1.PutMode_PUT_MODE_CREATE {
		return nil
	}
	meta := resource.MetadataOf(c.msg)
	if len(meta.GetLabels())+len(meta.GetAnnotations()) > 0 || !proto.Equal(resource.SpecOf(c.msg), resource.SpecOf(msg)) {
		return nil
	}
	return msg
}

// withBuiltIn adds to a page of stored objects of the kind those that are
// always there and would be on it. The page began at start.
func withBuiltIn(kind resource.Kind, start string, page store.Page) (store.Page, error) {
	for _, msg := range resource.BuiltIn(kind) {
		key := resourceKey(resource.IDOf(msg))
		at, found := slices.BinarySearchFunc(page.KVs, key, func(kv store.KV, key string) int {
			if kv.Key < key {
				return -1
			} else if kv.Key > key {
				return 1
			}
			return 0
		})
		if found || key < start || page.Next != "" && key >= page.Next {
			continue
		}
		value, err := resource.Encode(msg)
		if err != nil {
			return store.Page{}, err
		}
		page.KVs = slices.Insert(slices.Clip(page.KVs), at, store.KV{Key: key, Value: value})
	}
	return page, nil
}

// builtInEvents returns what a watch that begins with a snapshot tells of what
// is always there; what is stored of it comes after, and replaces it.
func builtInEvents(req *vrouterv1.WatchRequest) []*vrouterv1.WatchResponse {
	if req.GetAfterRevision() != 0 || req.GetNamespace() != "" {
		return nil
	}
	kinds := resource.Kinds()
	if len(req.GetKinds()) > 0 {
		kinds = nil
		for _, text := range req.GetKinds() {
			if kind, ok := resource.ParseKind(text); ok && !slices.Contains(kinds, kind) {
				kinds = append(kinds, kind)
			}
		}
	}
	var events []*vrouterv1.WatchResponse
	for _, kind := range kinds {
		for _, msg := range resource.BuiltIn(kind) {
			events = append(events, &vrouterv1.WatchResponse{Event: &vrouterv1.WatchResponse_Put{Put: show(msg)}})
		}
	}
	return events
}

// removable refuses to delete what is always there, and a tier with policies:
// they would no longer be enforced. A policy that comes into it at the same
// time is not seen; its tier is unknown then, and it holds for nothing.
func (w *writer) removable(ctx context.Context, id resource.ID) error {
	if resource.IsBuiltIn(id) {
		return &stateError{"READ_ONLY", id.String(), fmt.Sprintf("%s is always there", id)}
	}
	if id.Kind != resource.KindTier {
		return nil
	}
	for _, kind := range resource.PolicyKinds() {
		for opts := (store.ListOptions{Limit: defaultPage}); ; {
			page, err := w.store.List(ctx, rangeOf(kind, ""), opts)
			if err != nil {
				return fmt.Errorf("look for a %s in %s: %w", kind, id, err)
			}
			for _, kv := range page.KVs {
				policy, err := resource.Decode(kind, kv.Value, kv.ModRevision)
				if err == nil && resource.TierOf(policy) == id.Name {
					return &stateError{"IN_USE", id.String(), fmt.Sprintf("%s is in it; delete the policies of a tier first", resource.IDOf(policy))}
				}
			}
			if page.Next == "" {
				break
			}
			opts.Start, opts.Revision = page.Next, page.Revision
		}
	}
	return nil
}
