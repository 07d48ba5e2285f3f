package controller

import "github.com/prometheus/client_golang/prometheus"

// descriptions of the metrics.
type descriptions struct {
	leads, terms, elections, groups, problems *prometheus.Desc
	suspects, addresses, blocks               *prometheus.Desc
}

func newDescriptions() descriptions {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("vrouter_"+name, help, nil, nil)
	}
	return descriptions{
		leads:     desc("controller_leads", "Whether this controller leads (1) or waits to (0)."),
		terms:     desc("controller_terms_total", "How often this controller became leader."),
		elections: desc("controller_elections_total", "Memberships of reflector groups that it changed."),
		groups:    desc("controller_reflector_groups", "Reflector groups that it looks after while it leads."),
		problems:  desc("controller_reflector_group_problems", "What their statuses complain of, such as too few candidates."),
		suspects:  desc("controller_ipam_suspects", "Handles and blocks that seem to be of no use, and are watched."),
		addresses: desc("controller_ipam_addresses_collected_total", "Leaked addresses that it released."),
		blocks:    desc("controller_ipam_blocks_collected_total", "Blocks that it took from dead nodes, or removed empty."),
	}
}

// Describe implements prometheus.Collector.
func (c *Controller) Describe(ch chan<- *prometheus.Desc) {
	d := newDescriptions()
	for _, one := range []*prometheus.Desc{d.leads, d.terms, d.elections, d.groups, d.problems, d.suspects, d.addresses, d.blocks} {
		ch <- one
	}
}

// Collect implements prometheus.Collector.
func (c *Controller) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	s := c.stats
	c.mu.Unlock()
	d := newDescriptions()
	leads := 0.0
	if s.leads {
		leads = 1
	}
	ch <- prometheus.MustNewConstMetric(d.leads, prometheus.GaugeValue, leads)
	ch <- prometheus.MustNewConstMetric(d.terms, prometheus.CounterValue, float64(s.terms))
	ch <- prometheus.MustNewConstMetric(d.elections, prometheus.CounterValue, float64(s.elections))
	ch <- prometheus.MustNewConstMetric(d.groups, prometheus.GaugeValue, float64(s.groups))
	ch <- prometheus.MustNewConstMetric(d.problems, prometheus.GaugeValue, float64(s.problems))
	ch <- prometheus.MustNewConstMetric(d.suspects, prometheus.GaugeValue, float64(s.suspects))
	ch <- prometheus.MustNewConstMetric(d.addresses, prometheus.CounterValue, float64(s.addresses))
	ch <- prometheus.MustNewConstMetric(d.blocks, prometheus.CounterValue, float64(s.blocks))
}
