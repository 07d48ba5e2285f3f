package engine

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/bgptest"
	"github.com/projectvrouter/vrouter/bgp/wire"
	"github.com/projectvrouter/vrouter/internal/testenv"
)

// loop is two reflectors with a session between them, the first an Engine, and
// two clients, each of which has both. Whatever a client tells goes to the other
// one over each reflector, and to each reflector over the other.
type loop struct {
	*testing.T
	n        int // of the network
	first    *ground
	clusters [2]netip.Addr
	clients  [2][2]*far // and their sessions with each reflector
	told     int        // UPDATEs of clients
}

// Routers of a loop, by the last byte of their address.
const (
	loopFirst = iota + 1
	loopSecond
	loopClients
)

func (l *loop) address(i int) netip.Addr { return netip.AddrFrom4([4]byte{127, 3, byte(l.n), byte(i)}) }

// TestReflectorsInALoop: between two reflectors that serve the same clients,
// however they see each other and whoever made the other one, what clients tell
// and withdraw in bursts leaves exactly what they tell at last, and quiet.
func TestReflectorsInALoop(t *testing.T) {
	n := 21
	for _, kind := range []string{"vrouter", "bird", "frr"} {
		for _, same := range []bool{false, true} {
			for _, client := range []bool{false, true} {
				network := n
				n++
				t.Run(fmt.Sprintf("%s, same cluster %t, clients of each other %t", kind, same, client), func(t *testing.T) {
					t.Parallel()
					newLoop(t, network, kind, same, client).run(same)
				})
			}
		}
	}
}

func newLoop(t *testing.T, n int, kind string, same, client bool) *loop {
	l := &loop{T: t, n: n, clusters: [2]netip.Addr{netip.MustParseAddr("244.0.0.1"), netip.MustParseAddr("244.0.0.2")}}
	if same {
		l.clusters[1] = l.clusters[0]
	}
	l.first = newGround(t, n)
	l.first.sessions(l.wanted(l.first, loopSecond, client)...)
	switch kind {
	case "vrouter":
		second := newGroundAt(t, l.address(loopSecond))
		list := l.wanted(second, loopFirst, client)
		list[0].Passive = false
		second.sessions(list...)
	default:
		l.startProduct(kind, client)
	}
	for i := range l.clients {
		for end := range l.clients[i] {
			o := wire.Open{AS: modelAS, HoldTime: 90 * time.Second, RouterID: l.address(loopClients + i), Capabilities: capable()}
			wait(t, fmt.Sprintf("session of client %d with reflector %d", i, end), func() bool {
				l.clients[i][end] = tryDial(t, l.address(loopClients+i), l.address(loopFirst+end), o)
				return l.clients[i][end] != nil
			})
			t.Cleanup(func() { l.clients[i][end].conn.Close() })
		}
	}
	wait(t, "the session between the reflectors", func() bool { return l.first.peer(loopSecond).State == bgp.Established })
	return l
}

// wanted is the sessions of an Engine: with the other reflector, and with the
// clients.
func (l *loop) wanted(g *ground, other int, client bool) []bgp.Session {
	cluster := func(s *bgp.Session) { s.ClusterID = l.clusters[g.at.As4()[3]-loopFirst] }
	list := []bgp.Session{g.to(other, both, cluster, func(s *bgp.Session) { s.ReflectorClient = client })}
	for i := range l.clients {
		list = append(list, g.to(loopClients+i, both, cluster, func(s *bgp.Session) { s.ReflectorClient = true }))
	}
	return list
}

// run has both clients tell, change and withdraw.
func (l *loop) run(same bool) {
	const routes = 20
	var mine [2][]string
	for i := range mine {
		for n := range routes {
			mine[i] = append(mine[i], fmt.Sprintf("10.%d.0.%d/32", i+1, n), fmt.Sprintf("fd00::%d:%x/128", i+1, n))
		}
	}
	l.burst(mine)
	for i := range mine {
		l.announce(i, []int{0, 1}, 300, mine[i]...)
	}
	l.require("each other's routes", func(i, end int) map[string]string { return overAll(mine[1-i], l.clusters[end]) })

	// What the first no longer has from clients it has from the second, unless
	// they are of one cluster.
	for i := range mine {
		l.withdraw(i, []int{0}, mine[i]...)
	}
	l.require("routes over both reflectors", func(i, end int) map[string]string {
		switch {
		case end == 1:
			return overAll(mine[1-i], l.clusters[1])
		case same:
			return overAll(nil)
		}
		return overAll(mine[1-i], l.clusters[:]...)
	})
	for i := range mine {
		l.withdraw(i, []int{1}, mine[i]...)
	}
	l.require("nothing", func(int, int) map[string]string { return overAll(nil) })
	for range 3 { // what goes round without end would come in between
		l.announce(0, []int{0, 1}, 100, "10.9.0.9/32")
		l.require("one more route", func(i, end int) map[string]string {
			if i == 0 {
				return overAll(nil)
			}
			return overAll([]string{"10.9.0.9/32"}, l.clusters[end])
		})
		l.withdraw(0, []int{0, 1}, "10.9.0.9/32")
		l.require("nothing again", func(int, int) map[string]string { return overAll(nil) })
	}
	l.requireFew()
}

// burst has each client tell, change and withdraw its routes and the other's
// without a pause.
func (l *loop) burst(mine [2][]string) {
	for round := range uint32(6) {
		for i := range mine {
			l.announce(i, []int{0, 1}, 200+round, mine[i]...)
			l.announce(i, []int{int(round % 2)}, 200-round, mine[1-i]...) // the other client's
		}
		for i := range mine {
			l.withdraw(i, []int{0, 1}, mine[1-i]...)
			l.withdraw(i, []int{int(round % 2)}, mine[i]...)
		}
	}
}

