package server

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
)

const (
	// defaultPage is the size of a page whose request gives none.
	defaultPage = 500
	// maxPage bounds what one request reads at a time.
	maxPage = 5000
	// pageBytes ends a page early: a client's own limit on a message, 4 MiB
	// unless it chose another, would refuse the page whole.
	pageBytes = 2 << 20
)

// reader reads objects, as they are stored and with their status. What does
// not convert to the checked form is served all the same: whoever has to
// repair it must see it.
type reader struct {
	store store.Store
	log   hclog.Logger
}

// resourceKey is where an object is stored.
func resourceKey(id resource.ID) string {
	switch id.Kind {
	case resource.KindIPAMBlock:
		if cidr, err := resource.ParseBlockName(id.Name); err == nil {
			return store.BlockKey(cidr)
		}
	case resource.KindBlockAffinity:
		if node, cidr, err := resource.ParseAffinityName(id.Name); err == nil {
			return store.HostBlockKey(node, cidr)
		}
	case resource.KindIPAMHandle:
		return store.HandleKey(id.Name)
	}
	return store.ResourceKey(string(id.Kind), id.Namespace, id.Name)
}

// statusKey is where its status is.
func statusKey(id resource.ID) string {
	return store.StatusKey(string(id.Kind), id.Namespace, id.Name)
}

// parseID reads the identity out of the key of an object or of its status.
func parseID(key string) (resource.ID, error) {
	switch {
	case strings.HasPrefix(key, store.BlockPrefix):
		cidr, err := store.ParseBlockKey(key)
		return resource.ID{Kind: resource.KindIPAMBlock, Name: resource.BlockName(cidr)}, err
	case strings.HasPrefix(key, store.HostsPrefix):
		node, cidr, err := store.ParseHostBlockKey(key)
		return resource.ID{Kind: resource.KindBlockAffinity, Name: resource.AffinityName(node, cidr)}, err
	case strings.HasPrefix(key, store.HandlePrefix):
		id, err := store.ParseHandleKey(key)
		return resource.ID{Kind: resource.KindIPAMHandle, Name: id}, err
	}
	kind, namespace, name, err := store.ParseResourceKey(key)
	return resource.ID{Kind: resource.Kind(kind), Namespace: namespace, Name: name}, err
}

// get returns an object with its status.
func (r *reader) get(ctx context.Context, id resource.ID) (proto.Message, int64, error) {
	kv, _, err := r.store.Get(ctx, resourceKey(id))
	if errors.Is(err, store.ErrNotFound) {
		if msg := builtIn(id); msg != nil {
			return msg, 0, nil
		}
		return nil, 0, &missingError{id}
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read %s: %w", id, err)
	}
	msg := r.decode(id, kv)
	if statusField(msg) == nil {
		return msg, kv.ModRevision, nil
	}
	if resource.TierOf(msg) != "" {
		return msg, kv.ModRevision, r.lookForTiers(ctx, msg)
	}
	status, _, err := r.store.Get(ctx, statusKey(id))
	if errors.Is(err, store.ErrNotFound) {
		return msg, kv.ModRevision, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read status of %s: %w", id, err)
	}
	r.setStatus(msg, status)
	return msg, kv.ModRevision, nil
}

// decode returns the object in a value. A value that cannot be read at all, be
// it damaged, gives an object with name and version only, so that it can be
// seen and deleted. The kind must be one of ours.
func (r *reader) decode(id resource.ID, kv store.KV) proto.Message {
	msg, err := resource.Decode(id.Kind, kv.Value, kv.ModRevision)
	if err == nil {
		return msg
	}
	r.log.Warn("stored object cannot be read", "resource", id.String(), "error", err)
	msg, _ = resource.New(id.Kind)
	meta := resource.MetadataOf(msg)
	meta.Name = proto.String(id.Name)
	if id.Namespace != "" {
		meta.Namespace = proto.String(id.Namespace)
	}
	meta.ResourceVersion = proto.String(strconv.FormatInt(kv.ModRevision, 10))
	return msg
}

// statusField returns the field of a kind that has a status, else nil.
func statusField(msg proto.Message) protoreflect.FieldDescriptor {
	return msg.ProtoReflect().Descriptor().Fields().ByName("status")
}

// setStatus puts a stored status into its object. A damaged one is left out.
func (r *reader) setStatus(msg proto.Message, kv store.KV) {
	field := statusField(msg)
	m := msg.ProtoReflect()
	if err := proto.Unmarshal(kv.Value, m.Mutable(field).Message().Interface()); err != nil {
		r.log.Warn("stored status cannot be read", "key", kv.Key, "error", err)
		m.Clear(field)
	}
}

