package resource

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/projectvrouter/vrouter/internal/selector"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// FuzzRuleValues: ports and protocols of rules have one canonical form, which
// means the same.
func FuzzRuleValues(f *testing.F) {
	for _, seed := range []string{"80", "1:65535", "9:9", "http", "tcp", "ICMPv6", "58", "0", "1:", ":1", "65536", "+1", "1e3", "a:b", " 1"} {
		f.Add(seed, 0.0)
	}
	for _, seed := range []float64{1, 65535, 65536, 0.5, -1, 1e300} {
		f.Add("", seed)
	}
	f.Fuzz(func(t *testing.T, text string, number float64) {
		for _, v := range []*structpb.Value{structpb.NewStringValue(text), structpb.NewNumberValue(number)} {
			port, err := parsePort(v)
			once := proto.Clone(v).(*structpb.Value)
			canonicalizePort(once)
			again, againErr := parsePort(once)
			if port != again || (err == nil) != (againErr == nil) {
				t.Errorf("%v is %v, %v; canonical %v is %v, %v", v, port, err, once, again, againErr)
			}
			if err == nil && port.Name == "" && (port.First == 0 || port.First > port.Last) {
				t.Errorf("%v is read as %v", v, port)
			}
			protocol, err := parseProtocol(v)
			once = proto.Clone(v).(*structpb.Value)
			canonicalizeProtocol(once)
			if p, againErr := parseProtocol(once); p != protocol || (err == nil) != (againErr == nil) || err == nil && p == 0 {
				t.Errorf("%v is %v, %v; canonical %v is %v, %v", v, protocol, err, once, p, againErr)
			}
		}
	})
}

// FuzzPolicySelectors: the selector of a policy, and that of an end of a rule,
// match what the fields that they are made of match together.
func FuzzPolicySelectors(f *testing.F) {
	f.Add("role == 'web'", "has(team)", "all()", "", true)
	f.Add("a || b", "global()", "x in {'y'}", "!has(z)", false)
	f.Add("all()", "!all()", "", "has(a)", false)
	objects := []map[string]string{
		{"role": "web", LabelNamespace: "ns", "pcns.team": "x", LabelServiceAccount: "sa", "pcsa.x": "y"},
		{"role": "web", LabelNamespace: "other", "a": "b"},
		{"role": "web"},
		nil,
	}
	f.Fuzz(func(t *testing.T, own, namespace, account, not string, scoped bool) {
		end := &vrouterv1.EntityRule{Selector: &own, NamespaceSelector: &namespace, NotSelector: &not,
			ServiceAccounts: &vrouterv1.ServiceAccountMatch{Selector: &account}}
		scope := ""
		if scoped {
			scope = "ns"
		}
		var p problems
		e := p.entity("", end, scope)
		if len(p.list) > 0 {
			return
		}
		if e.Selector == nil {
			if own != "" || namespace != "" || account != "" || not != "" && scoped {
				t.Fatalf("any address for %v", end)
			}
			return
		}
		parse := func(text string) *selector.Selector {
			sel, err := selector.Parse(text)
			if err != nil {
				t.Fatalf("%q was accepted: %v", text, err)
			}
			return sel
		}
		inAny := selector.Has(LabelNamespace)
		for _, labels := range objects {
			_, placed := labels[LabelNamespace]
			want := parse(own).Matches(labels)
			if account != "" {
				want = want && parse(account).WithPrefix(ServiceAccountPrefix).Matches(labels)
			}
			switch {
			case namespace != "":
				where := parse(namespace)
				switch where.String() {
				case "global()":
					want = want && !placed
				case "all()":
					want = want && placed
				default:
					want = want && where.WithPrefix(NamespacePrefix).Replace(inAny, nil).Matches(labels)
				}
			case scoped:
				want = want && labels[LabelNamespace] == "ns"
			}
			want = want && (not == "" || !parse(not).Matches(labels))
			if got := e.Selector.Matches(labels); got != want {
				t.Fatalf("%v: %s on %v: %t", end, e.Selector, labels, got)
			}
		}
		if again := parse(e.Selector.String()); again.ID() != e.Selector.ID() {
			t.Fatalf("%s and its text differ", e.Selector)
		}
	})
}
