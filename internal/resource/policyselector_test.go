package resource

import (
	"maps"
	"testing"

	"github.com/projectvrouter/vrouter/internal/selector"
)

// TestPolicySelectors: the effective selectors, from the fields of a policy.
func TestPolicySelectors(t *testing.T) {
	const local = `projectcalico.org/namespace == "ns"`
	for _, test := range []struct {
		kind Kind
		spec string
		want string // of the policy
	}{
		{KindNetworkPolicy, "", local},
		{KindNetworkPolicy, "selector: all()", local},
		{KindNetworkPolicy, "selector: a == 'b' || has(c)", local + ` && (a == "b" || has(c))`},
		{KindNetworkPolicy, "serviceAccountSelector: a != 'b'", local + ` && pcsa.a != "b"`},
		{KindNetworkPolicy, "selector: has(x), serviceAccountSelector: has(y) || has(z)", local + ` && has(x) && (has(pcsa.y) || has(pcsa.z))`},
		{KindNetworkPolicy, "serviceAccountSelector: all()", local},
		{KindGlobalNetworkPolicy, "", "all()"},
		{KindGlobalNetworkPolicy, "selector: has(x)", "has(x)"},
		{KindGlobalNetworkPolicy, "namespaceSelector: all()", "has(projectcalico.org/namespace)"},
		{KindGlobalNetworkPolicy, "namespaceSelector: a == 'b'", `pcns.a == "b"`},
		{KindGlobalNetworkPolicy, "selector: all(), namespaceSelector: '!has(b)'", `has(projectcalico.org/namespace) && !has(pcns.b)`},
		{KindGlobalNetworkPolicy, "selector: x == 'y', namespaceSelector: all()", `x == "y" && has(projectcalico.org/namespace)`},
		{KindGlobalNetworkPolicy, "serviceAccountSelector: all()", "has(projectcalico.org/serviceaccount)"},
		{KindGlobalNetworkPolicy, "selector: all(), serviceAccountSelector: has(a)", "has(projectcalico.org/serviceaccount) && has(pcsa.a)"},
		{KindGlobalNetworkPolicy, "selector: has(x), namespaceSelector: has(a), serviceAccountSelector: has(b)", "has(x) && has(pcns.a) && has(pcsa.b)"},
		{KindStagedNetworkPolicy, "selector: has(x)", local + " && has(x)"},
		{KindStagedGlobalNetworkPolicy, "namespaceSelector: has(x)", "has(pcns.x)"},
	} {
		got, problems := check(t, object(test.kind, namedIn(test.kind), test.spec))
		if problems != "" {
			t.Errorf("%s {%s}: %s", test.kind, test.spec, problems)
		} else if sel := got.(*Policy).Selector; sel.String() != test.want {
			t.Errorf("%s {%s}: %s, wanted %s", test.kind, test.spec, sel, test.want)
		}
	}
}

// namedIn is the metadata of an object of the kind, in the namespace ns if it
// has one.
func namedIn(kind Kind) string {
	if Namespaced(kind) {
		return "x, namespace: ns"
	}
	return "x"
}

