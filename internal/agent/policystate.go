package agent

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/policy"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// PolicyState returns what the kernel enforces of an endpoint or host endpoint.
func (a *Agent) PolicyState(_ context.Context, of *vrouterv1.GetPolicyStateRequest) (*vrouterv1.GetPolicyStateResponse, error) {
	p := a.opts.Policing
	m := &vrouterv1.GetPolicyStateResponse{Policy: p.name()}
	if p == nil {
		return m, nil
	}
	p.Table.InForce(func(s *policy.State) {
		if e := of.GetEndpoint(); e != nil {
			m.Digest = s.EndpointDigest(resource.EndpointID{
				Namespace: e.GetNamespace(), Orchestrator: e.GetOrchestrator(), Workload: e.GetWorkload(), Endpoint: e.GetEndpoint(),
			})
		} else {
			m.Digest = s.HostEndpointDigest(resource.ID{Kind: resource.KindHostEndpoint, Name: of.GetHostEndpoint()})
		}
	})
	m.Enforced = m.Digest != ""
	if stats := p.Table.Stats(); stats.Problem != nil {
		m.Problem, m.RefusedSince = stats.Problem.Error(), timestamppb.New(stats.Since)
	}
	return m, nil
}

// PolicyCounters returns what the rules in force have counted.
func (a *Agent) PolicyCounters(ctx context.Context, name string) (*vrouterv1.ListPolicyCountersResponse, error) {
	p := a.opts.Policing
	m := &vrouterv1.ListPolicyCountersResponse{}
	if p == nil {
		return m, nil
	}
	counters, err := p.Table.Counters(ctx)
	if err != nil {
		return nil, fmt.Errorf("read counters of policy: %w", err)
	}
	p.Table.InForce(func(s *policy.State) { m.Policies = counted(s, counters) })
	if name != "" {
		m.Policies = slices.DeleteFunc(m.Policies, func(c *vrouterv1.PolicyCounters) bool { return c.GetPolicy() != name })
	}
	return m, nil
}

// counted puts counters to the policies that they are of, in the order of their
// names. A policy that changed meanwhile has the rules that it has now.
func counted(s *policy.State, counters []policy.Counter) []*vrouterv1.PolicyCounters {
	by := make(map[resource.ID][]policy.Counter)
	for _, c := range counters {
		by[c.Policy] = append(by[c.Policy], c)
	}
	tiers := tiersOf(s)
	var list []*vrouterv1.PolicyCounters
	for id, p := range s.Policies {
		m := &vrouterv1.PolicyCounters{Policy: id.String(), Tier: tiers[id], Staged: p.Staged}
		for _, c := range by[id] {
			m.Rules = append(m.Rules, &vrouterv1.RuleCounter{
				Direction: c.Direction.String(), Rule: int32(c.Rule), Action: actionOf(p, c),
				Packets: int64(c.Packets), Bytes: int64(c.Bytes),
			})
		}
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b *vrouterv1.PolicyCounters) int { return strings.Compare(a.GetPolicy(), b.GetPolicy()) })
	return list
}

// tiersOf returns the tier of each policy that pipelines refer to.
func tiersOf(s *policy.State) map[resource.ID]string {
	tiers := make(map[resource.ID]string)
	for _, p := range s.Pipelines {
		for _, t := range p.Tiers {
			for _, ref := range t.Policies {
				tiers[ref.ID] = t.Name
			}
		}
	}
	return tiers
}

func actionOf(p *policy.Policy, c policy.Counter) string {
	for _, r := range p.Rules(c.Direction) {
		if r.Index == c.Rule {
			return r.Action.String()
		}
	}
	return ""
}
