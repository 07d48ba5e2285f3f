package agent

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/fib"
	"github.com/projectvrouter/vrouter/internal/version"
)

// Descriptions of the metrics. They are read when somebody asks, from the
// engines themselves, so that they cannot drift from what these do.
type descriptions struct {
	build, revision, endpoints, reached                      *prometheus.Desc
	peerUp, peerTransitions, received, accepted, advertised  *prometheus.Desc
	routesWanted, routesProgrammed, undecodable, fibNextHops *prometheus.Desc
}

func newDescriptions() descriptions {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("vrouter_"+name, help, labels, nil)
	}
	peer := []string{"peer", "address", "family"}
	return descriptions{
		build:            desc("build_info", "Always 1; the label is the version.", "version"),
		revision:         desc("store_revision", "Revision of the store up to which this node has seen everything."),
		undecodable:      desc("store_objects_undecodable", "Stored objects that this version cannot use."),
		endpoints:        desc("endpoints", "Endpoints of this node."),
		reached:          desc("endpoints_reached", "Endpoints of this node that have reached a stage, or a later one.", "stage"),
		peerUp:           desc("bgp_peer_established", "Whether the session is Established (1) or not (0).", peer...),
		peerTransitions:  desc("bgp_peer_established_total", "How often the session came up.", peer...),
		received:         desc("bgp_peer_prefixes_received", "Prefixes that the peer told.", peer...),
		accepted:         desc("bgp_peer_prefixes_accepted", "Prefixes that passed the import policy.", peer...),
		advertised:       desc("bgp_peer_prefixes_advertised", "Prefixes that were told to the peer.", peer...),
		routesWanted:     desc("fib_routes_wanted", "Routes that a source wants.", "source"),
		routesProgrammed: desc("fib_routes_programmed", "Routes of a source that the kernel holds.", "source"),
		fibNextHops:      desc("fib_next_hop_sets", "Sets of BGP next hops in use."),
	}
}

// Describe implements prometheus.Collector.
func (a *Agent) Describe(ch chan<- *prometheus.Desc) { ch <- newDescriptions().build }

// Collect implements prometheus.Collector.
func (a *Agent) Collect(ch chan<- prometheus.Metric) {
	d := newDescriptions()
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	gauge(d.build, 1, version.String())
	gauge(d.revision, float64(a.view.Revision()))
	bad := 0
	for range a.view.Problems() {
		bad++
	}
	gauge(d.undecodable, float64(bad))
	for _, p := range a.opts.Speaker.Peers() {
		labels := []string{p.Session.Name, p.Session.Peer.String(), p.Session.Family.String()}
		up := 0.0
		if p.State == bgp.Established {
			up = 1
		}
		gauge(d.peerUp, up, labels...)
		ch <- prometheus.MustNewConstMetric(d.peerTransitions, prometheus.CounterValue, float64(p.Established), labels...)
		gauge(d.received, float64(p.Received), labels...)
		gauge(d.accepted, float64(p.Accepted), labels...)
		gauge(d.advertised, float64(p.Advertised), labels...)
	}
	if a.opts.Table == nil {
		return
	}
	for _, source := range fib.Sources() {
		programmed, wanted := a.opts.Table.Count(source)
		gauge(d.routesWanted, float64(wanted), source.String())
		gauge(d.routesProgrammed, float64(programmed), source.String())
	}
	all, programmed, advertised := a.stages.count()
	gauge(d.endpoints, float64(all))
	gauge(d.reached, float64(programmed), "programmed")
	gauge(d.reached, float64(advertised), "advertised")
	gauge(d.fibNextHops, float64(a.learned.groupCount()))
}
