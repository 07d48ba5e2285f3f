package resource

import (
	"maps"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

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
		LabelsToApply: maps.Clone(spec.GetLabelsToApply()),
	}
}
