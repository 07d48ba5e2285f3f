package resource

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// CheckUnknown refuses fields that the schema does not have, at any depth of
// any message: a newer client asks for something that this program would
// silently drop. The *Invalid names the path of the message and the numbers of
// the fields. It is for what comes over the API; what comes from the store
// keeps its unknown fields.
func CheckUnknown(msg proto.Message) error {
	var p problems
	p.unknown("", msg.ProtoReflect())
	return p.invalid()
}

func (p *problems) unknown(path string, m protoreflect.Message) {
	if raw := m.GetUnknown(); len(raw) > 0 {
		p.addf(path, "unknown %s", fieldNumbers(raw))
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.Message() == nil || f.IsMap() || !m.Has(f) { // our maps hold text only
			continue
		}
		at := join(path, f.JSONName())
		if !f.IsList() {
			p.unknown(at, m.Get(f).Message())
			continue
		}
		list := m.Get(f).List()
		for j := range list.Len() {
			p.unknown(index(at, j), list.Get(j).Message())
		}
	}
}

// fieldNumbers names the fields in the raw bytes, each once, in order.
func fieldNumbers(raw protoreflect.RawFields) string {
	var numbers []int
	for len(raw) > 0 {
		num, _, n := protowire.ConsumeField(raw)
		if n <= 0 { // the decoder keeps none that it could not read
			break
		}
		numbers = append(numbers, int(num))
		raw = raw[n:]
	}
	slices.Sort(numbers)
	numbers = slices.Compact(numbers)
	var text []string
	for _, n := range numbers {
		text = append(text, strconv.Itoa(n))
	}
	if len(text) == 1 {
		return "field number " + text[0]
	}
	return "field numbers " + strings.Join(text, ", ")
}

// join and index make the paths of problems.
func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func index(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }
