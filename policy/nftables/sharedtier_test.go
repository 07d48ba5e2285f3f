package nftables

import (
	"fmt"
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/policy"
)

// longTier gives the workloads an ingress tier of many policies, before one
// that allows: all of it empty but for the rules of the last policy.
func longTier(end policy.Action, list ...policy.Rule) func(*policy.Update) {
	return func(u *policy.Update) {
		tiers(end, nil, []policy.Rule{{Action: policy.Allow}})(u)
		long := &u.Pipelines["ingress"].Tiers[0]
		long.Policies = nil
		for i := range manyPolicies {
			p := &policy.Policy{ID: policyID(fmt.Sprint("long-", i))}
			if i == manyPolicies-1 {
				p.Ingress = list
			}
			u.Policies[p.ID] = p
			long.Policies = append(long.Policies, policy.Ref{ID: p.ID})
		}
	}
}

func TestLongTier(t *testing.T) {
	s := newSite(t, 3)
	first := policy.Side{Nets: prefixes("10.65.0.1/32", "fd00:65::1/128")}
	runCases(t, s, []verdictCase{
		{"pass", longTier(policy.Deny, policy.Rule{Action: policy.Pass, Source: first}), []probe{"w1 > w2 ping", "w3 !> w2 ping"}},
		{"deny", longTier(policy.Pass, policy.Rule{Action: policy.Deny, Source: first}), []probe{"w1 !> w2 ping", "w3 > w2 ping"}},
		{"no rule", longTier(policy.Deny), []probe{"w1 !> w2 ping"}},
	})
}

// TestSharedTier has pipelines come and go that have a long tier in common.
func TestSharedTier(t *testing.T) {
	s, m := newState(), newModel()
	apply := func(u *policy.Update, want int) {
		t.Helper()
		m.take(s.render(s.merge(u), m.planned))
		got := 0
		for name := range m.chains {
			if strings.HasPrefix(name, "tier-") {
				got++
			}
		}
		if got != want || len(s.tiers) != want {
			t.Errorf("%d chains of tiers, %d known, want %d", got, len(s.tiers), want)
		}
	}
	u := baseUpdate(0)
	longTier(policy.Deny)(u)
	one := u.Pipelines["ingress"]
	two, other := *one, *one
	two.ID, other.ID = "two", "two"
	other.Tiers = []policy.Tier{one.Tiers[0]}
	other.Tiers[0].Policies = append([]policy.Ref{{ID: policyID("tier-a")}}, one.Tiers[0].Policies...)
	u.Pipelines["two"] = &two
	pipeline := func(id string, p *policy.Pipeline) *policy.Update {
		return &policy.Update{Pipelines: map[string]*policy.Pipeline{id: p}}
	}
	apply(u, 1)
	apply(pipeline("two", &other), 2)
	apply(pipeline("ingress", nil), 1)
	apply(pipeline("two", &two), 1)
	passes := &policy.Policy{ID: policyID("long-3"), Ingress: []policy.Rule{{Action: policy.Pass}}}
	apply(&policy.Update{Policies: map[resource.ID]*policy.Policy{passes.ID: passes}}, 1)
	for name, text := range m.chains {
		if strings.HasPrefix(name, "tier-") && !strings.Contains(text, "return") {
			t.Errorf("nothing leaves the tier for a policy that passes now:\n%s", text)
		}
	}
	apply(pipeline("two", nil), 0)
}
