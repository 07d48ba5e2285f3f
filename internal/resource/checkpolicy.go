package resource

import (
	"fmt"
	"math"
	"slices"
	"strings"

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

// policySpec is what the specs of the four kinds of policy have in common, by
// pointers into them; what a kind does not have is nil.
type policySpec struct {
	tier                        **string
	order                       *float64
	selector                    *string
	accountSelector, nsSelector *string
	types                       *[]string
	ingress, egress             []*vrouterv1.Rule
	hints                       []string
	doNotTrack, preDNAT         bool
	applyOnForward              bool
	stagedAction                **string // nil: it is enforced
}

// policySpecOf returns the parts of a policy's spec; nil if msg is none. It
// changes nothing.
func policySpecOf(msg proto.Message) *policySpec {
	switch m := msg.(type) {
	case *vrouterv1.NetworkPolicy:
		s := orEmpty(m.GetSpec(), &vrouterv1.NetworkPolicySpec{})
		return &policySpec{tier: &s.Tier, order: s.Order, selector: s.Selector, accountSelector: s.ServiceAccountSelector,
			types: &s.Types, ingress: s.Ingress, egress: s.Egress, hints: s.PerformanceHints}
	case *vrouterv1.GlobalNetworkPolicy:
		s := orEmpty(m.GetSpec(), &vrouterv1.GlobalNetworkPolicySpec{})
		return &policySpec{tier: &s.Tier, order: s.Order, selector: s.Selector, accountSelector: s.ServiceAccountSelector,
			types: &s.Types, ingress: s.Ingress, egress: s.Egress, hints: s.PerformanceHints, nsSelector: s.NamespaceSelector,
			doNotTrack: s.GetDoNotTrack(), preDNAT: s.GetPreDnat(), applyOnForward: s.GetApplyOnForward()}
	case *vrouterv1.StagedNetworkPolicy:
		s := orEmpty(m.GetSpec(), &vrouterv1.StagedNetworkPolicySpec{})
		return &policySpec{tier: &s.Tier, order: s.Order, selector: s.Selector, accountSelector: s.ServiceAccountSelector,
			types: &s.Types, ingress: s.Ingress, egress: s.Egress, hints: s.PerformanceHints, stagedAction: &s.StagedAction}
	case *vrouterv1.StagedGlobalNetworkPolicy:
		s := orEmpty(m.GetSpec(), &vrouterv1.StagedGlobalNetworkPolicySpec{})
		return &policySpec{tier: &s.Tier, order: s.Order, selector: s.Selector, accountSelector: s.ServiceAccountSelector,
			types: &s.Types, ingress: s.Ingress, egress: s.Egress, hints: s.PerformanceHints, nsSelector: s.NamespaceSelector,
			doNotTrack: s.GetDoNotTrack(), preDNAT: s.GetPreDnat(), applyOnForward: s.GetApplyOnForward(),
			stagedAction: &s.StagedAction}
	}
	return nil
}

func orEmpty[T any](spec, empty *T) *T {
	if spec == nil {
		return empty
	}
	return spec
}

// tierName returns the tier that the policy is in.
func (s *policySpec) tierName() string { return or(textAt(s.tier), DefaultTier) }

// deletes tells whether it is staged that the policy be deleted.
func (s *policySpec) deletes() bool {
	return textAt(s.stagedAction) == string(StagedDelete)
}

// derivedTypes returns the types that the rules make where none are stated.
func (s *policySpec) derivedTypes() []string {
	switch {
	case len(s.egress) == 0:
		return []string{typeIngress}
	case len(s.ingress) == 0:
		return []string{typeEgress}
	}
	return []string{typeIngress, typeEgress}
}

func textAt(text **string) string {
	if text == nil || *text == nil {
		return ""
	}
	return **text
}

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
	if len(types) > 2 {
		p.addf(path, "%d types, there are but two", len(types))
		return
	}
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

func (p *problems) tier(meta Meta, spec *vrouterv1.TierSpec) *Tier {
	if spec == nil {
		spec = &vrouterv1.TierSpec{}
	}
	if !p.has("metadata.name") {
		p.err("metadata.name", checkDNSLabel(meta.Name)) // it begins the names of policies
	}
	tier := &Tier{Meta: meta, Order: p.order("spec.order", spec.Order), DefaultAction: ActionDeny}
	builtIn := builtInTier(meta.Name)
	if builtIn != nil && spec.Order == nil {
		tier.Order = builtIn.order
	}
	switch text := spec.GetDefaultAction(); {
	case text == ActionDeny.String():
	case text == ActionPass.String():
		tier.DefaultAction = ActionPass
	case text != "":
		p.addf("spec.defaultAction", "%q is none of %s, %s", text, ActionDeny, ActionPass)
		return tier
	case builtIn != nil:
		tier.DefaultAction = builtIn.action
	}
	if builtIn != nil && tier.Order != builtIn.order && !p.has("spec.order") {
		p.addf("spec.order", "the order of tier %s is always %.0f", meta.Name, builtIn.order)
	}
	if builtIn != nil && tier.DefaultAction != builtIn.action {
		p.addf("spec.defaultAction", "the default action of tier %s is always %s", meta.Name, builtIn.action)
	}
	return tier
}

func (p *problems) profile(meta Meta, spec *vrouterv1.ProfileSpec) *Profile {
	p.labels("spec.labelsToApply", spec.GetLabelsToApply(), false)
	return &Profile{
		Meta:          meta,
		Ingress:       p.policyRules("spec.ingress", spec.GetIngress(), "", DirectionIngress),
		Egress:        p.policyRules("spec.egress", spec.GetEgress(), "", DirectionEgress),
		LabelsToApply: cloneMap(spec.GetLabelsToApply()),
	}
}

// Names of policies that other systems' policies are converted to. What
// follows is the name there; the tier is said by which it is.
const (
	prefixKubernetes = "knp.default."
	prefixOpenStack  = "ossg."
	prefixAdmin      = "kcnp.kube-admin."
	prefixBaseline   = "kcnp.kube-baseline."
)

// policyName returns the one name of a policy of a tier. In the tier default,
// NAME and default.NAME are the same.
func policyName(name, tier string) string {
	if short := strings.TrimPrefix(name, DefaultTier+"."); tier == DefaultTier && short != "" && !strings.Contains(short, ".") {
		return short
	}
	return name
}

// checkPolicyName refuses a name that says another tier than the policy is in:
// what stands before a dot is a tier.
func checkPolicyName(name, tier string) error {
	said, _, dotted := strings.Cut(name, ".")
	switch {
	case strings.HasPrefix(name, prefixKubernetes), strings.HasPrefix(name, prefixOpenStack):
		said = DefaultTier
	case strings.HasPrefix(name, prefixAdmin):
		said = tierAdmin
	case strings.HasPrefix(name, prefixBaseline):
		said = tierBaseline
	case !dotted:
		return nil
	}
	if said != tier {
		return fmt.Errorf("%q is the name of a policy in tier %s, but spec.tier is %s", name, said, tier)
	}
	return nil
}

// PolicyKinds returns the four kinds of policy.
func PolicyKinds() []Kind {
	return []Kind{KindGlobalNetworkPolicy, KindNetworkPolicy, KindStagedGlobalNetworkPolicy, KindStagedNetworkPolicy}
}

// TierOf returns the tier that a raw policy is in; empty if msg is none.
func TierOf(msg proto.Message) string {
	spec := policySpecOf(msg)
	if spec == nil {
		return ""
	}
	return spec.tierName()
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
