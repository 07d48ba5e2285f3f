package resource

import (
	"strconv"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// Successor is the object to store after old, which is nil when there is none:
// next's labels, annotations and spec, the metadata that only a server sets,
// and what a newer version put into old that this version cannot see. Neither
// is changed.
func Successor(next, old proto.Message) proto.Message {
	next = proto.Clone(next)
	r := next.ProtoReflect()
	if status := r.Descriptor().Fields().ByName("status"); status != nil {
		r.Clear(status)
	}
	was := &vrouterv1.Metadata{}
	generation := int32(1)
	if old != nil {
		was = MetadataOf(old)
		keepUnknown(r, old.ProtoReflect())
		generation = was.GetGeneration()
		if !proto.Equal(SpecOf(next), SpecOf(old)) {
			generation++
		}
	}
	meta := MetadataOf(next)
	meta.ResourceVersion = nil
	meta.Uid, meta.CreationTimestamp = was.Uid, was.CreationTimestamp
	if meta.GetUid() == "" {
		meta.Uid = proto.String(uuid.NewString())
		meta.CreationTimestamp = proto.String(time.Now().UTC().Format(time.RFC3339))
	}
	meta.Generation = proto.Int32(generation)
	return next
}

// SameStored tells whether storing next over old would change nothing.
func SameStored(old, next proto.Message) bool {
	old = proto.Clone(old)
	MetadataOf(old).ResourceVersion = nil
	return proto.Equal(old, next)
}

// SetVersion shows a revision as resource version; zero shows none.
func SetVersion(msg proto.Message, revision int64) {
	meta := MetadataOf(msg)
	meta.ResourceVersion = nil
	if revision != 0 {
		meta.ResourceVersion = proto.String(strconv.FormatInt(revision, 10))
	}
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
	var newer []protoreflect.Message // the elements that have such fields, most often none
	for j := range from.Len() {
		if m := from.Get(j).Message(); CheckUnknown(m.Interface()) != nil {
			newer = append(newer, m)
		}
	}
	for i := range to.Len() {
		for _, m := range newer {
			candidate := proto.Clone(to.Get(i).Message().Interface()).ProtoReflect()
			keepUnknown(candidate, m)
			if proto.Equal(candidate.Interface(), m.Interface()) {
				to.Set(i, protoreflect.ValueOfMessage(candidate))
				break
			}
		}
	}
}