// query says what to list.
type query struct {
	kind      resource.Kind
	namespace string // empty: all
	size      int32  // of a page; zero: defaultPage
	token     string // empty: the first page
	filter    string // says what match does: a token is good for the same query only
	match     func(proto.Message) bool
}

// prefix is the range of keys that the query is about.
func (q *query) prefix() string { return rangeOf(q.kind, q.namespace) }

func rangeOf(kind resource.Kind, namespace string) string {
	switch kind {
	case resource.KindIPAMBlock:
		return store.BlockPrefix
	case resource.KindBlockAffinity:
		return store.HostsPrefix
	case resource.KindIPAMHandle:
		return store.HandlePrefix
	}
	if namespace == "" {
		return store.KindPrefix(string(kind))
	}
	return store.NamespacePrefix(string(kind), namespace)
}

// found is one page.
type found struct {
	objects  []proto.Message
	next     string // token of the page after it; empty: none
	revision int64
}

// list returns a page of the objects that match, with their status.
func (r *reader) list(ctx context.Context, q query) (found, error) {
	at, err := q.position()
	if err != nil {
		return found{}, err
	}
	limit, err := q.limit()
	if err != nil {
		return found{}, err
	}
	var f found
	bytes := 0
	for {
		opts := store.ListOptions{Limit: limit, Start: at.Start, Revision: at.Revision}
		page, err := r.store.List(ctx, q.prefix(), opts)
		if err != nil {
			return found{}, fmt.Errorf("list %s: %w", q.kind, err)
		}
		if page, err = withBuiltIn(q.kind, at.Start, page); err != nil {
			return found{}, err
		}
		at.Revision, f.revision = page.Revision, page.Revision
		objects, err := r.decodePage(ctx, q, page)
		if err != nil {
			return found{}, err
		}
		for i, kv := range page.KVs {
			if objects[i] == nil || !q.match(objects[i]) {
				continue
			}
			if len(f.objects) == limit || bytes+len(kv.Value) > pageBytes && bytes > 0 {
				at.Start = kv.Key
				f.next = q.tokenAt(at)
				return f, nil
			}
			f.objects = append(f.objects, objects[i])
			bytes += len(kv.Value)
		}
		if page.Next == "" {
			return f, nil
		}
		at.Start = page.Next
	}
}

func (q *query) limit() (int, error) {
	switch {
	case q.size < 0:
		return 0, invalid("pageSize", "must not be negative")
	case q.size == 0:
		return defaultPage, nil
	}
	return min(int(q.size), maxPage), nil
}

// decodePage returns the objects of a page, with their status where the kind
// has one; nil for a key that is not one of ours.
func (r *reader) decodePage(ctx context.Context, q query, page store.Page) ([]proto.Message, error) {
	objects := make([]proto.Message, len(page.KVs))
	byStatus := make(map[string]proto.Message, len(page.KVs))
	for i, kv := range page.KVs {
		id, err := parseID(kv.Key)
		if err != nil {
			r.log.Warn("key cannot be read", "key", kv.Key, "error", err)
			continue
		}
		objects[i] = r.decode(id, kv)
		byStatus[statusKey(id)] = objects[i]
	}
	empty, _ := resource.New(q.kind)
	switch {
	case len(page.KVs) == 0 || statusField(empty) == nil:
		return objects, nil
	case resource.TierOf(empty) != "":
		return objects, r.lookForTiers(ctx, objects...)
	}
	// The ranges of specs and statuses have the same order, so that the statuses
	// of a page are one range, too.
	last := toStatus(page.KVs[len(page.KVs)-1].Key)
	opts := store.ListOptions{Limit: len(page.KVs), Start: toStatus(page.KVs[0].Key), Revision: page.Revision}
	for {
		statuses, err := r.store.List(ctx, toStatus(q.prefix()), opts)
		if err != nil {
			return nil, fmt.Errorf("list statuses of %s: %w", q.kind, err)
		}
		for _, kv := range statuses.KVs {
			if msg := byStatus[kv.Key]; msg != nil {
				r.setStatus(msg, kv)
			}
		}
		if statuses.Next == "" || statuses.Next > last {
			return objects, nil
		}
		opts.Start = statuses.Next
	}
}

// toStatus turns a key or range of resources into that of their statuses.
func toStatus(key string) string {
	return store.StatusPrefix + strings.TrimPrefix(key, store.ResourcePrefix)
}

// invalid is the error of one field.
func invalid(path, format string, args ...any) error {
	return &resource.Invalid{Problems: []resource.Problem{{Path: path, Reason: fmt.Sprintf(format, args...)}}}
}
