package resource

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// walker reads a tree along the descriptor of a message. What it returns is
// the same tree as JSON that protojson takes without further questions; what
// is wrong it collects.
type walker struct {
	problems
}

func (w *walker) addf(path string, line int, format string, args ...any) {
	w.add(Problem{Path: path, Line: line, Reason: fmt.Sprintf(format, args...)})
}

// expect tells whether t has the shape, and reports it if not.
func (w *walker) expect(path string, t *tree, want shape) bool {
	switch t.shape {
	case want:
		return true
	case shapeBad:
		w.addf(path, t.line, "%s", t.text)
	default:
		w.addf(path, t.line, "must be %s, not %s", want, t.found())
	}
	return false
}

// twice reports a key that its object had before.
func (w *walker) twice(path string, f *field) bool {
	if f.again {
		w.addf(path, f.line, "given twice")
	}
	return f.again
}

func (w *walker) message(path string, t *tree, md protoreflect.MessageDescriptor) any {
	if !w.expect(path, t, shapeObject) {
		return nil
	}
	object := make(map[string]any, len(t.fields))
	for _, f := range t.fields {
		at := join(path, f.key)
		fd := md.Fields().ByJSONName(f.key)
		switch {
		case w.twice(at, f):
		case fd == nil:
			w.addf(at, f.line, "unknown field%s", suggest(md, f.key))
		case f.value.shape == shapeNull: // absent
		default:
			object[f.key] = w.field(at, f.value, fd)
		}
	}
	return object
}

func (w *walker) field(path string, t *tree, fd protoreflect.FieldDescriptor) any {
	switch {
	case fd.IsMap():
		return w.textMap(path, t, isSecret(fd))
	case fd.IsList():
		if !w.expect(path, t, shapeList) {
			return nil
		}
		list := make([]any, 0, len(t.items))
		for i, item := range t.items {
			list = append(list, w.single(index(path, i), item, fd))
		}
		return list
	}
	return w.single(path, t, fd)
}

// textMap reads the only kind of map that we have: text by text. Problems of a
// secret one do not quote it.
func (w *walker) textMap(path string, t *tree, secret bool) any {
	if secret && t.shape != shapeObject {
		w.addf(path, t.line, "must be an object of texts by key")
		return nil
	}
	if !w.expect(path, t, shapeObject) {
		return nil
	}
	object := make(map[string]any, len(t.fields))
	for _, f := range t.fields {
		at := fmt.Sprintf("%s[%s]", path, f.key)
		switch {
		case w.twice(at, f):
		case f.value.shape == shapeNull: // absent
		case f.value.shape == shapeText:
			object[f.key] = f.value.text
		case secret:
			w.addf(at, f.value.line, "must be a text; write it in quotes")
		case f.value.shape == shapeNumber, f.value.shape == shapeBool:
			w.addf(at, f.value.line, "must be a text; write %q in quotes", f.value.text)
		default:
			w.expect(at, f.value, shapeText)
		}
	}
	return object
}

// isSecret tells whether the schema says that what the field holds is not to
// be shown.
func isSecret(fd protoreflect.FieldDescriptor) bool {
	options, ok := fd.Options().(*descriptorpb.FieldOptions)
	return ok && options.GetDebugRedact()
}

// textList reads a list of texts that may be empty, which says something else
// than no list.
func (w *walker) textList(path string, t *tree) any {
	if !w.expect(path, t, shapeList) {
		return nil
	}
	list := make([]any, 0, len(t.items))
	for i, item := range t.items {
		w.expect(index(path, i), item, shapeText)
		list = append(list, item.text)
	}
	return list
}

func (w *walker) single(path string, t *tree, fd protoreflect.FieldDescriptor) any {
	switch fd.Kind() {
	case protoreflect.MessageKind:
		switch {
		case isValue(fd):
			return w.numberOrText(path, t)
		case isListValue(fd):
			return w.textList(path, t)
		case listOf(fd) != nil:
			return map[string]any{"values": w.field(path, t, listOf(fd))}
		}
		return w.message(path, t, fd.Message())
	case protoreflect.BoolKind:
		w.expect(path, t, shapeBool)
		return t.text == "true"
	case protoreflect.StringKind:
		if t.shape == shapeNumber {
			w.addf(path, t.line, "must be a text, not the number %[1]s: write %[1]q in quotes, or %[1]ss if it is a time", t.text)
		} else {
			w.expect(path, t, shapeText)
		}
		return t.text
	case protoreflect.Int32Kind:
		return w.integer(path, t, -1<<31, 1<<31-1)
	case protoreflect.Uint32Kind:
		return w.integer(path, t, 0, 1<<32-1)
	case protoreflect.DoubleKind:
		return w.number(path, t)
	}
	panic(fmt.Sprintf("resource: %s is of a kind that no manifest has", fd.FullName()))
}

func (w *walker) integer(path string, t *tree, least, most int64) any {
	if !w.expect(path, t, shapeNumber) {
		return nil
	}
	n, err := strconv.ParseInt(t.text, 10, 64)
	switch {
	case err != nil && strings.ContainsAny(t.text, ".eE"):
		w.addf(path, t.line, "must be a whole number, not %s", t.text)
	case err != nil || n < least || n > most:
		w.addf(path, t.line, "%s is not between %d and %d", t.text, least, most)
	}
	return n
}

// number reads a number that need not be whole.
func (w *walker) number(path string, t *tree) any {
	if !w.expect(path, t, shapeNumber) {
		return nil
	}
	if _, err := strconv.ParseFloat(t.text, 64); err != nil {
		w.addf(path, t.line, "%s is too large for a number", t.text)
	}
	return json.Number(t.text)
}

// numberOrText leaves to Check what the number or text says.
func (w *walker) numberOrText(path string, t *tree) any {
	switch t.shape {
	case shapeText:
		return t.text
	case shapeNumber:
		if _, err := strconv.ParseFloat(t.text, 64); err != nil {
			w.addf(path, t.line, "%s is too large for a number", t.text)
		}
		return json.Number(t.text)
	case shapeBad:
		w.addf(path, t.line, "%s", t.text)
		return nil
	}
	w.addf(path, t.line, "must be a number or a text, not %s", t.found())
	return nil
}

// suggest names the field that was meant, if it differs in case, by underscores
// and dashes, or in one letter.
func suggest(md protoreflect.MessageDescriptor, name string) string {
	plain := strings.NewReplacer("_", "", "-", "")
	for i := range md.Fields().Len() {
		have := md.Fields().Get(i).JSONName()
		if strings.EqualFold(have, plain.Replace(name)) || oneEditApart(have, name) {
			return "; did you mean " + have + "?"
		}
	}
	return ""
}

// oneEditApart tells whether a letter more, less or changed makes a of b.
func oneEditApart(a, b string) bool {
	if len(a) < len(b) {
		a, b = b, a
	}
	if len(a)-len(b) > 1 {
		return false
	}
	i := 0
	for i < len(b) && a[i] == b[i] {
		i++
	}
	if len(a) == len(b) {
		return i < len(a) && a[i+1:] == b[i+1:]
	}
	return a[i+1:] == b[i:]
}
