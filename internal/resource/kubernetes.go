package resource

import "slices"

// lastApplied is where kubectl keeps the manifest, values of a Secret included.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// fromKubernetes turns a Secret of Kubernetes, which Calico's passwords are,
// into ours: values move into the spec, namespace and type are left out. It
// returns what was ignored. The tree that was given may be used no more.
func fromKubernetes(t *tree) (*tree, []string) {
	var warnings []string
	ours, spec := &tree{shape: shapeObject, line: t.line}, &tree{shape: shapeObject, line: t.line}
	for _, f := range t.fields {
		switch f.key {
		case "apiVersion", "kind":
			if f.again {
				ours.fields = append(ours.fields, f)
			}
		case "data", "stringData", "spec": // which no Secret of theirs has: spec.spec is refused
			spec.fields = append(spec.fields, f)
		case "type", "immutable":
			warnings = append(warnings, f.key+": ignored, it is of Kubernetes")
		case "metadata":
			warnings = append(warnings, f.value.withoutKubernetes()...)
			ours.fields = append(ours.fields, f)
		default:
			ours.fields = append(ours.fields, f)
		}
	}
	text := func(s string) *tree { return &tree{shape: shapeText, line: t.line, text: s} }
	ours.set("apiVersion", text(APIVersion))
	ours.set("kind", text(string(KindSecret)))
	ours.set("spec", spec)
	return ours, warnings
}

// withoutKubernetes takes out of metadata what only means something to
// Kubernetes.
func (t *tree) withoutKubernetes() []string {
	var warnings []string
	drop := func(from *tree, path, key string) {
		n := len(from.fields)
		from.fields = slices.DeleteFunc(from.fields, func(f *field) bool { return f.key == key })
		if len(from.fields) < n {
			warnings = append(warnings, path+": ignored, it is of Kubernetes")
		}
	}
	drop(t, "metadata.namespace", "namespace")
	drop(t, "metadata.resourceVersion", "resourceVersion") // of another store
	if annotations := t.get("annotations"); annotations != nil {
		drop(annotations, "metadata.annotations["+lastApplied+"]", lastApplied)
	}
	return warnings
}
