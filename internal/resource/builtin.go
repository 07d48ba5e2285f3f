package resource

import (
	"google.golang.org/protobuf/proto"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// The tiers that are always there, and the one of policies that name none.
const (
	DefaultTier  = "default"
	tierAdmin    = "kube-admin"
	tierBaseline = "kube-baseline"
)

// DefaultAllow is the profile that is always there and allows everything.
const DefaultAllow = "projectcalico-default-allow"

// tierSpec is what cannot be changed of a tier that is always there.
type tierSpec struct {
	name   string
	order  float64
	action Action
}

func builtInTiers() []tierSpec {
	return []tierSpec{
		{tierAdmin, 1_000, ActionPass},
		{DefaultTier, 1_000_000, ActionDeny},
		{tierBaseline, 10_000_000, ActionPass},
	}
}

// builtInTier returns the tier of that name that is always there; nil if it is
// none of them.
func builtInTier(name string) *tierSpec {
	for _, t := range builtInTiers() {
		if t.name == name {
			return &t
		}
	}
	return nil
}

// BuiltIn returns the raw objects of a kind that are always there, stored or
// not, in canonical form and in the order of their names.
func BuiltIn(kind Kind) []proto.Message {
	var list []proto.Message
	switch kind {
	case KindTier:
		for _, name := range []string{DefaultTier, tierAdmin, tierBaseline} {
			list = append(list, &vrouterv1.Tier{Metadata: &vrouterv1.Metadata{Name: proto.String(name)}})
		}
	case KindProfile:
		allow := []*vrouterv1.Rule{{Action: proto.String(ActionAllow.String())}}
		list = append(list, &vrouterv1.Profile{
			Metadata: &vrouterv1.Metadata{Name: proto.String(DefaultAllow)},
			Spec:     &vrouterv1.ProfileSpec{Ingress: allow, Egress: allow},
		})
	}
	for _, msg := range list {
		Canonicalize(msg)
	}
	return list
}

// IsBuiltIn tells whether the object is always there. A tier may be stored, for
// its labels and annotations; a profile may not.
func IsBuiltIn(id ID) bool {
	return id.Kind == KindTier && builtInTier(id.Name) != nil || id.Kind == KindProfile && id.Name == DefaultAllow
}
