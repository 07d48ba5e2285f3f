package resource

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"
)

// Encode renders a raw object for the store: binary, the same bytes for the
// same object, without what the store keeps elsewhere (the status has a key of
// its own, the resource version is the key's revision). Unknown fields stay.
func Encode(msg proto.Message) ([]byte, error) {
	m, meta := msg.ProtoReflect(), metadata(msg)
	status := m.Descriptor().Fields().ByName("status")
	if status != nil && m.Has(status) || meta != nil && meta.ResourceVersion != nil {
		msg = proto.Clone(msg)
		if status != nil {
			msg.ProtoReflect().Clear(status)
		}
		if meta := metadata(msg); meta != nil {
			meta.ResourceVersion = nil
		}
	}
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(msg)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", IDOf(msg), err)
	}
	return data, nil
}

// Decode reads what Encode wrote, or a newer version of it: unknown fields are
// kept, so that a rewritten object loses none. The revision becomes the
// resource version; zero gives none. What address management stored becomes an
// object with the name that its spec makes. It checks nothing beyond the encoding.
func Decode(kind Kind, data []byte, revision int64) (proto.Message, error) {
	if slices.Contains(IPAMKinds(), kind) {
		return decodeIPAM(kind, data, revision)
	}
	msg, ok := New(kind)
	if !ok {
		return nil, fmt.Errorf("decode %s: not a kind of this version", kind)
	}
	if err := proto.Unmarshal(data, msg); err != nil {
		return nil, fmt.Errorf("decode %s: %w", kind, err)
	}
	SetVersion(msg, revision)
	return msg, nil
}
