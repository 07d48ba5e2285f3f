package cli

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/selector"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// ref names one object on the command line.
type ref struct {
	kind      resource.Kind
	namespace string // empty for kinds without one
	name      string
}

// String renders KIND/NAME or KIND/NAMESPACE/NAME, the kind in lower case: the
// form of every report, which is read back as an argument.
func (r ref) String() string {
	kind := strings.ToLower(string(r.kind))
	if r.namespace == "" {
		return kind + "/" + r.name
	}
	return kind + "/" + r.namespace + "/" + r.name
}

// refOf names a raw object. Endpoints go by ORCHESTRATOR/WORKLOAD/ENDPOINT,
// which stays when they move.
func refOf(msg proto.Message) ref {
	id := resource.IDOf(msg)
	return ref{id.Kind, id.Namespace, id.Name}
}

// revisionOf is the resource version of a raw object; empty when not stored.
func revisionOf(msg proto.Message) string {
	return resource.MetadataOf(msg).GetResourceVersion()
}

// parseKind reads one kind as typed.
func parseKind(text string) (resource.Kind, error) {
	kind, ok := resource.ParseKind(text)
	if !ok {
		return "", usagef("unknown kind %q; the kinds are %s", text, kindList())
	}
	return kind, nil
}

// parseKinds reads KIND[,KIND...] or all.
func parseKinds(text string) ([]resource.Kind, error) {
	if strings.EqualFold(text, "all") {
		return resource.Kinds(), nil
	}
	var kinds []resource.Kind
	for part := range strings.SplitSeq(text, ",") {
		kind, err := parseKind(part)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
	}
	return kinds, nil
}

func kindList() string {
	var names []string
	for _, kind := range append(resource.Kinds(), resource.IPAMKinds()...) {
		names = append(names, string(kind))
	}
	return strings.Join(names, ", ")
}

// folded breaks a text into indented lines that fit a terminal.
func folded(text string) string {
	const width = 80
	var b strings.Builder
	column := width
	for word := range strings.FieldsSeq(text) {
		if column+1+len(word) > width {
			b.WriteString("\n ")
			column = 1
		}
		b.WriteString(" " + word)
		column += 1 + len(word)
	}
	return b.String()
}

// parseSelector reads what -l says; empty selects all.
func parseSelector(text string) (*selector.Selector, error) {
	sel, err := selector.Parse(text)
	if err != nil {
		return nil, usagef("-l %q: %w", text, err)
	}
	return sel, nil
}

// parseRef reads a name of a kind, with the namespace of -n.
func parseRef(kind resource.Kind, namespace, name string) (ref, error) {
	r := ref{kind: kind, name: name}
	if !resource.Namespaced(kind) {
		return r, nil
	}
	if r.namespace = namespace; namespace == "" {
		return r, usagef("%s %q: the namespace must not be empty", strings.ToLower(string(kind)), name)
	}
	if _, err := resource.FindID(kind, namespace, name); err != nil {
		return r, usagef("%s: %w", strings.ToLower(string(kind)), err)
	}
	return r, nil
}

// parseTyped reads KIND/NAME, for kinds with namespace also KIND/NAMESPACE/NAME.
// The name of an endpoint may itself be ORCHESTRATOR/WORKLOAD/ENDPOINT.
func parseTyped(text, namespace string) (ref, error) {
	kindText, name, _ := strings.Cut(text, "/")
	kind, err := parseKind(kindText)
	if err != nil {
		return ref{}, err
	}
	if name == "" {
		return ref{}, usagef("%q names no object: want KIND/NAME", text)
	}
	if slashes := strings.Count(name, "/"); resource.Namespaced(kind) && (slashes == 1 || slashes == 3) {
		namespace, name, _ = strings.Cut(name, "/")
	}
	return parseRef(kind, namespace, name)
}

// target is what the arguments of a command point at: objects by name, or all
// of some kinds.
type target struct {
	refs  []ref
	kinds []resource.Kind
}

// parseTarget reads KIND[,KIND...] | KIND NAME... | KIND/NAME...
func parseTarget(args []string, namespace string) (target, error) {
	var t target
	if len(args) == 0 {
		return t, usagef("a KIND is needed, or -f; the kinds are %s", kindList())
	}
	if strings.Contains(args[0], "/") {
		for _, arg := range args {
			r, err := parseTyped(arg, namespace)
			if err != nil {
				return t, err
			}
			t.refs = append(t.refs, r)
		}
		return t, nil
	}
	kinds, err := parseKinds(args[0])
	if err != nil {
		return t, err
	}
	names := args[1:]
	if len(names) == 0 {
		t.kinds = kinds
		return t, nil
	}
	if len(kinds) > 1 {
		return t, usagef("NAME %q goes with one kind, not with %q", names[0], args[0])
	}
	for _, name := range names {
		r, err := parseRef(kinds[0], namespace, name)
		if err != nil {
			return t, err
		}
		t.refs = append(t.refs, r)
	}
	return t, nil
}

// unwrap takes the object out of an answer; none is a bug of the server.
func unwrap(r *vrouterv1.Resource) (proto.Message, error) {
	_, msg, err := resource.Unwrap(r)
	if err != nil {
		return nil, fmt.Errorf("vrouterd answered without an object of a known kind; is it newer than vrouterctl? (%w)", err)
	}
	return msg, nil
}