// overAll is prefixes with one cluster list.
func overAll(list []string, clusters ...netip.Addr) map[string]string {
	over := make(map[string]string)
	for _, p := range list {
		over[p] = fmt.Sprint(clusters)
	}
	return over
}

// announce has client i tell some reflectors prefixes.
func (l *loop) announce(i int, ends []int, pref uint32, prefixes ...string) {
	for _, end := range ends {
		r := l.clients[i][end]
		for f, hop := range []string{"198.51.100.%d", "2001:db8:1::%d"} {
			a := wire.Attributes{LocalPref: pref, NextHop: wire.NextHop{Addr: netip.MustParseAddr(fmt.Sprintf(hop, i+1))}}
			list := slices.DeleteFunc(slices.Clone(prefixes), func(p string) bool { return strings.Contains(p, ":") != (f == 1) })
			r.announce(a, list...)
			l.told++
		}
	}
}

func (l *loop) withdraw(i int, ends []int, prefixes ...string) {
	for _, end := range ends {
		l.clients[i][end].withdraw(prefixes...)
		l.told += 2 // a family each
	}
}

// require waits until each client holds from each reflector what want says, by
// prefix with its cluster list.
func (l *loop) require(what string, want func(i, end int) map[string]string) {
	l.Helper()
	bgptest.Await(l.T, what, func() string {
		for i := range l.clients {
			for end, r := range l.clients[i] {
				if diff := cmp.Diff(want(i, end), r.over()); diff != "" {
					return fmt.Sprintf("client %d from reflector %d (-want +got):\n%s", i, end, diff)
				}
			}
		}
		for _, e := range l.first.paths("0.0.0.0/0") {
			if len(want(1, 0)) == 0 && len(want(1, 1)) == 0 {
				return fmt.Sprintf("the first reflector has %s of %s", e.Prefix, e.Peer)
			}
		}
		return ""
	})
}

// over is the cluster lists of all that the router holds and has not told
// itself (RFC 4456 §8).
func (r *far) over() map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	over := make(map[string]string)
	for p, a := range r.holds {
		if a.OriginatorID != r.id {
			over[p.String()] = fmt.Sprint(a.ClusterList)
		}
	}
	return over
}

// requireFew: nobody heard more UPDATEs than clients have said in all.
func (l *loop) requireFew() {
	l.Helper()
	s := l.first.peer(loopSecond).Stats
	l.Logf("clients said %d UPDATEs; between the reflectors %d and %d", l.told, s.Out.Updates, s.In.Updates)
	if most := max(s.Out.Updates, s.In.Updates); most > uint64(l.told) {
		l.Errorf("between the reflectors %d UPDATEs", most)
	}
	for i := range l.clients {
		for end, r := range l.clients[i] {
			if n := r.updates(); n > l.told {
				l.Errorf("client %d heard %d UPDATEs from reflector %d", i, n, end)
			}
		}
	}
}

const loopBIRD = `
router id SECOND;
protocol device {}
template bgp mate {
	local SECOND as 64512; strict bind on; rr cluster id CLUSTER; connect delay time 1; connect retry time 1; error wait time 1, 2;
	ipv4 { import all; export all; next hop keep; };
	ipv6 { import all; export all; next hop keep; };
}
protocol bgp reflector1 from mate { neighbor FIRST as 64512; MUTUAL }
protocol bgp client1 from mate { neighbor ONE as 64512; rr client; passive on; }
protocol bgp client2 from mate { neighbor TWO as 64512; rr client; passive on; }
`

const loopFRR = `
router bgp 64512
 bgp router-id SECOND
 bgp cluster-id CLUSTER
 no bgp network import-check
 neighbor FIRST remote-as 64512
 neighbor FIRST update-source SECOND
 neighbor FIRST timers connect 1
 neighbor ONE remote-as 64512
 neighbor ONE passive
 neighbor TWO remote-as 64512
 neighbor TWO passive
FAMILY 4
FAMILY 6
`

const loopFamily = ` address-family ipvFAMILY unicast
  neighbor FIRST activate
  MUTUAL
  neighbor ONE activate
  neighbor ONE route-reflector-client
  neighbor TWO activate
  neighbor TWO route-reflector-client
 exit-address-family`

// startProduct starts somebody else's reflector as the second one.
func (l *loop) startProduct(kind string, client bool) {
	l.Helper()
	dir, at := l.TempDir(), l.address(loopSecond).String()
	replace := func(config, mutual string) string {
		if !client {
			mutual = ""
		}
		return strings.NewReplacer("SECOND", at, "FIRST", l.address(loopFirst).String(), "CLUSTER", l.clusters[1].String(), "MUTUAL", mutual,
			"ONE", l.address(loopClients).String(), "TWO", l.address(loopClients+1).String()).Replace(config)
	}
	if kind == "bird" {
		testenv.Need(l, "program:bird")
		product(l.T, dir, l.first, loopSecond, replace(loopBIRD, "rr client;"), "bird", "-f", "-c", dir+"/conf", "-s", dir+"/ctl", "-P", dir+"/pid")
		return
	}
	testenv.Need(l, "program:bgpd")
	config := loopFRR
	for _, f := range []string{"4", "6"} {
		config = strings.Replace(config, "FAMILY "+f, strings.Replace(loopFamily, "FAMILY", f, 1), 1)
	}
	product(l.T, dir, l.first, loopSecond, replace(config, "neighbor "+l.address(loopFirst).String()+" route-reflector-client"),
		"bgpd", "-n", "-Z", "-S", "-f", dir+"/conf", "-i", dir+"/pid", "-l", at, "-P", "0", "--vty_socket", dir)
}
