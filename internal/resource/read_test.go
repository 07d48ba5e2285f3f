package resource

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestBadManifests: what cannot be read is refused with file, document, line
// and path, and does not keep the good documents from being read.
func TestBadManifests(t *testing.T) {
	const head = "apiVersion: projectcalico.org/v3\nkind: Node\nmetadata: {name: n}\n"
	for _, test := range []struct {
		name, data string
		good       int
		want       string // all errors
	}{
		{"unknown fields", head + "spec:\n  bgp:\n    asNumbr: 1\n    ipv4: a\nspek: 1\n", 0,
			"f.yaml: line 6: spec.bgp.asNumbr: unknown field; did you mean asNumber?; " +
				"line 7: spec.bgp.ipv4: unknown field; line 8: spek: unknown field; did you mean spec?"},
		{"proto's own names", head + "spec: {bgp: {as_number: 1}}\n", 0,
			"f.yaml: line 4: spec.bgp.as_number: unknown field; did you mean asNumber?"},
		{"wrong types", head + "spec:\n  bgp: []\n  orchRefs: {}\n  addresses: [1, null, {address: true}]\n", 0,
			"f.yaml: line 5: spec.bgp: must be an object, not a list; " +
				"line 6: spec.orchRefs: must be a list, not an object; " +
				"line 7: spec.addresses[0]: must be an object, not the number 1; " +
				"line 7: spec.addresses[1]: must be an object, not null; " +
				"line 7: spec.addresses[2].address: must be a text, not true"},
		{"value of a wrong type", head + "spec: {bgp: {asNumber: [1]}}\n", 0,
			"f.yaml: line 4: spec.bgp.asNumber: must be a number or a text, not a list"},
		{"keys given twice", "apiVersion: vrouter/v1\nkind: Node\nmetadata:\n  name: a\n  name: b\n  labels: {a: b, a: c}\n", 0,
			"f.yaml: line 5: metadata.name: given twice; line 6: metadata.labels[a]: given twice"},
		{"keys given twice in JSON", "{\"apiVersion\": \"vrouter/v1\", \"kind\": \"Node\",\n\"metadata\": {\"name\": \"a\",\n\"name\": \"b\"}}", 0,
			"f.yaml: line 3: metadata.name: given twice"},
		{"labels that are no text", "apiVersion: vrouter/v1\nkind: Node\nmetadata:\n  labels: {a: 1, b: true, c: [], d: 0x1}\n", 0,
			`f.yaml: line 4: metadata.labels[a]: must be a text; write "1" in quotes; ` +
				`line 4: metadata.labels[b]: must be a text; write "true" in quotes; ` +
				`line 4: metadata.labels[c]: must be a text, not a list; ` +
				`line 4: metadata.labels[d]: 0x1 is not a plain decimal number; if it is a text, quote it`},
		{"numbers that only YAML has",
			"apiVersion: vrouter/v1\nkind: IPPool\nmetadata: {name: n}\nspec: {blockSize: 032}\n---\n" +
				head + "spec: {bgp: {asNumber: .nan}}\n---\n" + head + "spec: {bgp: {asNumber: 0x1F}}\n", 0,
			"f.yaml: document 1: line 4: spec.blockSize: 032 is not a plain decimal number; if it is a text, quote it\n" +
				"f.yaml: document 2: line 9: spec.bgp.asNumber: .nan is not a plain decimal number; if it is a text, quote it\n" +
				"f.yaml: document 3: line 14: spec.bgp.asNumber: 0x1F is not a plain decimal number; if it is a text, quote it"},
		{"a number beyond all", `{"apiVersion": "vrouter/v1", "kind": "Node", "spec": {"bgp": {"asNumber": 1e999}}}`, 0,
			"f.yaml: line 1: spec.bgp.asNumber: 1e999 is too large for a number"},
		{"numbers of another range", "apiVersion: vrouter/v1\nkind: BGPConfiguration\nmetadata: {name: default}\n" +
			"spec: {listenPort: -1, ipv4NormalRoutePriority: 1.5, ipv6NormalRoutePriority: 2147483648, logSeverityScreen: 1}\n", 0,
			"f.yaml: line 4: spec.listenPort: -1 is not between 0 and 4294967295; " +
				"line 4: spec.ipv4NormalRoutePriority: must be a whole number, not 1.5; " +
				"line 4: spec.ipv6NormalRoutePriority: 2147483648 is not between -2147483648 and 2147483647; " +
				"line 4: spec.logSeverityScreen: must be a text, not the number 1: write \"1\" in quotes, or 1s if it is a time"},
		{"a boolean of old", "apiVersion: vrouter/v1\nkind: IPPool\nspec: {disabled: yes}\n", 0,
			`f.yaml: line 3: spec.disabled: must be true or false, not the text "yes"`},
		{"kinds and versions", "kind: Node\n---\napiVersion: v1\nkind: Pod\n---\napiVersion: vrouter/v1\nkind: node\n---\n" +
			"apiVersion: vrouter/v1\nkind: CalicoNodeStatus\n---\napiVersion: vrouter/v1\n---\n" + head, 1,
			"f.yaml: document 1: line 1: apiVersion: \"\" is none of projectcalico.org/v3, vrouter/v1\n" +
				"f.yaml: document 2: line 3: apiVersion: \"v1\" is none of projectcalico.org/v3, vrouter/v1\n" +
				"f.yaml: document 3: line 7: kind: \"node\" is not a kind; did you mean Node?\n" +
				"f.yaml: document 4: line 10: kind: CalicoNodeStatus is not supported yet\n" +
				"f.yaml: document 5: line 12: kind: \"\" is not a kind"},
		{"policies of Kubernetes", "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n---\n" +
			"apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\n---\napiVersion: networking.k8s.io/v1\nkind: Ingress\n", 0,
			"f.yaml: document 1: line 1: apiVersion: a NetworkPolicy of Kubernetes is for the Kubernetes adapter to convert; write one of projectcalico.org/v3\n" +
				"f.yaml: document 2: line 4: apiVersion: a ClusterNetworkPolicy of Kubernetes is for the Kubernetes adapter to convert; " +
				"write a GlobalNetworkPolicy of projectcalico.org/v3 in the tier kube-admin or kube-baseline\n" +
				"f.yaml: document 3: line 7: apiVersion: \"networking.k8s.io/v1\" is none of projectcalico.org/v3, vrouter/v1"},
		{"items", "kind: List\nitems: [1, {apiVersion: vrouter/v1, kind: Node}]\n---\nkind: NodeList\nitems: {}\n", 1,
			"f.yaml: document 1, item 1: line 2: must be an object, not the number 1\n" +
				"f.yaml: document 2: line 5: items: must be a list, not an object"},
		{"values of secrets", "apiVersion: vrouter/v1\nkind: Secret\nspec: {stringData: hunter2, data: {a: 1234, b: [c], d: 0x1F}}\n", 0,
			"f.yaml: line 3: spec.stringData: must be an object of texts by key; " +
				"line 3: spec.data[a]: must be a text; write it in quotes; " +
				"line 3: spec.data[b]: must be a text; write it in quotes; " +
				"line 3: spec.data[d]: must be a text; write it in quotes"},
		{"secrets of Kubernetes", "apiVersion: v1\nkind: Secret\nmetadata: {name: a, name: b}\nspec: {}\ndata: 1\nrest: 2\nkind: Secret\n", 0,
			"f.yaml: line 3: metadata.name: given twice; line 6: rest: unknown field; line 7: kind: given twice; " +
				"line 4: spec.spec: unknown field; line 5: spec.data: must be an object of texts by key"},
		{"namespaces of Kubernetes", "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, name: b}\nspec: {finalizers: [kubernetes], rest: 1}\n" +
			"kind: Namespace\n---\napiVersion: v1\nkind: Namespace\nmetadata: 1\nspec: [a]\n", 0,
			"f.yaml: document 1: line 3: metadata.name: given twice; line 4: spec.rest: unknown field; line 5: kind: given twice\n" +
				"f.yaml: document 2: line 9: metadata: must be an object, not the number 1; " +
				"line 10: spec: must be an object, not a list"},
		{"filters", "apiVersion: vrouter/v1\nkind: BGPPeer\nspec: {filters: a}\n---\napiVersion: vrouter/v1\nkind: BGPPeer\nspec: {filters: [1, null, a]}\n", 0,
			"f.yaml: document 1: line 3: spec.filters: must be a list, not the text \"a\"\n" +
				"f.yaml: document 2: line 7: spec.filters[0]: must be a text, not the number 1; " +
				"line 7: spec.filters[1]: must be a text, not null"},
		{"items twice", "kind: List\nitems: []\nitems: []\n", 0, "f.yaml: line 3: items: given twice"},
		{"merge keys", "a: &a {b: c}\nd: {<<: *a}\n---\n" + head, 1,
			"f.yaml: document 1: line 2: merge keys (<<) are not read; write the fields out"},
		{"keys that are no text", "? [a]\n: b\n", 0, "f.yaml: line 1: a key must be a text"},
		{"tags", head + "spec: {bgp: !!binary YQ==}\n", 0,
			"f.yaml: line 4: spec.bgp: values of type !!binary are not read"},
		{"no object", "hello\n", 0, `f.yaml: line 1: must be an object, not the text "hello"`},
		{"no YAML behind YAML", head + "---\n{a: [\n", 1,
			"f.yaml: document 2: line 5: did not find expected node content"},
		{"no JSON", `{"apiVersion": "vrouter/v1", "kind": "Node"`, 0,
			"f.yaml: line 1: did not find expected ',' or '}'"},
		{"nesting", strings.Repeat("[", 200) + strings.Repeat("]", 200), 0,
			"f.yaml: line 1: the document is nested too deep"},
		{"nothing", "---\n# nothing\n---\nnull\n", 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			manifests, err := ReadManifests("f.yaml", []byte(test.data))
			got := ""
			if err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if len(manifests) != test.good {
				t.Errorf("%d good manifests, wanted %d", len(manifests), test.good)
			}
		})
	}
}

