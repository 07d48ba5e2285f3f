package resource

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// ToJSON renders a raw object in Calico's spelling, indented, with apiVersion,
// kind, metadata, spec and status in this order, the fields in them sorted,
// and nothing that is empty.
func ToJSON(msg proto.Message) ([]byte, error) { return renderJSON(render(msg.ProtoReflect(), true)) }

// ToYAML renders as ToJSON does.
func ToYAML(msg proto.Message) ([]byte, error) { return renderYAML(render(msg.ProtoReflect(), true)) }

// ListToJSON renders objects as a List document.
func ListToJSON(msgs []proto.Message) ([]byte, error) { return renderJSON(listDocument(msgs)) }

// ListToYAML renders objects as a List document.
func ListToYAML(msgs []proto.Message) ([]byte, error) { return renderYAML(listDocument(msgs)) }

// listDocument is of the kind's own list, or of kind List where kinds differ.
func listDocument(msgs []proto.Message) *tree {
	kind, items := "", &tree{shape: shapeList}
	for i, msg := range msgs {
		items.items = append(items.items, render(msg.ProtoReflect(), true))
		if k := string(KindOf(msg)); i == 0 || k == kind {
			kind = k
		} else {
			kind = ""
		}
	}
	list := &tree{shape: shapeObject}
	list.set("apiVersion", &tree{shape: shapeText, text: apiVersion(Kind(kind))})
	list.set("items", items)
	list.set("kind", &tree{shape: shapeText, text: kind + "List"})
	return list
}

func (t *tree) set(key string, value *tree) {
	t.fields = append(t.fields, &field{key: key, value: value})
}

// render turns a message into a tree.
func render(m protoreflect.Message, top bool) *tree {
	object := &tree{shape: shapeObject}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if value := renderField(f, v); value != nil {
			object.set(f.JSONName(), value)
		}
		return true
	})
	slices.SortFunc(object.fields, func(a, b *field) int {
		if d := rank(a.key, top) - rank(b.key, top); d != 0 {
			return d
		}
		return strings.Compare(a.key, b.key)
	})
	return object
}

// rank puts first what a reader looks for first.
func rank(key string, top bool) int {
	first := []string{"apiVersion", "kind", "metadata", "spec", "status"}
	if !top {
		first = []string{"name", "namespace"}
	}
	if i := slices.Index(first, key); i >= 0 {
		return i
	}
	return len(first)
}

// renderField returns nil for what is empty.
func renderField(f protoreflect.FieldDescriptor, v protoreflect.Value) *tree {
	switch {
	case f.IsMap():
		object := &tree{shape: shapeObject}
		v.Map().Range(func(key protoreflect.MapKey, value protoreflect.Value) bool {
			object.set(key.String(), renderSingle(f.MapValue(), value))
			return true
		})
		slices.SortFunc(object.fields, func(a, b *field) int { return strings.Compare(a.key, b.key) })
		return object
	case f.IsList():
		list := &tree{shape: shapeList}
		for i := range v.List().Len() {
			list.items = append(list.items, orNull(renderSingle(f, v.List().Get(i))))
		}
		return list
	}
	t := renderSingle(f, v)
	if t == nil || t.shape == shapeText && t.text == "" && !isValue(f) || t.shape == shapeObject && len(t.fields) == 0 {
		return nil
	}
	return t
}

func renderSingle(f protoreflect.FieldDescriptor, v protoreflect.Value) *tree {
	switch f.Kind() {
	case protoreflect.MessageKind:
		switch {
		case isValue(f):
			return renderValue(v.Message())
		case isListValue(f):
			return renderListValue(v.Message())
		case listOf(f) != nil:
			return renderField(listOf(f), v.Message().Get(listOf(f)))
		}
		return render(v.Message(), false)
	case protoreflect.BoolKind:
		return &tree{shape: shapeBool, text: strconv.FormatBool(v.Bool())}
	case protoreflect.StringKind:
		return &tree{shape: shapeText, text: v.String()}
	case protoreflect.DoubleKind:
		return renderNumber(v.Float())
	}
	return &tree{shape: shapeNumber, text: fmt.Sprint(v.Interface())}
}

// renderNumber renders without exponent where it can. What JSON has no number
// for is shown as text.
func renderNumber(n float64) *tree {
	switch {
	case math.IsNaN(n) || math.IsInf(n, 0):
		return &tree{shape: shapeText, text: fmt.Sprint(n)}
	case n == math.Trunc(n) && math.Abs(n) < 1<<53:
		return &tree{shape: shapeNumber, text: strconv.FormatInt(int64(n), 10)}
	}
	return &tree{shape: shapeNumber, text: strconv.FormatFloat(n, 'g', -1, 64)}
}

// renderListValue renders a list of Values, also an empty one.
func renderListValue(m protoreflect.Message) *tree {
	list := &tree{shape: shapeList}
	values := m.Get(m.Descriptor().Fields().ByName("values")).List()
	for i := range values.Len() {
		list.items = append(list.items, orNull(renderValue(values.Get(i).Message())))
	}
	return list
}

// orNull keeps the place of an element that says nothing.
func orNull(t *tree) *tree {
	if t == nil {
		return &tree{shape: shapeNull}
	}
	return t
}

// renderValue renders a number or a text. What else a Value can hold is not
// written by any reader of ours, and refused by Check; it is shown as text.
func renderValue(m protoreflect.Message) *tree {
	one := m.WhichOneof(m.Descriptor().Oneofs().ByName("kind"))
	if one == nil {
		return nil
	}
	switch one.Name() {
	case "number_value":
		return renderNumber(m.Get(one).Float())
	case "string_value":
		return &tree{shape: shapeText, text: m.Get(one).String()}
	}
	return &tree{shape: shapeText, text: fmt.Sprint(m.Interface())}
}
