package controller

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/projectvrouter/vrouter/ipam"
)

// metric is one of the numbers of a controller, as it is shown.
type metric struct {
	name, help     string
	labels, values []string
	kind           prometheus.ValueType
	number         float64
}

func gauge(name, help string, number float64) metric {
	return metric{name: name, help: help, kind: prometheus.GaugeValue, number: number}
}

func counter(name, help string, number int) metric {
	return metric{name: name, help: help, kind: prometheus.CounterValue, number: float64(number)}
}

// by gives a metric one label more.
func (m metric) by(label, value string) metric {
	m.labels, m.values = append(slices.Clip(m.labels), label), append(slices.Clip(m.values), value)
	return m
}

func (m metric) desc() *prometheus.Desc {
	return prometheus.NewDesc("vrouter_"+m.name, m.help, m.labels, nil)
}

// metrics are all that a controller counts.
func (s *stats) metrics() []metric {
	leads := 0.0
	if s.leads {
		leads = 1
	}
	return append([]metric{
		gauge("controller_leads", "Whether this controller leads (1) or waits to (0).", leads),
		counter("controller_terms_total", "How often this controller became leader.", s.terms),
		counter("controller_elections_total", "Memberships of reflector groups that it changed.", s.elections),
		gauge("controller_reflector_groups", "Reflector groups that it looks after while it leads.", float64(s.groups)),
		gauge("controller_reflector_group_problems", "What their statuses complain of, such as too few candidates.", float64(s.problems)),
		gauge("controller_host_endpoints", "HostEndpoints of nodes that it looks after.", float64(s.hostEndpoints)),
		gauge("controller_host_endpoint_problems", "HostEndpoints that it would make, and whose names are taken.", float64(s.hostProblems)),
	}, s.collection.metrics()...)
}

func (c *collection) metrics() []metric {
	suspects := func(kind string, n int) metric {
		return gauge("controller_ipam_suspects", "What seems to be of no use, and is watched.", float64(n)).by("kind", kind)
	}
	rounds := func(result string, n int) metric {
		return counter("controller_ipam_rounds_total", "Rounds of looking for what is of no use.", n).by("result", result)
	}
	addresses := func(owner string, n int) metric {
		return counter("controller_ipam_addresses_collected_total", "Leaked addresses that it released, by what they were for.", n).by("owner", owner)
	}
	blocks := func(kind string, n int) metric {
		return counter("controller_ipam_blocks_collected_total", "Blocks that it took from dead nodes, or removed empty.", n).by("kind", kind)
	}
	done := c.collected
	all := []metric{
		gauge("controller_ipam_grace_seconds", "For how long what is collected must be of no use; 0: nothing is.", c.graceSeconds),
		suspects("handle", c.suspects.Leaks), suspects("block_of_dead_node", c.suspects.Dead), suspects("empty_block", c.suspects.Empty),
		gauge("controller_ipam_left", "What was ready to be collected, and left to later rounds.", float64(c.left)),
		rounds("done", c.rounds), rounds("failed", c.failed),
		addresses("endpoint", done.Addresses-done.Tunnels-done.LoadBalancers), addresses("tunnel", done.Tunnels),
		addresses("loadBalancer", done.LoadBalancers),
		blocks("dead_node", done.Dead), blocks("empty", done.Empty),
		counter("controller_ipam_spared_total", "What was used again, or had changed, when it was to be collected.", done.Spared),
		counter("controller_ipam_addresses_adopted_total", "Addresses of endpoints older than blocks that it took in.", c.adopted),
		gauge("controller_ipam_round_seconds", "How long the last round took.", c.seconds),
	}
	for pool, size := range c.sizes {
		all = append(all, gauge("controller_ipam_pool_addresses", "Addresses of a pool, used or not.", size).by("pool", pool))
	}
	for part, filled := range c.parts {
		of := func(m metric) metric { return m.by("pool", part.Pool).by("node", part.Node) }
		all = append(all, of(gauge("controller_ipam_blocks", "Blocks of a node in a pool.", float64(filled.Blocks))),
			of(gauge("controller_ipam_addresses_in_use", "Addresses of a node's blocks that are held.", float64(filled.InUse))))
	}
	return all
}

// Describe implements prometheus.Collector.
func (c *Controller) Describe(ch chan<- *prometheus.Desc) {
	told := make(map[string]bool)
	sample := &stats{collection: collection{parts: map[ipam.Part]ipam.Filled{{}: {}}, sizes: map[string]float64{"": 0}}}
	for _, m := range sample.metrics() {
		if !told[m.name] {
			told[m.name] = true
			ch <- m.desc()
		}
	}
}

// Collect implements prometheus.Collector.
func (c *Controller) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	s := c.stats
	c.mu.Unlock()
	for _, m := range s.metrics() {
		ch <- prometheus.MustNewConstMetric(m.desc(), m.kind, m.number, m.values...)
	}
}
