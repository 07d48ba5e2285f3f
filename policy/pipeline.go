package policy

import "github.com/projectvrouter/vrouter/internal/resource"

// Policy is a policy or a profile that something on this host is subject to.
type Policy struct {
	ID resource.ID
	// Staged: what its rules would do is counted, and nothing is done.
	Staged          bool
	Ingress, Egress []Rule
}

// Rules returns the rules of a direction.
func (p *Policy) Rules(d Direction) []Rule {
	if d == Ingress {
		return p.Ingress
	}
	return p.Egress
}

// Pipeline is the whole of a decision in one direction at one point. Endpoints
// that the same policies select share one. Each tier is gone through in order;
// then the profiles are; then End holds.
type Pipeline struct {
	ID        string // 26 characters of 0-9 and a-v made of all that follows
	Direction Direction
	Tiers     []Tier
	Profiles  []resource.ID // each its rules, as a policy's; Pass ends with End
	End       Action        // Deny, or Pass: the packet goes on as if there were no policy
}

// Tier is the part of a tier that selects the endpoints of a pipeline in its
// direction.
type Tier struct {
	Name     string
	Policies []Ref // in order
	// End is what happens after the last rule: Deny, or Pass to the next tier.
	// It is Pass where no policy is enforced, whatever the tier's own default.
	End Action
}

// Ref refers to a policy of an Update or of one before.
type Ref struct {
	ID     resource.ID
	Staged bool
}
