package resource

import (
	"fmt"
	"strings"
)

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
