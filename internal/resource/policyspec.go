package resource

import (
	"google.golang.org/protobuf/proto"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

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
