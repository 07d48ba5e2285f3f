package agent

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/fib"
	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/version"
	"github.com/projectvrouter/vrouter/reflector"
)

// Descriptions of the metrics. They are read when somebody asks, from the
// engines themselves, so that they cannot drift from what these do.
type descriptions struct {
	build, revision, lag, reachable, undecodable            *prometheus.Desc
	endpoints, reached                                      *prometheus.Desc
	peerUp, peerTransitions, received, accepted, advertised *prometheus.Desc
	endOfRIB, stale                                         *prometheus.Desc
	wanted, programmed, nextHopSets                         *prometheus.Desc
	originEver, originNow                                   *prometheus.Desc
	writes, refused, foreign, readBacks, lastReadBack       *prometheus.Desc
}

func newDescriptions() descriptions {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("vrouter_"+name, help, labels, nil)
	}
	peer := []string{"peer", "address", "family"}
	return descriptions{
		build:           desc("build_info", "Always 1; the label is the version.", "version"),
		revision:        desc("store_revision", "Revision of the store up to which this node has seen everything."),
		lag:             desc("store_revision_lag", "Revisions that the store is ahead of this node, as far as it has said."),
		reachable:       desc("store_reachable", "Whether the store was followed and answered last (1) or not (0)."),
		undecodable:     desc("store_objects_undecodable", "Stored objects that this version cannot use."),
		endpoints:       desc("endpoints", "Endpoints of this node."),
		reached:         desc("endpoints_reached", "Endpoints of this node that have reached a stage, or a later one.", "stage"),
		peerUp:          desc("bgp_peer_established", "Whether the session is Established (1) or not (0).", peer...),
		peerTransitions: desc("bgp_peer_established_total", "How often the session came up.", peer...),
		received:        desc("bgp_peer_prefixes_received", "Prefixes that the peer told.", peer...),
		accepted:        desc("bgp_peer_prefixes_accepted", "Prefixes that passed the import policy.", peer...),
		advertised:      desc("bgp_peer_prefixes_advertised", "Prefixes that were told to the peer.", peer...),
		endOfRIB:        desc("bgp_peer_end_of_rib", "Whether the peer has told everything (1) or not (0) since the session came up.", peer...),
		stale:           desc("bgp_peer_prefixes_stale", "Prefixes of the peer kept over its restart.", peer...),
		wanted:          desc("fib_routes_wanted", "Routes that a source wants.", "source"),
		programmed:      desc("fib_routes_programmed", "Routes of a source that the kernel holds.", "source"),
		nextHopSets:     desc("fib_next_hop_sets", "Sets of BGP next hops in use."),
		originEver:      desc("reflector_origin_refused_total", "Paths that were refused for their origin, or in mode Log would have been, by reason.", "reason"),
		originNow:       desc("reflector_origin_refused", "Paths that are refused for their origin now, or in mode Log would be, by reason.", "reason"),
		writes:          desc("fib_writes_total", "Changes asked of the kernel."),
		refused:         desc("fib_writes_refused_total", "Changes that the kernel refused."),
		foreign:         desc("fib_foreign_changes_total", "Changes of our routes and objects by others, which are repaired."),
		readBacks:       desc("fib_read_backs_total", "Complete reads of the kernel's routes."),
		lastReadBack:    desc("fib_read_back_seconds", "How long the last read took."),
	}
}

// all lists the descriptions that a node of the role has.
func (d descriptions) all(dataplane bool) []*prometheus.Desc {
	list := []*prometheus.Desc{
		d.build, d.revision, d.lag, d.reachable, d.undecodable,
		d.peerUp, d.peerTransitions, d.received, d.accepted, d.advertised, d.endOfRIB, d.stale,
		d.originEver, d.originNow,
	}
	if dataplane {
		list = append(list, d.endpoints, d.reached, d.wanted, d.programmed, d.nextHopSets,
			d.writes, d.refused, d.foreign, d.readBacks, d.lastReadBack)
	}
	return list
}

