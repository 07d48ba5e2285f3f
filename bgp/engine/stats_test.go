package engine

import (
	"net/netip"
	"testing"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/bgptest"
	"github.com/projectvrouter/vrouter/bgp/wire"
	"github.com/projectvrouter/vrouter/internal/testenv"
)

// TestLag: who does not read is behind by what was written meanwhile, walks
// when the log has moved on, and is level when it has read.
func TestLag(t *testing.T) {
	m := newModel(t, 1)
	m.rib.limits = defaultLimits
	m.rib.limits.log = 4096
	giver, slow := m.peers[0], m.peers[1]
	m.toggle(giver)
	m.toggle(slow)
	m.read(giver)
	m.read(slow)
	announce := func(med uint32, routes int) {
		a := wire.Attributes{NextHop: wire.NextHop{Addr: modelLocal}, MED: med, HasMED: true}
		for n := range routes {
			tell(t, m.rib, giver.source, hostRoute(n), 0, a)
		}
		m.rib.pack()
	}
	g := slow.member.group
	before := g.log.written
	walks := m.rib.sources[slow.source.id].walks
	announce(1, 100)
	if st := slow.member.state(); st.LagEntries != 1 || st.LagOctets != g.log.written-before || st.Walking {
		t.Errorf("behind by one entry: %+v", st)
	}
	for med := range uint32(20) {
		announce(med, 500)
	}
	if st := slow.member.state(); !st.Walking || st.LagOctets > 4096+maxEntry {
		t.Errorf("behind the log: %+v", st)
	}
	m.read(slow)
	if st := slow.member.state(); st.LagOctets != 0 || st.LagEntries != 0 || st.Walking {
		t.Errorf("level: %+v", st)
	}
	if n := m.rib.sources[slow.source.id].walks; n != walks+1 {
		t.Errorf("%d walks, want %d", n, walks+1)
	}
	st := g.stateIn(m.rib)
	if st.LogOctets > 4096 || st.Octets < 20*500*5 || st.Messages == 0 || st.StateOctets == 0 || st.Routes != 500 {
		t.Errorf("group: %+v", st)
	}
	if table := m.rib.tableState(); table.Routes != 500 || table.Paths != 500 || table.AttributeSets != 1 || table.Octets < 500*40 {
		t.Errorf("table: %+v", table)
	}
}

// TestStatistics: what two engines tell each other is counted at both ends.
func TestStatistics(t *testing.T) {
	testenv.Need(t, "root")
	t.Parallel()
	const rrN, clientN = 241, 242
	rr, client := startAt(t, rrN, bgp.Settings{}), startAt(t, clientN, bgp.Settings{})
	client.SetPools([]bgp.Pool{{Prefix: netip.MustParsePrefix("10.0.0.0/8")}, {Prefix: netip.MustParsePrefix("172.16.0.0/12")}})
	for _, p := range []string{"10.1.0.1/32", "10.1.0.2/32", "172.16.0.1/32"} {
		if err := client.Originate(netip.MustParsePrefix(p), bgp.Attributes{}); err != nil {
			t.Fatal(err)
		}
	}
	set(t, rr, between(rrN, clientN, func(s *bgp.Session) { s.ClusterID, s.ReflectorClient, s.Passive = modelCluster, true, true }))
	set(t, client, between(clientN, rrN))
	bgptest.Await(t, "all routes and End-of-RIBs", func() string {
		if p := rr.Peers()[0]; p.Received != 3 || p.EndOfRIB == 0 || client.Peers()[0].EndOfRIB == 0 {
			return "not yet"
		}
		return ""
	})
	p := rr.Peers()[0].Stats
	if p.Refused[bgp.NotInPool] != 1 || len(p.Refused) != 1 || len(p.Loops) != 0 {
		t.Errorf("refused %v, loops %v", p.Refused, p.Loops)
	}
	if p.In.Opens != 1 || p.In.Updates < 2 || p.In.Keepalives == 0 || p.In.Octets == 0 || p.Walks != 1 {
		t.Errorf("in %+v, walks %d", p.In, p.Walks)
	}
	bgptest.Await(t, "the counters of both ends", func() string {
		if in, out := rr.Peers()[0].Stats.In, client.Peers()[0].Stats.Out; in.Updates != out.Updates || in.Octets > out.Octets {
			return "differ"
		}
		return ""
	})
	s := rr.Statistics()
	if len(s.Groups) != 1 || s.Table.Routes != 3 || s.Table.Paths != 3 {
		t.Fatalf("statistics: %+v", s)
	}
	g := s.Groups[0]
	if g.ID != 1 || g.Kind != bgp.Client || g.ClusterID != modelCluster || len(g.Members) != 1 || g.Members[0].Peer != bgptest.Address(clientN, bgp.IPv4Unicast) {
		t.Errorf("group: %+v", g)
	}
	set(t, rr)
	bgptest.Await(t, "no group", func() string {
		if n := len(rr.Statistics().Groups); n > 0 {
			return "still one"
		}
		return ""
	})
}
