package ipam

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// attribute is what a block remembers of an allocation. It is never changed. A
// block is written whole for each of its addresses, so that each attribute is
// kept as it is written.
type attribute struct {
	handle    string
	secondary map[string]string
	wire      []byte // an AllocationAttribute, with the fields of a newer version
}

// newAttribute returns the attribute of an allocation. An error is text that is
// no UTF-8.
func newAttribute(handle string, secondary map[string]string) (*attribute, error) {
	wire, err := marshal(&vrouterv1.AllocationAttribute{HandleId: proto.String(handle), Secondary: secondary})
	if err != nil {
		return nil, fmt.Errorf("encode attributes of handle %q: %w", handle, err)
	}
	return decodedAttribute(wire)
}

// decodedAttribute reads what newAttribute or a newer version has made.
func decodedAttribute(wire []byte) (*attribute, error) {
	var m vrouterv1.AllocationAttribute
	if err := proto.Unmarshal(wire, &m); err != nil {
		return nil, err
	}
	return &attribute{handle: m.GetHandleId(), secondary: m.GetSecondary(), wire: wire}, nil
}

// weight returns about how many bytes it takes in a block.
func (a *attribute) weight() int { return len(a.wire) + 3 }

// attributesField is the number of the field attributes of an IPAMBlockSpec.
const attributesField = 5

// appendAttributes appends the attributes to the rest of an IPAMBlockSpec.
func appendAttributes(data []byte, attributes []*attribute) []byte {
	more := 0
	for _, a := range attributes {
		more += a.weight()
	}
	data = slices.Grow(data, more)
	for _, a := range attributes {
		data = protowire.AppendTag(data, attributesField, protowire.BytesType)
		data = protowire.AppendBytes(data, a.wire)
	}
	return data
}

// cutAttributes parts an IPAMBlockSpec into its attributes and the rest.
func cutAttributes(data []byte) (attributes []*attribute, rest []byte, err error) {
	for len(data) > 0 {
		number, kind, tag := protowire.ConsumeTag(data)
		n := protowire.ConsumeFieldValue(number, kind, data[max(tag, 0):])
		if tag < 0 || n < 0 {
			return nil, nil, protowire.ParseError(min(tag, n))
		}
		field := data[:tag+n]
		data = data[len(field):]
		if number != attributesField || kind != protowire.BytesType {
			rest = append(rest, field...)
			continue
		}
		wire, _ := protowire.ConsumeBytes(field[tag:])
		a, err := decodedAttribute(wire)
		if err != nil {
			return nil, nil, fmt.Errorf("attribute %d: %w", len(attributes), err)
		}
		attributes = append(attributes, a)
	}
	return attributes, rest, nil
}
