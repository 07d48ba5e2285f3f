package resource

import (
	"fmt"
	"slices"
	"strings"
)

// lastApplied is where kubectl keeps the manifest, values of a Secret included.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// fromKubernetes turns an object of Kubernetes that we have a kind for into
// ours: Secrets, which Calico's passwords are, Namespaces and ServiceAccounts,
// whose labels policies choose by. It returns what was ignored. The tree that
// was given may be used no more, unless it is no such object and comes back as
// it is.
func fromKubernetes(t *tree, is typeOf) (*tree, []string) {
	switch is {
	case typeOf{"v1", string(KindSecret)}:
		return fromKubernetesSecret(t)
	case typeOf{"v1", string(KindNamespace)}, typeOf{"v1", string(KindServiceAccount)}:
		return labelsOfKubernetes(t, Kind(is.kind))
	}
	return t, nil
}

// labelsOfKubernetes leaves out what a Namespace or a ServiceAccount of Kubernetes
// has beside name, labels and annotations.
func labelsOfKubernetes(t *tree, kind Kind) (*tree, []string) {
	var warnings []string
	if meta := t.get("metadata"); meta != nil {
		warnings = meta.withoutKubernetes()
	}
	if spec := t.get("spec"); spec != nil && kind == KindNamespace {
		warnings = append(warnings, spec.drop("spec.finalizers", "finalizers")...)
	}
	if kind == KindServiceAccount {
		for _, key := range []string{"secrets", "imagePullSecrets", "automountServiceAccountToken"} {
			warnings = append(warnings, t.drop(key, key)...)
		}
	}
	t.fields = slices.DeleteFunc(t.fields, func(f *field) bool { return f.key == "apiVersion" && !f.again })
	t.set("apiVersion", &tree{shape: shapeText, line: t.line, text: apiVersion(kind)})
	return t, warnings
}

// ofAdapter tells what an adapter makes of an object of Kubernetes that is no
// manifest here; empty if it is none.
func ofAdapter(is typeOf) string {
	switch group, _, _ := strings.Cut(is.apiVersion, "/"); {
	case group == "networking.k8s.io" && is.kind == "NetworkPolicy":
		return fmt.Sprintf("a NetworkPolicy of Kubernetes is for the Kubernetes adapter to convert; write one of %s", APIVersion)
	case group == "policy.networking.k8s.io":
		return fmt.Sprintf("a %s of Kubernetes is for the Kubernetes adapter to convert; write a GlobalNetworkPolicy of %s in the tier %s or %s",
			is.kind, APIVersion, tierAdmin, tierBaseline)
	}
	return ""
}

// fromKubernetesSecret moves values into the spec, and leaves out namespace and
// type.
func fromKubernetesSecret(t *tree) (*tree, []string) {
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
			warnings = append(warnings, f.value.drop("metadata.namespace", "namespace")...)
			warnings = append(warnings, f.value.withoutKubernetes()...)
			ours.fields = append(ours.fields, f)
		default:
			ours.fields = append(ours.fields, f)
		}
	}
	text := func(s string) *tree { return &tree{shape: shapeText, line: t.line, text: s} }
	ours.set("apiVersion", text(apiVersion(KindSecret)))
	ours.set("kind", text(string(KindSecret)))
	ours.set("spec", spec)
	return ours, warnings
}

// withoutKubernetes takes out of metadata what only means something to
// Kubernetes.
func (t *tree) withoutKubernetes() []string {
	warnings := t.drop("metadata.resourceVersion", "resourceVersion") // of another store
	if annotations := t.get("annotations"); annotations != nil {
		warnings = append(warnings, annotations.drop("metadata.annotations["+lastApplied+"]", lastApplied)...)
	}
	return warnings
}

// drop takes a field out of an object, and returns a warning if it was there.
func (t *tree) drop(path, key string) []string {
	n := len(t.fields)
	t.fields = slices.DeleteFunc(t.fields, func(f *field) bool { return f.key == key })
	if len(t.fields) == n {
		return nil
	}
	return []string{path + ": ignored, it is of Kubernetes"}
}