// TestRuleSelectors: the effective selectors of an end of a rule, in a policy
// with a namespace and in one without.
func TestRuleSelectors(t *testing.T) {
	const local = `projectcalico.org/namespace == "ns"`
	for _, test := range []struct {
		source         string
		scoped, global string // empty: any address
		not            string
	}{
		{"nets: [10.0.0.0/8]", "", "", ""},
		{"selector: has(a)", local + " && has(a)", "has(a)", ""},
		{"selector: all()", local, "all()", ""},
		{"notSelector: has(a)", local + " && !has(a)", "", "has(a)"},
		{"notSelector: ''", "", "", ""},
		{"selector: has(a), notSelector: has(b) || has(c)", local + " && has(a) && !(has(b) || has(c))",
			"has(a) && !(has(b) || has(c))", ""},
		{"namespaceSelector: all()", "has(projectcalico.org/namespace)", "has(projectcalico.org/namespace)", ""},
		{"namespaceSelector: global()", "!has(projectcalico.org/namespace)", "!has(projectcalico.org/namespace)", ""},
		{"namespaceSelector: 'global( )', selector: has(a)", "!has(projectcalico.org/namespace) && has(a)",
			"!has(projectcalico.org/namespace) && has(a)", ""},
		{"namespaceSelector: t == 'u', notSelector: has(b)", `pcns.t == "u" && !has(b)`, `pcns.t == "u" && !has(b)`, ""},
		{"namespaceSelector: t == 'u', selector: has(b) || has(c)", `pcns.t == "u" && (has(b) || has(c))`, `pcns.t == "u" && (has(b) || has(c))`, ""},
		{"serviceAccounts: {names: [b, a]}", local + ` && projectcalico.org/serviceaccount in {"a", "b"}`,
			`projectcalico.org/serviceaccount in {"a", "b"}`, ""},
		{"serviceAccounts: {selector: has(s), names: [a]}, selector: has(b)",
			local + ` && has(pcsa.s) && projectcalico.org/serviceaccount in {"a"} && has(b)`,
			`has(pcsa.s) && projectcalico.org/serviceaccount in {"a"} && has(b)`, ""},
		{"serviceAccounts: {}", "", "", ""},
	} {
		for kind, want := range map[Kind]string{KindNetworkPolicy: test.scoped, KindGlobalNetworkPolicy: test.global} {
			got, problems := check(t, object(kind, namedIn(kind), "ingress: [{action: Allow, source: {"+test.source+"}}]"))
			if problems != "" {
				t.Errorf("%s {%s}: %s", kind, test.source, problems)
				continue
			}
			end := got.(*Policy).Ingress[0].Source
			not := test.not
			if want != "" {
				not = "" // it is in the other
			}
			if text(end.Selector) != want || text(end.NotSelector) != not {
				t.Errorf("%s {%s}: %s, not %s, wanted %s, not %s", kind, test.source, end.Selector, end.NotSelector, want, not)
			}
		}
	}
}

func text(s *selector.Selector) string {
	if s == nil {
		return ""
	}
	return s.String()
}

// TestLabelView: what is where cannot be said by own labels, and all() of a
// namespaceSelector matches nothing that is in no namespace.
func TestLabelView(t *testing.T) {
	w := &WorkloadEndpoint{
		Meta:     Meta{ID: ID{Namespace: "ns"}, Labels: map[string]string{"a": "b", LabelNamespace: "elsewhere"}},
		Endpoint: EndpointID{Namespace: "ns", Orchestrator: "k8s"}, ServiceAccount: "web",
	}
	want := map[string]string{"a": "b", LabelNamespace: "ns", LabelOrchestrator: "k8s", LabelServiceAccount: "web"}
	if got := EndpointLabels(w); !maps.Equal(got, want) {
		t.Errorf("an endpoint shows %v", got)
	}
	set := &NetworkSet{Meta: Meta{ID: ID{Namespace: "ns"}, Labels: map[string]string{"a": "b"}}}
	if got := NetworkSetLabels(set); got[LabelNamespace] != "ns" || got["a"] != "b" {
		t.Errorf("a set shows %v", got)
	}
	if got := NamespaceLabels("ns", map[string]string{"t": "u"}); !maps.Equal(got, map[string]string{"pcns.t": "u", "pcns.projectcalico.org/name": "ns"}) {
		t.Errorf("a namespace shows %v", got)
	}
	if got := ServiceAccountLabels("web", nil); !maps.Equal(got, map[string]string{"pcsa.projectcalico.org/name": "web"}) {
		t.Errorf("a service account shows %v", got)
	}
	all, _ := peer{namespaceSelector: selector.All()}.selectors()
	global := &NetworkSet{Meta: Meta{Labels: map[string]string{"a": "b"}}}
	if all.Matches(NetworkSetLabels(global)) || !all.Matches(EndpointLabels(w)) {
		t.Errorf("%s is not what has a namespace", all)
	}
}
