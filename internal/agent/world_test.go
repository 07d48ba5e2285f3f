package agent

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/bgptest"
	"github.com/projectvrouter/vrouter/internal/resource"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// world is all that decides what the kernel of host1 has to hold: what is
// stored, what the other hosts say, and which interfaces there are. It is
// plain data, so that it can be told to a second agent.
type world struct {
	endpoints map[string]home // by workload
	ninth     bool            // the pool 10.9.0.0/16 exists
	node3     bool            // host3 has a Node
	peering   bool            // a BGPPeer names host3 for all nodes
	mesh      bool
	links     map[string]bool // of workloads
	// said is what host2 and host3 originate; silent ones have no speaker.
	said   map[int]map[netip.Prefix]bool
	silent map[int]bool
	blocks map[string]string // of host1: the state of its claim
	modes  [2]string         // what is told of the pools: four, six
}

// home is where an endpoint lives and what addresses it has.
type home struct {
	node      string
	addresses string // separated by blanks
}

func newWorld() *world {
	return &world{
		endpoints: make(map[string]home), mesh: true, node3: true, links: make(map[string]bool),
		said: map[int]map[netip.Prefix]bool{2: {}, 3: {}}, silent: make(map[int]bool),
		blocks: make(map[string]string),
	}
}

// objects is what is stored, by key; endpoints that are gone are not in it.
func (w *world) objects() []proto.Message {
	list := []proto.Message{
		w.pool(0), w.pool(1), nodeObject("host2", hostAddr(2)+"/24"), w.settings(),
	}
	for workload, h := range w.endpoints {
		list = append(list, w.endpoint(workload, h))
	}
	if w.ninth {
		list = append(list, ninthPool())
	}
	if w.node3 {
		list = append(list, nodeObject("host3", hostAddr(3)+"/24"))
	}
	if w.peering {
		list = append(list, peering())
	}
	return list
}

func (w *world) endpoint(workload string, h home) proto.Message {
	return endpointObject(workload, h.node, strings.Fields(h.addresses)...)
}

func (w *world) settings() proto.Message {
	return &vrouterv1.BGPConfiguration{
		Metadata: named(resource.DefaultName), Spec: &vrouterv1.BGPConfigurationSpec{NodeToNodeMeshEnabled: proto.Bool(w.mesh)},
	}
}

func (w *world) pool(n int) proto.Message {
	return advertising([]string{"four", "six"}[n], []string{"10.0.0.0/16", "fd10::/64"}[n], w.modes[n])
}

func ninthPool() proto.Message { return poolObject("nine", "10.9.0.0/16") }

func peering() proto.Message {
	return &vrouterv1.BGPPeer{Metadata: named("three"), Spec: &vrouterv1.BGPPeerSpec{
		PeerIp: proto.String(hostAddr(3)), AsNumber: structpb.NewNumberValue(resource.DefaultASNumber),
	}}
}

func hostAddr(n int) string { return fmt.Sprintf("192.0.2.%d", n) }

// routes is what the kernel of host1 has to hold, as fibtest.Text prints it: an
// oracle that knows nothing of sources, groups and sweeps.
func (w *world) routes() string {
	lines := make(map[netip.Prefix]string)
	via := make(map[netip.Prefix][]string)
	for n, prefixes := range w.said {
		if w.silent[n] || !w.session(n) {
			continue
		}
		for p := range prefixes {
			if w.pooled(p) {
				via[p] = append(via[p], "via "+hostAddr(n)+" dev up0")
			}
		}
	}
	for p, hops := range via {
		slices.Sort(hops)
		lines[p] = "group(" + strings.Join(hops, " + ") + ") proto 120 metric 118"
	}
	for cidr, state := range w.blocks {
		owned := state == "confirmed" || state == "pendingDeletion"
		if p := pfx(cidr); owned && (!p.IsSingleIP() || lines[p] == "" && !w.homed(p)) {
			lines[p] = "blackhole proto 121 metric 118"
		}
	}
	for workload, h := range w.endpoints {
		if h.node == "host1" && w.links["w-"+workload] {
			for _, a := range strings.Fields(h.addresses) {
				lines[pfx(a)] = "dev w-" + workload + " proto 118 metric 118"
			}
		}
	}
	var b strings.Builder
	for _, p := range slices.SortedFunc(maps.Keys(lines), bgp.ComparePrefix) {
		fmt.Fprintln(&b, p, lines[p])
	}
	return b.String()
}

// session reports whether host1 and the other host have a session.
func (w *world) session(n int) bool {
	return n == 2 && w.mesh || n == 3 && (w.peering || w.mesh && w.node3)
}

func (w *world) pooled(p netip.Prefix) bool {
	return pfx("10.0.0.0/16").Contains(p.Addr()) || w.ninth && pfx("10.9.0.0/16").Contains(p.Addr())
}

// own is what host1 has to originate.
func (w *world) own() []netip.Prefix {
	var all []netip.Prefix
	for cidr, state := range w.blocks {
		if p := pfx(cidr); state == "confirmed" && !p.IsSingleIP() && (w.mode(p) == "Blocks" || w.mode(p) == "Both") {
			all = append(all, p)
		}
	}
	told := slices.Clone(all)
	for workload, h := range w.endpoints {
		if h.node == "host1" && w.links["w-"+workload] {
			for _, a := range strings.Fields(h.addresses) {
				p := pfx(a)
				block := slices.ContainsFunc(told, func(b netip.Prefix) bool { return b.Contains(p.Addr()) })
				if !block || w.mode(p) == "Both" || w.rival(p) {
					all = append(all, p)
				}
			}
		}
	}
	slices.SortFunc(all, bgp.ComparePrefix)
	return all
}

func (w *world) mode(p netip.Prefix) string {
	if p.Addr().Is6() {
		return w.modes[1]
	}
	return w.modes[0]
}

// homed reports whether an endpoint of host1 has an address.
func (w *world) homed(p netip.Prefix) bool {
	for _, h := range w.endpoints {
		if h.node == "host1" && slices.Contains(strings.Fields(h.addresses), p.String()) {
			return true
		}
	}
	return false
}

// rival reports whether another host tells of a prefix.
func (w *world) rival(p netip.Prefix) bool {
	for n, said := range w.said {
		if said[p] && !w.silent[n] && w.session(n) {
			return true
		}
	}
	return false
}

// speak starts the speaker of another host with all that it originates.
func (r *rig) speak(n int, said map[netip.Prefix]bool) *bgptest.Fake {
	r.t.Helper()
	f := r.network.NewSpeaker()
	err := f.Start(context.Background(), bgp.Settings{
		ASN: resource.DefaultASNumber, RouterID: netip.MustParseAddr(hostAddr(n)),
		ListenAddresses: []netip.Addr{netip.MustParseAddr(hostAddr(n))}, RestartTime: restartTime,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	f.SetPools([]bgp.Pool{{Prefix: pfx("10.0.0.0/8")}})
	for p := range said {
		if err := f.Originate(p, bgp.Attributes{}); err != nil {
			r.t.Fatal(err)
		}
	}
	err = f.SetSessions([]bgp.Session{{
		Name: "host1", Peer: netip.MustParseAddr(hostAddr(1)),
		Local: netip.MustParseAddr(hostAddr(n)), PeerAS: resource.DefaultASNumber,
	}})
	if err != nil {
		r.t.Fatal(err)
	}
	return f
}
