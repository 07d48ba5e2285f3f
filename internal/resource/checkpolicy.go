package resource

import (
	"math"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/selector"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// Values of policies' fields.
const (
	typeIngress = "Ingress"
	typeEgress  = "Egress"
	// hintEverywhere is the only hint of Calico's: have the policy ready on
	// every node. It changes no verdict, and nothing here.
	hintEverywhere = "AssumeNeededOnEveryNode"
)

func (p *problems) policy(meta Meta, spec *policySpec) *Policy {
	policy := &Policy{
		Meta: meta, Tier: spec.tierName(), Order: p.order("spec.order", spec.order),
		DoNotTrack: spec.doNotTrack, PreDNAT: spec.preDNAT, ApplyOnForward: spec.applyOnForward,
	}
	p.err("spec.tier", checkDNSLabel(policy.Tier))
	p.err("metadata.name", checkPolicyName(meta.Name, policy.Tier))
	p.hints(spec.hints)
	if spec.stagedAction != nil {
		policy.Staged = p.stagedAction(textAt(spec.stagedAction))
	}
	policy.Selector = subject{
		namespace:         meta.Namespace,
		own:               p.selector("spec.selector", spec.selector),
		accountLabel:      p.selector("spec.serviceAccountSelector", spec.accountSelector),
		namespaceSelector: p.selector("spec.namespaceSelector", spec.nsSelector),
	}.selector()
	p.points(spec)
	if spec.deletes() {
		p.deletion(spec)
		return policy
	}
	types := *spec.types
	if len(types) == 0 {
		types = spec.derivedTypes()
	}
	p.policyTypes(types, spec.preDNAT)
	policy.IngressType, policy.EgressType = slices.Contains(types, typeIngress), slices.Contains(types, typeEgress)
	policy.Ingress = p.policyRules("spec.ingress", spec.ingress, meta.Namespace, DirectionIngress)
	policy.Egress = p.policyRules("spec.egress", spec.egress, meta.Namespace, DirectionEgress)
	return policy
}

// order reads an order; none comes last.
func (p *problems) order(path string, order *float64) float64 {
	if order == nil {
		return NoOrder()
	}
	if math.IsNaN(*order) || math.IsInf(*order, 0) {
		p.addf(path, "not a number")
	}
	return *order
}

func (p *problems) hints(hints []string) {
	for i, hint := range hints {
		switch {
		case hint != hintEverywhere:
			p.addf(index("spec.performanceHints", i), "%q is not %s", hint, hintEverywhere)
		case i > 0:
			p.addf(index("spec.performanceHints", i), "%q is listed twice", hint)
		}
	}
}

func (p *problems) stagedAction(text string) StagedAction {
	const path = "spec.stagedAction"
	switch text {
	case "", string(StagedSet):
		return StagedSet
	case string(StagedDelete):
		return StagedDelete
	case "Learn", "Ignore":
		p.unsupported(true, path, string(StagedSet)+" or "+string(StagedDelete))
	default:
		p.addf(path, "%q is none of %s, %s, Learn, Ignore", text, StagedSet, StagedDelete)
	}
	return StagedSet
}

// deletion refuses what a policy says that is to be gone.
func (p *problems) deletion(spec *policySpec) {
	for _, f := range []struct {
		given bool
		field string
	}{
		{spec.order != nil, "order"}, {spec.selector != nil, "selector"}, {len(*spec.types) > 0, "types"},
		{spec.accountSelector != nil, "serviceAccountSelector"}, {spec.nsSelector != nil, "namespaceSelector"},
		{len(spec.ingress) > 0, "ingress"}, {len(spec.egress) > 0, "egress"}, {len(spec.hints) > 0, "performanceHints"},
		{spec.doNotTrack, "doNotTrack"}, {spec.preDNAT, "preDNAT"}, {spec.applyOnForward, "applyOnForward"},
	} {
		if f.given {
			p.addf("spec."+f.field, "must be empty when spec.stagedAction is %s", StagedDelete)
		}
	}
}

// points checks what the points of evaluation on a host endpoint ask for.
func (p *problems) points(spec *policySpec) {
	if spec.doNotTrack && spec.preDNAT {
		p.addf("spec.preDNAT", "cannot be together with spec.doNotTrack")
	}
	if spec.preDNAT && len(spec.egress) > 0 {
		p.addf("spec.egress", "must be empty when spec.preDNAT is true")
	}
	if (spec.doNotTrack || spec.preDNAT) && !spec.applyOnForward {
		p.addf("spec.applyOnForward", "must be true when spec.doNotTrack or spec.preDNAT is")
	}
}

func (p *problems) policyTypes(types []string, preDNAT bool) {
	const path = "spec.types"
	for i, t := range types {
		switch {
		case t != typeIngress && t != typeEgress:
			p.addf(index(path, i), "%q is none of %s, %s", t, typeIngress, typeEgress)
		case slices.Contains(types[:i], t):
			p.addf(index(path, i), "%q is listed twice", t)
		case t == typeEgress && preDNAT && !p.has("spec.egress"):
			p.addf(index(path, i), "must not be %s when spec.preDNAT is true", typeEgress)
		}
	}
}

// selector reads a selector that is nil when it is absent, or wrong, which is
// reported.
func (p *problems) selector(path string, text *string) *selector.Selector {
	sel, err := parseSelector(text)
	p.err(path, err)
	return sel
}

// policyKind is Check for the kinds of policy.
func (p *problems) policyKind(meta Meta, msg proto.Message) Object {
	switch m := msg.(type) {
	case *vrouterv1.Tier:
		return p.tier(meta, m.GetSpec())
	case *vrouterv1.Profile:
		return p.profile(meta, m.GetSpec())
	case *vrouterv1.NetworkSet:
		return p.networkSet(meta, m.GetSpec().GetNets())
	case *vrouterv1.GlobalNetworkSet:
		return p.networkSet(meta, m.GetSpec().GetNets())
	case *vrouterv1.HostEndpoint:
		return p.hostEndpoint(meta, m.GetSpec())
	case *vrouterv1.ServiceAccount:
		return &ServiceAccount{Meta: meta}
	case *vrouterv1.Service:
		return p.service(meta, m.GetSpec())
	case *vrouterv1.AgentConfiguration:
		return p.agent(meta, m.GetSpec())
	}
	return p.policy(meta, policySpecOf(msg))
}
