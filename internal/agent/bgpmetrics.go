package agent

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/projectvrouter/vrouter/bgp"
)

// bgpDescriptions are of metrics of the speaker beyond those of the state of
// sessions. Their labels are names of sessions, reasons, and ids of groups, of
// which there are as many as are wanted at a time.
type bgpDescriptions struct {
	messages, octets, refused, malformed, lag, walks *prometheus.Desc

	members, groupRoutes, walking, groupWalks, groupLag   *prometheus.Desc
	logOctets, stateOctets, groupMessages, groupOctets    *prometheus.Desc
	tableRoutes, tablePaths, tableAttributes, tableOctets *prometheus.Desc
}

func newBGPDescriptions() bgpDescriptions {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("vrouter_"+name, help, labels, nil)
	}
	peer := func(more ...string) []string { return append([]string{"peer", "address", "family"}, more...) }
	group := []string{"group", "family", "kind"}
	return bgpDescriptions{
		messages:  desc("bgp_peer_messages_total", "Messages by direction and type.", peer("direction", "type")...),
		octets:    desc("bgp_peer_octets_total", "Octets of messages by direction.", peer("direction")...),
		refused:   desc("bgp_peer_prefixes_refused", "Prefixes that the peer tells and that are not used, by reason.", peer("reason")...),
		malformed: desc("bgp_peer_updates_malformed_total", "UPDATEs with an error, by what came of it (RFC 7606).", peer("action")...),
		lag:       desc("bgp_peer_lag_octets", "How much of what its group is sent is ahead of the peer.", peer()...),
		walks:     desc("bgp_peer_walks_total", "How often the peer was sent the table rather than its changes.", peer()...),

		members:       desc("bgp_group_members", "Peers of an update group.", group...),
		groupRoutes:   desc("bgp_group_routes", "Routes that a peer of the group is sent.", group...),
		walking:       desc("bgp_group_walking", "Peers of the group that are being sent the table.", group...),
		groupWalks:    desc("bgp_group_walks_total", "How often peers of the group were sent the table.", group...),
		groupLag:      desc("bgp_group_lag_octets", "How far the slowest peer is behind the log of the group.", group...),
		logOctets:     desc("bgp_group_log_octets", "Memory of the log of the group.", group...),
		stateOctets:   desc("bgp_group_state_octets", "Memory of what is known to be held by the peers of the group.", group...),
		groupMessages: desc("bgp_group_messages_total", "UPDATEs written to the log of the group, once for all peers.", group...),
		groupOctets:   desc("bgp_group_octets_total", "Octets written to the log of the group.", group...),

		tableRoutes:     desc("bgp_table_routes", "Prefixes in the table."),
		tablePaths:      desc("bgp_table_paths", "Paths in the table that peers have told."),
		tableAttributes: desc("bgp_table_attribute_sets", "Distinct sets of attributes in the table."),
		tableOctets:     desc("bgp_table_octets", "Memory of the table."),
	}
}

func (d bgpDescriptions) all() []*prometheus.Desc {
	return []*prometheus.Desc{
		d.messages, d.octets, d.refused, d.malformed, d.lag, d.walks,
		d.members, d.groupRoutes, d.walking, d.groupWalks, d.groupLag,
		d.logOctets, d.stateOctets, d.groupMessages, d.groupOctets,
		d.tableRoutes, d.tablePaths, d.tableAttributes, d.tableOctets,
	}
}

// peerLabels tell sessions apart.
func peerLabels(p bgp.PeerState, more ...string) []string {
	return append([]string{p.Session.Name, p.Session.Peer.String(), p.Session.Carried().String()}, more...)
}

func (c collector) peerStats(d bgpDescriptions, p bgp.PeerState) {
	for _, way := range []struct {
		name string
		bgp.Traffic
	}{{"in", p.Stats.In}, {"out", p.Stats.Out}} {
		for _, m := range []struct {
			name string
			n    uint64
		}{
			{"open", way.Opens}, {"update", way.Updates}, {"keepalive", way.Keepalives},
			{"notification", way.Notifications}, {"refresh", way.Refreshes},
		} {
			c.counter(d.messages, float64(m.n), peerLabels(p, way.name, m.name)...)
		}
		c.counter(d.octets, float64(way.Octets), peerLabels(p, way.name)...)
	}
	for why, n := range p.Stats.Refused {
		c.gauge(d.refused, float64(n), peerLabels(p, string(why))...)
	}
	c.counter(d.malformed, float64(p.Stats.TreatedAsWithdraw), peerLabels(p, "treat-as-withdraw")...)
	c.counter(d.malformed, float64(p.Stats.AttributesDiscarded), peerLabels(p, "attribute-discard")...)
	c.counter(d.malformed, float64(p.Stats.SessionResets), peerLabels(p, "session-reset")...)
	lag := uint64(0)
	for _, m := range p.Stats.Members {
		lag += m.LagOctets
	}
	c.gauge(d.lag, float64(lag), peerLabels(p)...)
	c.counter(d.walks, float64(p.Stats.Walks), peerLabels(p)...)
}

func (c collector) statistics(d bgpDescriptions, s bgp.Statistics) {
	for _, g := range s.Groups {
		labels := []string{strconv.Itoa(g.ID), g.Family.String(), string(g.Kind)}
		c.gauge(d.members, float64(len(g.Members)), labels...)
		c.gauge(d.groupRoutes, float64(g.Routes), labels...)
		c.gauge(d.walking, float64(g.Walking()), labels...)
		c.counter(d.groupWalks, float64(g.Walks), labels...)
		c.gauge(d.groupLag, float64(g.Lag()), labels...)
		c.gauge(d.logOctets, float64(g.LogOctets), labels...)
		c.gauge(d.stateOctets, float64(g.StateOctets), labels...)
		c.counter(d.groupMessages, float64(g.Messages), labels...)
		c.counter(d.groupOctets, float64(g.Octets), labels...)
	}
	c.gauge(d.tableRoutes, float64(s.Table.Routes))
	c.gauge(d.tablePaths, float64(s.Table.Paths))
	c.gauge(d.tableAttributes, float64(s.Table.AttributeSets))
	c.gauge(d.tableOctets, float64(s.Table.Octets))
}
