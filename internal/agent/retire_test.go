package agent

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

const addr3 = "192.0.2.3"

func meshObject(on bool) *vrouterv1.BGPConfiguration {
	return configObject("default", func(s *vrouterv1.BGPConfigurationSpec) { s.NodeToNodeMeshEnabled = proto.Bool(on) })
}

// third is a router that gives what host2 gives, as a reflector would.
func (r *rig) third(prefixes ...string) {
	r.t.Helper()
	r.put(&vrouterv1.BGPPeer{
		Metadata: &vrouterv1.Metadata{Name: proto.String("rr")},
		Spec:     &vrouterv1.BGPPeerSpec{PeerIp: proto.String(addr3), AsNumber: structpb.NewNumberValue(resource.DefaultASNumber)},
	})
	p := &host2{r: r, Fake: r.network.NewSpeaker()}
	at := netip.MustParseAddr(addr3)
	err := p.Start(context.Background(), bgp.Settings{ASN: resource.DefaultASNumber, RouterID: at, ListenAddresses: []netip.Addr{at}})
	if err != nil {
		r.t.Fatal(err)
	}
	p.SetPools([]bgp.Pool{{Prefix: pfx("10.0.0.0/8")}})
	err = p.SetSessions([]bgp.Session{{Name: "host1", Peer: netip.MustParseAddr("192.0.2.1"), Local: at, PeerAS: resource.DefaultASNumber}})
	if err != nil {
		r.t.Fatal(err)
	}
	p.originate(prefixes...)
}

// says writes the status of host2, as its daemon does.
func (r *rig) says(released ...string) {
	r.t.Helper()
	value, err := proto.Marshal(&vrouterv1.NodeStatus{ReleasedSessions: released})
	if err != nil {
		r.t.Fatal(err)
	}
	r.write(store.Op{Key: store.StatusKey("Node", "", "host2"), Value: value})
}

// wantMesh compares the mesh session and what host1's status says.
func (r *rig) wantMesh(state string, published ...string) {
	r.t.Helper()
	r.pass(3 * time.Second)
	got := "gone"
	status, err := r.agent.Status(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	for _, p := range status.Peers {
		if p.Node == "host2" && p.Address == addr2 {
			got = strings.TrimPrefix(p.Type, "node-to-node mesh")
		}
	}
	if got != state {
		r.t.Errorf("the mesh session is %q, want %q; problems %v", got, state, status.Problems)
	}
	var stored vrouterv1.NodeStatus
	if kv, _, err := r.store.Get(r.t.Context(), store.StatusKey("Node", "", "host1")); err == nil {
		if err := proto.Unmarshal(kv.Value, &stored); err != nil {
			r.t.Fatal(err)
		}
	}
	if !slices.Equal(stored.ReleasedSessions, published) {
		r.t.Errorf("host1 says it can do without %v, want %v", stored.ReleasedSessions, published)
	}
}

func retireTime(o *Options) { o.BGP.RetireTime = 5 * time.Minute }

// A mesh session that is no longer wanted is kept until another peer gives what
// it gives, and the other end says that it can do without.
func TestSessionRetires(t *testing.T) {
	for _, order := range []string{"we are last", "the other end is last", "the other end closes"} {
		t.Run(order, func(t *testing.T) {
			withRig(t, func(t *testing.T, r *rig) {
				r.node2()
				r.says("host1/ipv4") // of another time, and no news
				r.start(retireTime)
				p := r.peer()
				p.originate("10.0.3.3/32")
				r.wantMesh("")
				r.says()
				r.put(meshObject(false))
				r.wantMesh(", retiring")
				if order == "we are last" {
					r.says("host1/ipv4")
					r.wantMesh(", retiring")
					r.third("10.0.3.3/32")
					r.wantMesh("gone")
					return
				}
				r.third("10.0.3.3/32")
				r.wantMesh(", retiring", "host2/ipv4")
				if order == "the other end is last" {
					r.says("host1/ipv4", "host7/ipv6")
				} else {
					p.disconnect()
				}
				r.wantMesh("gone")
				r.wantRoutes("10.0.3.3/32 group(via " + addr3 + " dev up0) proto 120 metric 118")
				if problems := r.agent.problems(); len(problems) > 0 {
					t.Errorf("problems %v", problems)
				}
			})
		})
	}
}

func TestSessionIsWantedAgain(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.node2()
		r.start(retireTime)
		r.peer().originate("10.0.3.3/32")
		r.third("10.0.3.3/32")
		up := r.speaker.Peers()[0].Established
		r.put(meshObject(false))
		r.wantMesh(", retiring", "host2/ipv4")
		r.put(meshObject(true))
		r.wantMesh("")
		r.says("host1/ipv4")
		r.wantMesh("")
		if got := r.speaker.Peers()[0].Established; got != up {
			t.Errorf("it came up %d times, before it was %d", got, up)
		}
		// A node that is gone relies on nothing.
		r.says()
		r.put(meshObject(false))
		r.delete(nodeObject("host2", addr2+"/24"))
		r.wantMesh("gone")
	})
}

func TestSessionEndsByTheLimit(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.node2()
		r.start(retireTime)
		r.peer().originate("10.0.3.3/32", "10.0.3.4/32")
		r.put(meshObject(false))
		problem := func(want string) {
			t.Helper()
			if got := strings.Join(r.agent.problems(), "\n"); !strings.Contains(got, want) || want == "" && got != "" {
				t.Errorf("problems %q, want %q", got, want)
			}
		}
		r.wantMesh(", retiring")
		problem("")
		r.pass(4 * time.Minute)
		r.wantMesh(", retiring")
		problem("kept because nobody else gives 2 prefixes of host2, node host2 has not said that it can do without")
		r.pass(time.Minute)
		r.wantMesh("gone")
		problem("session mesh/host2/ipv4 was ended after 5m0s although nobody else gives 2 prefixes of host2")
		r.put(meshObject(true))
		r.wantMesh("")
		r.put(meshObject(false))
		r.wantMesh(", retiring")
		problem("")
		// What an earlier run said is taken back.
		r.write(store.Op{Key: store.StatusKey("Node", "", "host1"), Value: must(proto.Marshal(&vrouterv1.NodeStatus{
			PodCidrs: []string{"10.0.0.0/24"}, ReleasedSessions: []string{"host2/ipv4"},
		}))})
		r.start() // without a limit: at once
		r.wantMesh("gone")
	})
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}
