package agent

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/projectvrouter/vrouter/policy"
)

// policyDescriptions are of a host that enforces policy.
type policyDescriptions struct {
	inForce, applied, refused, readBacks, duration, problems, cut *prometheus.Desc
	packets, octets                                               *prometheus.Desc
}

func newPolicyDescriptions() policyDescriptions {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("vrouter_"+name, help, labels, nil)
	}
	counted := []string{"policy", "tier", "action"}
	return policyDescriptions{
		inForce:   desc("policy_in_force", "Whether the kernel took what was resolved last (1), or keeps an older state (0)."),
		applied:   desc("policy_updates_total", "Updates that the kernel took."),
		refused:   desc("policy_refused_total", "Updates and read-backs that the kernel refused."),
		readBacks: desc("policy_read_backs_total", "Complete reads of what the kernel enforces."),
		duration:  desc("policy_update_seconds", "How long the last update or read took."),
		problems:  desc("policy_problems", "Objects that are stored and not in force as they were meant."),
		cut:       desc("policy_connections_cut_total", "Connections that were cut because policy no longer allowed them."),
		packets:   desc("policy_packets_total", "Packets that rules of a policy matched; of a staged one, would have.", counted...),
		octets:    desc("policy_bytes_total", "Octets of these packets.", counted...),
	}
}

func (d policyDescriptions) all() []*prometheus.Desc {
	return []*prometheus.Desc{d.inForce, d.applied, d.refused, d.readBacks, d.duration, d.problems, d.cut, d.packets, d.octets}
}

func (a *Agent) collectPolicy(c collector) {
	d, s := newPolicyDescriptions(), a.opts.Policing.Table.Stats()
	c.gauge(d.inForce, one(s.Problem == nil && s.Synced > 0))
	c.counter(d.applied, float64(s.Applied))
	c.counter(d.refused, float64(s.Failed))
	c.counter(d.readBacks, float64(s.Synced))
	c.gauge(d.duration, s.Duration.Seconds())
	c.gauge(d.problems, float64(len(a.opts.Policing.Resolver.Problems())))
	if a.cutting != nil {
		c.counter(d.cut, float64(a.cutting.cut.Load()))
	}
	a.collectCounters(c, d)
}

// countersTime bounds how long a scrape waits for the kernel's counters.
const countersTime = 5 * time.Second

// collectCounters tells what policies have counted: those that an endpoint of
// this host is subject to, so that there are no more labels than that. Without
// an answer of the kernel nothing is told.
func (a *Agent) collectCounters(c collector, d policyDescriptions) {
	ctx, cancel := context.WithTimeout(context.Background(), countersTime)
	defer cancel()
	answer, err := a.PolicyCounters(ctx, "")
	if err != nil {
		return
	}
	for _, p := range answer.GetPolicies() {
		var packets, octets [4]float64 // by action
		for _, r := range p.GetRules() {
			i := slices.Index(countedActions(), r.GetAction())
			if i < 0 {
				continue
			}
			packets[i] += float64(r.GetPackets())
			octets[i] += float64(r.GetBytes())
		}
		for i, action := range countedActions() {
			if packets[i] > 0 {
				c.counter(d.packets, packets[i], p.GetPolicy(), p.GetTier(), action)
				c.counter(d.octets, octets[i], p.GetPolicy(), p.GetTier(), action)
			}
		}
	}
}

func countedActions() []string {
	return []string{policy.Allow.String(), policy.Deny.String(), policy.Pass.String(), policy.Log.String()}
}

// policyProblems says what of policy is not in force as it was meant.
func (a *Agent) policyProblems() []string {
	p := a.opts.Policing
	if p == nil {
		return nil
	}
	var all []string
	if err := p.Table.Stats().Problem; err != nil {
		all = append(all, fmt.Sprintf("policy: the kernel refuses the latest state, an older one is in force: %v", err))
	}
	if a.firewalls != nil {
		all = append(all, a.firewalls.Problems()...)
	}
	for i, problem := range p.Resolver.Problems() {
		if i == shownProblems {
			return append(all, "and more objects of policy that are not in force as they were meant")
		}
		all = append(all, problem.String())
	}
	return all
}
