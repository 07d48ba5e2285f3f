package agent

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// policyDescriptions are of a host that enforces policy.
type policyDescriptions struct {
	inForce, applied, refused, readBacks, duration, problems, cut *prometheus.Desc
}

func newPolicyDescriptions() policyDescriptions {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("vrouter_"+name, help, nil, nil)
	}
	return policyDescriptions{
		inForce:   desc("policy_in_force", "Whether the kernel took what was resolved last (1), or keeps an older state (0)."),
		applied:   desc("policy_updates_total", "Updates that the kernel took."),
		refused:   desc("policy_refused_total", "Updates and read-backs that the kernel refused."),
		readBacks: desc("policy_read_backs_total", "Complete reads of what the kernel enforces."),
		duration:  desc("policy_update_seconds", "How long the last update or read took."),
		problems:  desc("policy_problems", "Objects that are stored and not in force as they were meant."),
		cut:       desc("policy_connections_cut_total", "Connections that were cut because policy no longer allowed them."),
	}
}

func (d policyDescriptions) all() []*prometheus.Desc {
	return []*prometheus.Desc{d.inForce, d.applied, d.refused, d.readBacks, d.duration, d.problems, d.cut}
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
	for i, problem := range p.Resolver.Problems() {
		if i == shownProblems {
			return append(all, "and more objects of policy that are not in force as they were meant")
		}
		all = append(all, problem.String())
	}
	return all
}