// Describe implements prometheus.Collector.
func (a *Agent) Describe(ch chan<- *prometheus.Desc) {
	all := append(newDescriptions().all(a.opts.Table != nil), newBGPDescriptions().all()...)
	if a.opts.Policing != nil {
		all = append(all, newPolicyDescriptions().all()...)
	}
	for _, d := range all {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (a *Agent) Collect(ch chan<- prometheus.Metric) {
	d := newDescriptions()
	c := collector(ch)
	c.gauge(d.build, 1, version.String())
	c.gauge(d.revision, float64(a.view.Revision()))
	lag, answers := a.feed.Lag()
	c.gauge(d.lag, float64(lag))
	c.gauge(d.reachable, one(answers))
	bad := 0
	for range a.view.Problems() {
		bad++
	}
	c.gauge(d.undecodable, float64(bad))
	b := newBGPDescriptions()
	for _, p := range a.opts.Speaker.Peers() {
		c.peer(d, p)
		c.peerStats(b, p)
	}
	c.statistics(b, a.opts.Speaker.Statistics())
	if mode := a.reflects.Mode(); mode == resource.OriginCheckLog || mode == resource.OriginCheckEnforce {
		c.origins(d, a.reflects.origins)
	}
	if a.opts.Table != nil {
		a.collectDataplane(c, d)
	}
	if a.opts.Policing != nil {
		a.collectPolicy(c)
	}
}

func (a *Agent) collectDataplane(c collector, d descriptions) {
	for _, source := range fib.Sources() {
		programmed, wanted := a.opts.Table.Count(source)
		c.gauge(d.wanted, float64(wanted), source.String())
		c.gauge(d.programmed, float64(programmed), source.String())
	}
	stats := a.opts.Table.Stats()
	c.counter(d.writes, float64(stats.Writes))
	c.counter(d.refused, float64(stats.Refused))
	c.counter(d.foreign, float64(stats.Foreign))
	c.counter(d.readBacks, float64(stats.ReadBacks))
	c.gauge(d.lastReadBack, stats.LastReadBack.Seconds())
	all, programmed, advertised := a.stages.count()
	c.gauge(d.endpoints, float64(all))
	c.gauge(d.reached, float64(programmed), "programmed")
	c.gauge(d.reached, float64(advertised), "advertised")
	c.gauge(d.nextHopSets, float64(a.learned.groupCount()))
}

// collector takes the metrics of one Collect.
type collector chan<- prometheus.Metric

func (c collector) gauge(d *prometheus.Desc, value float64, labels ...string) {
	c <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
}

func (c collector) counter(d *prometheus.Desc, value float64, labels ...string) {
	c <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, value, labels...)
}

func (c collector) peer(d descriptions, p bgp.PeerState) {
	labels := peerLabels(p)
	c.gauge(d.peerUp, one(p.State == bgp.Established), labels...)
	c.counter(d.peerTransitions, float64(p.Established), labels...)
	for _, f := range p.Families {
		labels := []string{p.Session.Name, p.Session.Peer.String(), f.Family.String()}
		c.gauge(d.received, float64(f.Received), labels...)
		c.gauge(d.accepted, float64(f.Accepted), labels...)
		c.gauge(d.advertised, float64(f.Advertised), labels...)
		c.gauge(d.endOfRIB, one(f.EndOfRIB), labels...)
		c.gauge(d.stale, float64(f.Stale), labels...)
	}
}

// origins shows what the origin check says, each reason by a word that stays.
func (c collector) origins(d descriptions, o *reflector.Origins) {
	ever, now := o.Counts()
	for _, reason := range reflector.Reasons() {
		label := map[bgp.Refusal]string{
			reflector.Nobodys: "no_endpoint", reflector.Anothers: "other_host", reflector.DeadHost: "dead_host",
		}[reason]
		c.counter(d.originEver, float64(ever[reason]), label)
		c.gauge(d.originNow, float64(now[reason]), label)
	}
}

func one(holds bool) float64 {
	if holds {
		return 1
	}
	return 0
}
