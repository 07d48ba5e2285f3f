package agent

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/projectvrouter/vrouter/bgp"
)

// speakerMetrics collects what a speaker in a certain state shows.
type speakerMetrics struct {
	peer       bgp.PeerState
	statistics bgp.Statistics
}

func (s speakerMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range newBGPDescriptions().all() {
		ch <- d
	}
}

func (s speakerMetrics) Collect(ch chan<- prometheus.Metric) {
	collector(ch).peerStats(newBGPDescriptions(), s.peer)
	collector(ch).statistics(newBGPDescriptions(), s.statistics)
}

func TestSpeakerMetrics(t *testing.T) {
	peer := bgp.PeerState{
		Session: bgp.Session{Name: "p", Peer: netip.MustParseAddr("192.0.2.2")},
		Stats: bgp.PeerStats{
			In:      bgp.Traffic{Opens: 1, Updates: 2, Keepalives: 3, Notifications: 4, Refreshes: 5, Octets: 6},
			Out:     bgp.Traffic{Octets: 7},
			Refused: map[bgp.Refusal]int{bgp.NotInPool: 8}, TreatedAsWithdraw: 9, AttributesDiscarded: 10, SessionResets: 11,
			Walks: 12, Members: []bgp.MemberState{{LagOctets: 13}, {LagOctets: 100}},
		},
	}
	statistics := bgp.Statistics{
		Table: bgp.TableState{Routes: 20, Paths: 21, AttributeSets: 22, Octets: 23},
		Groups: []bgp.GroupState{{
			ID: 1, Family: bgp.IPv4Unicast, Kind: bgp.Client, Routes: 24, Walks: 25, LogOctets: 26, Messages: 27, Octets: 28, StateOctets: 29,
			Members: []bgp.GroupMember{
				{MemberState: bgp.MemberState{LagOctets: 30}},
				{MemberState: bgp.MemberState{LagOctets: 31, Walking: true}},
			},
		}},
	}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(speakerMetrics{peer, statistics})
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range families {
		for _, m := range f.GetMetric() {
			line := strings.TrimPrefix(f.GetName(), "vrouter_bgp_")
			for _, l := range m.GetLabel() {
				if l.GetName() != "address" && l.GetName() != "family" && l.GetName() != "peer" {
					line += " " + l.GetValue()
				}
			}
			got = append(got, fmt.Sprintf("%s %v", line, m.GetGauge().GetValue()+m.GetCounter().GetValue()))
		}
	}
	want := []string{
		"group_lag_octets 1 client 31", "group_log_octets 1 client 26", "group_members 1 client 2", "group_messages_total 1 client 27",
		"group_octets_total 1 client 28", "group_routes 1 client 24", "group_state_octets 1 client 29", "group_walking 1 client 1",
		"group_walks_total 1 client 25",
		"peer_lag_octets 113",
		"peer_messages_total in keepalive 3", "peer_messages_total in notification 4", "peer_messages_total in open 1",
		"peer_messages_total in refresh 5", "peer_messages_total in update 2",
		"peer_messages_total out keepalive 0", "peer_messages_total out notification 0", "peer_messages_total out open 0",
		"peer_messages_total out refresh 0", "peer_messages_total out update 0",
		"peer_octets_total in 6", "peer_octets_total out 7",
		"peer_prefixes_refused outside the pools 8",
		"peer_updates_malformed_total attribute-discard 10", "peer_updates_malformed_total session-reset 11",
		"peer_updates_malformed_total treat-as-withdraw 9",
		"peer_walks_total 12",
		"table_attribute_sets 22", "table_octets 23", "table_paths 21", "table_routes 20",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
