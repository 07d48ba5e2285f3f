package resource

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// Foreign is an object that is no manifest of ours, as it was read: well formed,
// and no key of it given twice.
type Foreign struct {
	Source string // as of a Manifest
	Kind   string
	JSON   []byte
}

// ReadForeign is ReadManifests of what Calico's tools wrote. What is of one of
// the kinds, in an API version of Calico's, is returned as it is.
func ReadForeign(name string, data []byte, kinds ...string) ([]Manifest, []Foreign, error) {
	r := reader{foreignKinds: kinds}
	r.documents(name, data)
	return r.manifests, r.foreign, errors.Join(r.errs...)
}

// ReadForeignJSON reads one JSON value that is no manifest, as ReadForeign reads
// an object.
func ReadForeignJSON(name string, data []byte) ([]byte, error) {
	documents, err := parseJSON(data)
	if err != nil {
		t := bad(err)
		return nil, &Invalid{Source: name, Problems: []Problem{{Line: t.line, Reason: t.text}}}
	}
	if len(documents) != 1 {
		return nil, &Invalid{Source: name, Problems: []Problem{{Reason: fmt.Sprintf("%d values where one is wanted", len(documents))}}}
	}
	r := reader{}
	text := r.plain(name, documents[0])
	return text, errors.Join(r.errs...)
}

// isForeign tells whether an object is to be returned as it is.
func (r *reader) isForeign(is typeOf) bool {
	return slices.Contains(r.foreignKinds, is.kind) && (is.apiVersion == crdAPIVersion || slices.Contains(apiVersions(), is.apiVersion))
}

func (r *reader) foreignObject(source, kind string, t *tree) {
	if text := r.plain(source, t); text != nil {
		r.foreign = append(r.foreign, Foreign{Source: source, Kind: kind, JSON: text})
	}
}

// plain renders a value, nil if it is not sound.
func (r *reader) plain(source string, t *tree) []byte {
	var w walker
	w.sound("", t)
	if len(w.list) > 0 {
		r.refuse(source, w.all()...)
		return nil
	}
	var text bytes.Buffer
	if err := t.writeJSON(&text); err != nil {
		r.refuse(source, Problem{Reason: err.Error()})
		return nil
	}
	return text.Bytes()
}

// sound reports what nothing can be read from: keys given twice, and values that
// are none.
func (w *walker) sound(path string, t *tree) {
	if t.shape == shapeBad {
		w.addf(path, t.line, "%s", t.text)
	}
	for i, item := range t.items {
		w.sound(index(path, i), item)
	}
	for _, f := range t.fields {
		at := join(path, f.key)
		w.twice(at, f)
		w.sound(at, f.value)
	}
}
