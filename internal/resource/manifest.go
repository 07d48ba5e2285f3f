package resource

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Manifest is one object as it was read: well typed, but neither canonical
// nor checked.
type Manifest struct {
	Source   string // such as "pools.yaml: document 2, item 3"
	Kind     Kind
	Message  proto.Message
	Warnings []string // what was ignored, each with its path
}

// crdAPIVersion is the form in which Calico stores its objects in Kubernetes.
const crdAPIVersion = "crd.projectcalico.org/v1"

// ReadManifests reads YAML of any number of documents, or JSON values one
// after another; lists count as their items. The name is that of the file, for
// errors. It is strict: unknown fields, wrong types and keys given twice are
// refused, each with line and path. Status and what the server sets are
// ignored with a warning; null is as if the field were absent. Beside the
// error, which joins an *Invalid for each bad document, it returns the good
// ones.
func ReadManifests(name string, data []byte) ([]Manifest, error) {
	var r reader
	r.documents(name, data)
	return r.manifests, errors.Join(r.errs...)
}

// documents reads a whole file.
func (r *reader) documents(name string, data []byte) {
	documents, syntax := parse(data)
	for i, document := range documents {
		if document != nil {
			r.document(documentName(name, i, len(documents) > 1 || syntax != nil), document, typeOf{})
		}
	}
	if syntax != nil {
		t := bad(syntax)
		r.refuse(documentName(name, len(documents), len(documents) > 0), Problem{Line: t.line, Reason: t.text})
	}
}

// FromJSON reads one object from JSON, or YAML, such as ToJSON rendered and an
// operator changed.
func FromJSON(data []byte) (Manifest, error) {
	manifests, err := ReadManifests("", data)
	if err != nil {
		return Manifest{}, err
	}
	if len(manifests) != 1 {
		return Manifest{}, &Invalid{Problems: []Problem{{
			Reason: fmt.Sprintf("%d objects where one is wanted", len(manifests))}}}
	}
	manifests[0].Source = ""
	return manifests[0], nil
}

// parse reads data as JSON if it looks so, because YAML's reader has other
// ideas of JSON's escapes, and else as YAML.
func parse(data []byte) ([]*tree, error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // a byte order mark
	if start := bytes.TrimSpace(data); len(start) > 0 && (start[0] == '{' || start[0] == '[') {
		documents, err := parseJSON(data)
		if err == nil || json.Valid(data) {
			return documents, err
		}
	}
	return parseYAML(data)
}

func documentName(file string, i int, several bool) string {
	switch {
	case !several:
		return file
	case file == "":
		return fmt.Sprintf("document %d", i+1)
	}
	return fmt.Sprintf("%s: document %d", file, i+1)
}

// reader collects what the documents hold.
type reader struct {
	manifests []Manifest
	errs      []error

	foreignKinds []string // of what is returned as it is
	foreign      []Foreign
}

// typeOf is what a list says about its items, which may leave it out.
type typeOf struct {
	apiVersion, kind string
}

func (r *reader) refuse(source string, p ...Problem) {
	r.errs = append(r.errs, &Invalid{Source: source, Problems: p})
}

func (r *reader) document(source string, t *tree, outer typeOf) {
	if t.shape == shapeList {
		r.items(source, t, outer)
		return
	}
	var w walker
	if !w.expect("", t, shapeObject) {
		r.refuse(source, w.all()...)
		return
	}
	if items, ok := t.field("items"); ok && strings.HasSuffix(t.textAt("kind"), "List") {
		for _, f := range t.fields {
			if w.twice(f.key, f) {
				r.refuse(source, w.all()...)
				return
			}
		}
		inner := typeOf{t.textAt("apiVersion"), strings.TrimSuffix(t.textAt("kind"), "List")}
		if inner.kind == "" { // a plain List says nothing about its items
			inner = typeOf{}
		}
		if items.shape != shapeNull { // as some write an empty list
			r.items(source, items, inner)
		}
		return
	}
	r.object(source, t, outer)
}

func (r *reader) items(source string, t *tree, outer typeOf) {
	var w walker
	if !w.expect("items", t, shapeList) {
		r.refuse(source, w.all()...)
		return
	}
	for i, item := range t.items {
		name := fmt.Sprintf("item %d", i+1)
		if source != "" {
			name = source + ", " + name
		}
		r.document(name, item, outer)
	}
}

