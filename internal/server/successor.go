package server

import (
	"strconv"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/projectvrouter/vrouter/internal/resource"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// allowed tells whether mode and version permit the change on what is stored.
func (c *change) allowed(old stored) error {
	switch {
	case c.mode == vrouterv1.PutMode_PUT_MODE_CREATE && old.revision != 0:
		return &existsError{old.id}
	case c.mode == vrouterv1.PutMode_PUT_MODE_REPLACE && old.revision == 0:
		return &missingError{old.id}
	case c.version != "" && c.version != strconv.FormatInt(old.revision, 10):
		return &staleError{old.id, c.version, old.revision}
	}
	return nil
}

// successor is the object to store after old: the caller's labels, annotations
// and spec, the server's metadata, and what a newer version put into the
// stored object that this version cannot see.
func (c *change) successor(old stored) proto.Message {
	next := proto.Clone(c.msg)
	if field := statusField(next); field != nil {
		next.ProtoReflect().Clear(field)
	}
	was := &vrouterv1.Metadata{}
	generation := int32(1)
	if old.msg != nil {
		was = resource.MetadataOf(old.msg)
		keepUnknown(next.ProtoReflect(), old.msg.ProtoReflect())
		generation = was.GetGeneration()
		if !proto.Equal(resource.SpecOf(next), resource.SpecOf(old.msg)) {
			generation++
		}
	}
	meta := resource.MetadataOf(next)
	meta.ResourceVersion = nil
	meta.Uid, meta.CreationTimestamp = was.Uid, was.CreationTimestamp
	if meta.GetUid() == "" {
		meta.Uid = proto.String(uuid.NewString())
		meta.CreationTimestamp = proto.String(time.Now().UTC().Format(time.RFC3339))
	}
	meta.Generation = proto.Int32(generation)
	return next
}

// sameStored tells whether writing next over old would change nothing.
func sameStored(old, next proto.Message) bool {
	old = proto.Clone(old)
	resource.MetadataOf(old).ResourceVersion = nil
	return proto.Equal(old, next)
}

// keepUnknown copies fields that this version does not know from the stored
// object to its successor: from messages that both have, and in lists from the
// element that is the same but for such fields.
func keepUnknown(to, from protoreflect.Message) {
	if unknown := from.GetUnknown(); len(unknown) > 0 {
		to.SetUnknown(unknown)
	}
	from.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Message() == nil || f.IsMap() || !to.Has(f):
		case f.IsList():
			keepUnknownList(to.Get(f).List(), v.List())
		default:
			keepUnknown(to.Mutable(f).Message(), v.Message())
		}
		return true
	})
}

func keepUnknownList(to, from protoreflect.List) {
	for i := range to.Len() {
		for j := range from.Len() {
			candidate := proto.Clone(to.Get(i).Message().Interface()).ProtoReflect()
			keepUnknown(candidate, from.Get(j).Message())
			if proto.Equal(candidate.Interface(), from.Get(j).Message().Interface()) {
				to.Set(i, protoreflect.ValueOfMessage(candidate))
				break
			}
		}
	}
}

// setVersion shows a revision as resource version; zero (a dry run) shows none.
func setVersion(msg proto.Message, revision int64) {
	meta := resource.MetadataOf(msg)
	meta.ResourceVersion = nil
	if revision != 0 {
		meta.ResourceVersion = proto.String(strconv.FormatInt(revision, 10))
	}
}
