package agent

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/bgp"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

const via2 = " group(via 192.0.2.2 dev up0) proto 120 metric 118"

func TestLearnedRoutes(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.node2()
		p := r.peer()
		r.start()
		r.pass(2 * time.Second)
		p.originate("10.0.3.1/32", "10.0.3.2/32")
		r.wantRoutes("10.0.3.1/32"+via2, "10.0.3.2/32"+via2)
		p.withdraw("10.0.3.1/32")
		r.wantRoutes("10.0.3.2/32" + via2)
		// Outside the pools nothing is accepted; a pool that comes changes that.
		p.originate("10.9.0.1/32")
		r.wantRoutes("10.0.3.2/32" + via2)
		r.put(poolObject("nine", "10.9.0.0/16"))
		r.wantRoutes("10.0.3.2/32"+via2, "10.9.0.1/32"+via2)
		r.delete(poolObject("nine", ""))
		r.wantRoutes("10.0.3.2/32" + via2)
		// A session that ends takes its routes along.
		p.disconnect()
		r.wantRoutes()
		p.connect()
		r.wantRoutes("10.0.3.2/32" + via2)
		r.delete(nodeObject("host2", ""))
		r.wantRoutes()
	})
}

// What a peer tells with BLACKHOLE is dropped here where that is honoured (RFC
// 7999), and forwarded where it is not.
func TestBlackholePaths(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		honour := func(on bool) {
			r.put(configObject("default", func(s *vrouterv1.BGPConfigurationSpec) {
				s.SessionDefaults = &vrouterv1.BGPSessionSettings{HonourBlackhole: proto.Bool(on)}
			}))
		}
		say := func(p *host2, communities ...bgp.Community) {
			if err := p.Originate(pfx("10.0.3.1/32"), bgp.Attributes{Communities: communities}); err != nil {
				t.Fatal(err)
			}
			r.pass(time.Second)
		}
		const dropped = "10.0.3.1/32 blackhole proto 120 metric 118"
		honour(true)
		r.node2()
		p := r.peer()
		r.start()
		r.pass(2 * time.Second)
		say(p, bgp.Blackhole)
		r.wantRoutes(dropped)
		p.originate("10.0.3.2/32")
		r.wantRoutes(dropped, "10.0.3.2/32"+via2)
		say(p)
		r.wantRoutes("10.0.3.1/32"+via2, "10.0.3.2/32"+via2)
		say(p, bgp.Blackhole)
		p.withdraw("10.0.3.2/32")
		r.wantRoutes(dropped)
		honour(false)
		r.pass(time.Second)
		r.wantRoutes("10.0.3.1/32" + via2)
		honour(true)
		r.pass(time.Second)
		r.wantRoutes(dropped)
		p.withdraw("10.0.3.1/32")
		r.wantRoutes()
	})
}

// Next hops follow the kernel's other routes.
func TestNextHopsMove(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.node2()
		p := r.peer()
		r.start()
		p.originate("10.0.3.1/32")
		r.wantRoutes("10.0.3.1/32" + via2)
		r.kernel.DeleteAddress("up0", pfx("192.0.2.1/24"))
		r.pass(time.Second)
		r.wantRoutes() // no way to the next hop
		r.kernel.AddLink("up1")
		r.kernel.AddAddress("up1", pfx("192.0.2.1/24"))
		r.pass(time.Second)
		r.wantRoutes("10.0.3.1/32 group(via 192.0.2.2 dev up1) proto 120 metric 118")
		r.kernel.SetCarrier("up1", false)
		r.pass(time.Second)
		r.wantRoutes()
		r.kernel.SetCarrier("up1", true)
		r.pass(time.Second)
		r.wantRoutes("10.0.3.1/32 group(via 192.0.2.2 dev up1) proto 120 metric 118")
	})
}

// Peers that count as complete, and those that do not.
func TestComplete(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		name string
		p    bgp.PeerState
		want bool
	}{
		{"unknown", bgp.PeerState{}, false},
		{"down", bgp.PeerState{State: bgp.Active, EndOfRIB: bgp.FamiliesOf(bgp.IPv4Unicast)}, false},
		{"has told all", bgp.PeerState{State: bgp.Established, EndOfRIB: bgp.FamiliesOf(bgp.IPv4Unicast)}, true},
		{"still tells", bgp.PeerState{State: bgp.Established, GracefulRestart: bgp.GracefulRestart{Negotiated: true}, Since: now.Add(-time.Hour)}, false},
		{"restarts itself, tells still", bgp.PeerState{State: bgp.Established, GracefulRestart: bgp.GracefulRestart{Negotiated: true, Restarting: true}}, false},
		{"restarts itself, told all", bgp.PeerState{State: bgp.Established, EndOfRIB: bgp.FamiliesOf(bgp.IPv4Unicast), GracefulRestart: bgp.GracefulRestart{Negotiated: true, Restarting: true}}, true},
		{"restarts itself, and is down", bgp.PeerState{State: bgp.Active, GracefulRestart: bgp.GracefulRestart{Restarting: true}}, false},
		{"without graceful restart, up now", bgp.PeerState{State: bgp.Established, Since: now.Add(-silence + time.Second)}, false},
		{"without graceful restart, silent", bgp.PeerState{State: bgp.Established, Since: now.Add(-silence)}, true},
		{"without graceful restart, tells", bgp.PeerState{State: bgp.Established, Since: now.Add(-time.Hour), LastUpdate: now.Add(-time.Second)}, false},
	} {
		if got := complete(c.p, bgp.IPv4Unicast, now); got != c.want {
			t.Errorf("%s: %t, want %t", c.name, got, c.want)
		}
	}
}