func (r *reader) object(source string, t *tree, outer typeOf) {
	if is := (typeOf{t.textOr("apiVersion", outer.apiVersion), t.textOr("kind", outer.kind)}); r.isForeign(is) {
		r.foreignObject(source, is.kind, t)
		return
	}
	m := Manifest{Source: source}
	t, m.Warnings = fromKubernetes(t, typeOf{t.textOr("apiVersion", outer.apiVersion), t.textOr("kind", outer.kind)})
	kind, problem := r.kindOf(t, outer, &m)
	if problem != nil {
		r.refuse(source, *problem)
		return
	}
	m.Kind = kind
	m.Message, _ = New(kind)
	md := m.Message.ProtoReflect().Descriptor()
	m.Warnings = append(m.Warnings, ignore(t)...)
	var w walker
	object := w.message("", t, md)
	if len(w.list) > 0 {
		r.refuse(source, w.all()...)
		return
	}
	if err := fill(m.Message, object); err != nil {
		r.refuse(source, Problem{Reason: err.Error()})
		return
	}
	r.manifests = append(r.manifests, m)
}

// fill turns the walked tree into the message.
func fill(msg proto.Message, object any) error {
	data, err := json.Marshal(object)
	if err != nil {
		return fmt.Errorf("render as JSON: %w", err)
	}
	if err := protojson.Unmarshal(data, msg); err != nil {
		return fmt.Errorf("read as protobuf: %w", err)
	}
	shapeUp(msg)
	return nil
}

// kindOf reads apiVersion and kind.
func (r *reader) kindOf(t *tree, outer typeOf, m *Manifest) (Kind, *Problem) {
	version, name := t.textOr("apiVersion", outer.apiVersion), t.textOr("kind", outer.kind)
	line := func(key string) int {
		if v := t.get(key); v != nil {
			return v.line
		}
		return t.line
	}
	switch foreign := ofAdapter(typeOf{version, name}); {
	case foreign != "":
		return "", &Problem{Path: "apiVersion", Line: line("apiVersion"), Reason: foreign, Unsupported: true}
	case version == crdAPIVersion:
		m.Warnings = append(m.Warnings, fmt.Sprintf("apiVersion: %s is read as %s", crdAPIVersion, APIVersion))
	case !slices.Contains(apiVersions(), version):
		return "", &Problem{Path: "apiVersion", Line: line("apiVersion"), Reason: fmt.Sprintf(
			"%q is none of %s", version, strings.Join(apiVersions(), ", "))}
	}
	if slices.Contains(Kinds(), Kind(name)) {
		return Kind(name), nil
	}
	if kind, ok := ofCalico(name); ok {
		return kind, nil
	}
	p := &Problem{Path: "kind", Line: line("kind"), Reason: fmt.Sprintf("%q is not a kind", name)}
	if slices.Contains(IPAMKinds(), Kind(name)) {
		p.Reason = fmt.Sprintf("%s is read-only: address management makes it", name)
	} else if slices.Contains(unbuiltKinds(), name) {
		p.Reason, p.Unsupported = fmt.Sprintf("%s is not supported yet", name), true
	} else if like, ok := ParseKind(name); ok {
		p.Reason += fmt.Sprintf("; did you mean %s?", like)
	}
	return "", p
}

// ofCalico returns the kind that Calico gives another name.
func ofCalico(name string) (Kind, bool) {
	switch name {
	case "FelixConfiguration":
		return KindAgentConfiguration, true
	case "KubeControllersConfiguration":
		return KindControllerConfiguration, true
	}
	return "", false
}

// unbuiltKinds returns the kinds that Calico has and this program does not yet.
func unbuiltKinds() []string { return []string{"CalicoNodeStatus", "StagedKubernetesNetworkPolicy"} }

// serverFields returns the metadata that only a server sets: ours, then
// Kubernetes'. An operator who feeds the output of get back means no harm.
func serverFields() []string {
	return []string{"uid", "creationTimestamp", "generation", "managedFields", "ownerReferences",
		"selfLink", "clusterName", "finalizers", "deletionTimestamp", "deletionGracePeriodSeconds"}
}

// ignore takes status, server-set metadata and what names are made of out of the
// tree, and says so.
func ignore(t *tree) []string {
	var warnings []string
	drop := func(path string, from *tree, why string, names ...string) {
		from.fields = slices.DeleteFunc(from.fields, func(f *field) bool {
			if !slices.Contains(names, f.key) {
				return false
			}
			if f.value.shape != shapeNull {
				warnings = append(warnings, join(path, f.key)+": ignored, "+why)
			}
			return true
		})
	}
	const byServer = "the server sets it"
	drop("", t, byServer, "status")
	if meta := t.get("metadata"); meta != nil {
		drop("metadata", meta, byServer, serverFields()...)
		drop("metadata", meta, "names are not made here", "generateName")
	}
	return warnings
}