// TestAliases: anchors are read, but a few bytes do not become a billion values.
func TestAliases(t *testing.T) {
	const good = "apiVersion: vrouter/v1\nkind: Node\nmetadata: {name: n, labels: &l {a: b}, annotations: *l}\n"
	m, err := FromJSON([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	if a := MetadataOf(m.Message).Annotations["a"]; a != "b" {
		t.Errorf("the annotation is %q", a)
	}
	bomb := "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
	for i := 1; i < 9; i++ {
		one := "*a" + string(rune('0'+i-1)) + ","
		bomb += "a" + string(rune('0'+i)) + ": &a" + string(rune('0'+i)) + " [" + strings.Repeat(one, 10) + "]\n"
	}
	for _, data := range []string{bomb, "a: &a [*a]\n"} {
		if _, err := ReadManifests("f.yaml", []byte(data)); err == nil {
			t.Error("a bomb was read")
		} else {
			t.Log(err)
		}
	}
}

func TestFromJSON(t *testing.T) {
	for data, want := range map[string]string{
		"":     "0 objects where one is wanted",
		"[]":   "0 objects where one is wanted",
		"null": "0 objects where one is wanted",
		`{"apiVersion": "vrouter/v1", "kind": "Node"} {"apiVersion": "vrouter/v1", "kind": "Node"}`: "2 objects where one is wanted",
		`{"apiVersion": "vrouter/v1", "kind": "Node", "x": 1}`:                                      "line 1: x: unknown field",
	} {
		_, err := FromJSON([]byte(data))
		if err == nil || err.Error() != want {
			t.Errorf("%s: %v, wanted %s", data, err, want)
		}
	}
}

func TestWarnings(t *testing.T) {
	m, err := FromJSON([]byte(`{"apiVersion": "vrouter/v1", "kind": "IPPool", "status": {"conditions": []},
		"metadata": {"name": "p", "uid": "x", "creationTimestamp": null, "resourceVersion": "7", "generation": 2,
		"managedFields": [{}], "ownerReferences": [{}], "finalizers": ["x"]}, "spec": {"cidr": "10.0.0.0/8", "nodeSelector": ""}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"status: ignored, the server sets it", "metadata.uid: ignored, the server sets it",
		"metadata.generation: ignored, the server sets it", "metadata.managedFields: ignored, the server sets it",
		"metadata.ownerReferences: ignored, the server sets it", "metadata.finalizers: ignored, the server sets it",
	}
	if diff := cmp.Diff(want, m.Warnings); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	text, err := ToYAML(m.Message)
	if err != nil {
		t.Fatal(err)
	}
	wantText := "apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata:\n  name: p\n  resourceVersion: '7'\nspec:\n  cidr: 10.0.0.0/8\n"
	if diff := cmp.Diff(wantText, string(text)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestUnsupported(t *testing.T) {
	_, err := FromJSON([]byte("apiVersion: vrouter/v1\nkind: StagedKubernetesNetworkPolicy\n"))
	var invalid *Invalid
	if !errors.As(err, &invalid) || !invalid.Unsupported() {
		t.Errorf("%v is not unsupported", err)
	}
	if (&Invalid{}).Unsupported() || (&Invalid{Problems: []Problem{{Unsupported: true}, {}}}).Unsupported() {
		t.Error("what is wrong counts as unsupported")
	}
}
