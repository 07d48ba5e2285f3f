package engine

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/bgptest"
	"github.com/projectvrouter/vrouter/bgp/wire"
)

// TestModel announces, withdraws, joins, leaves, refreshes and reads at random,
// with limits so small that peers fall off the log all the time. At quiet
// points what each peer holds by its stream of bytes is what a naive reference
// says, and so is what Drain told.
func TestModel(t *testing.T) {
	for seed := range uint64(100) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			m := newModel(t, seed)
			for n := range 1500 {
				m.step()
				if n%100 == 99 {
					m.quiet()
				}
			}
			m.end()
		})
	}
}

var (
	modelAS      = uint32(64512)
	modelCluster = netip.MustParseAddr("244.0.0.1")
	modelLocal   = netip.MustParseAddr("192.0.2.254")
	modelPools   = [][]bgp.Pool{
		{{Prefix: netip.MustParsePrefix("10.0.0.0/8")}},
		{{Prefix: netip.MustParsePrefix("10.0.0.0/8")}, {Prefix: netip.MustParsePrefix("10.0.0.0/28"), DisableExport: true}},
		{{Prefix: netip.MustParsePrefix("10.0.0.0/27")}},
	}
)

// model is a rib beside its reference.
type model struct {
	*testing.T
	rand  *rand.Rand
	rib   *rib
	peers []*modelPeer

	pools bgp.Pools
	own   map[netip.Prefix]bgp.Attributes
	ref   bgptest.RIB
	told  map[netip.Prefix][]bgp.Path
}

// modelPeer is a session and the router at its other end.
type modelPeer struct {
	fills   *member // batch
	batch   batch
	source  *source
	member  *member // nil: down
	holds   map[netip.Prefix]bgp.Path
	reader  wire.Update
	options wire.Options
	eor     int
}

func newModel(t *testing.T, seed uint64) *model {
	m := &model{
		T: t, rand: rand.New(rand.NewPCG(seed, 1)), rib: newRIB(),
		own: make(map[netip.Prefix]bgp.Attributes), told: make(map[netip.Prefix][]bgp.Path),
	}
	m.rib.limits = limits{log: 400, batch: 150, step: 3}
	m.setPools(0)
	m.rib.setPolicy(bgp.ImportPolicy{ASN: modelAS, RouterID: modelLocal})
	for n := range 9 {
		s := bgp.Session{
			Name: fmt.Sprint(n), Peer: netip.AddrFrom4([4]byte{192, 0, 2, byte(n + 1)}),
			LocalAS: modelAS, PeerAS: modelAS, ClusterID: modelCluster, ReflectorClient: n < 4,
		}
		switch {
		case n >= 8:
			s.ClusterID = netip.Addr{} // no reflection to this one
		case n >= 6:
			s.PeerAS = 65000 + uint32(n)
		}
		p := &modelPeer{source: m.rib.addSource(s)}
		p.source.routerID = s.Peer
		p.options = wire.Options{FourByteAS: true, Families: bgp.FamiliesOf(bgp.IPv4Unicast), External: !s.Internal()}
		m.peers = append(m.peers, p)
	}
	return m
}

func (m *model) setPools(n int) {
	m.pools = bgp.NewPools(modelPools[n])
	m.rib.setPools(m.pools)
	m.ref.Touch(func(netip.Prefix) bool { return true })
}

func (m *model) step() {
	p := m.peers[m.rand.IntN(len(m.peers))]
	prefix := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(m.rand.IntN(40))}), 32)
	switch n := m.rand.IntN(100); {
	case n < 30:
		m.announce(p, prefix)
	case n < 50:
		m.rib.withdraw(p.source.id, prefix, 0)
		m.ref.Remove(prefix, p.source.want.Peer)
	case n < 55:
		a := bgp.Attributes{MED: uint32(m.rand.IntN(2)), LocalPref: uint32(m.rand.IntN(2))}
		m.own[prefix] = a
		attrs := wire.Originated(a)
		set, err := m.rib.sets.intern(attrs.Append(nil))
		if err != nil {
			m.Fatal(err)
		}
		m.rib.originate(prefix, set)
	case n < 60:
		delete(m.own, prefix)
		m.rib.originate(prefix, 0)
	case n < 64:
		m.toggle(p)
	case n < 66 && p.member != nil:
		p.member.refresh(n == 64)
	case n < 67:
		m.setPools(m.rand.IntN(len(modelPools)))
	case n < 77:
		m.rib.pack()
	default:
		m.read(p)
	}
}

// announce tells a path of p, which may be one to refuse.
func (m *model) announce(p *modelPeer, prefix netip.Prefix) {
	pick := func(n int) bool { return m.rand.IntN(n) == 0 }
	a := wire.Attributes{NextHop: wire.NextHop{Addr: netip.AddrFrom4([4]byte{198, 51, 100, byte(m.rand.IntN(3))})}}
	if p.source.want.Internal() {
		a.HasLocalPref, a.LocalPref = true, 100+uint32(m.rand.IntN(2))
		if pick(3) {
			a.ClusterList = []netip.Addr{netip.MustParseAddr("244.0.0.2")}
			a.OriginatorID = netip.MustParseAddr("192.0.2.77")
		}
		if pick(8) {
			a.ClusterList = append(a.ClusterList, modelCluster)
		}
	} else {
		a.ASPath = wire.ASPath{{Type: wire.ASSequence, AS: []uint32{p.source.want.PeerAS, 65100 + uint32(m.rand.IntN(2))}}}
	}
	if pick(8) {
		a.Communities = []bgp.Community{bgp.NoExport + bgp.Community(m.rand.IntN(2))}
	}
	set, err := m.rib.sets.intern(a.Append(nil))
	if err != nil {
		m.Fatal(err)
	}
	m.rib.announce(p.source.id, prefix, 0, set, m.rib.judge(p.source, set))
	path := m.rib.sets.sets[set].path
	m.rib.sets.release(set)
	s := p.source.want
	path.Prefix, path.Peer, path.PeerAS, path.PeerID, path.Internal = prefix, s.Peer, s.PeerAS, p.source.routerID, s.Internal()
	m.ref.Put(path)
}

// toggle brings a session up, or down with its paths.
func (m *model) toggle(p *modelPeer) {
	s := p.source.want
	if p.member == nil {
		p.member, p.holds, p.eor = newMember(p.source.id, make(chan struct{}, 1)), make(map[netip.Prefix]bgp.Path), 0
		m.rib.join(treatment{
			family: s.Carried().All()[0], role: p.source.role, localAS: s.LocalAS, local: modelLocal, cluster: s.ClusterID,
		}, p.member)
		p.member.start()
		return
	}
	m.rib.leave(p.member)
	p.member = nil
	if m.rand.IntN(2) == 0 {
		m.rib.retire(p.source.id)
		for n := range 40 {
			if path, ok := m.ref.Get(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}), 32), s.Peer); ok {
				path.Stale = true
				m.ref.Put(path)
			}
		}
		return
	}
	m.rib.drop(p.source.id, false)
	for n := range 40 {
		m.ref.Remove(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}), 32), s.Peer)
	}
}

// read lets the router read one batch; false: there is none.
func (m *model) read(p *modelPeer) bool {
	if p.member == nil {
		return false
	}
	if p.fills != p.member {
		p.fills, p.batch = p.member, batch{}
	}
	if p.member.take(m.rib, &p.batch) {
		return true // what others do meanwhile comes in between
	}
	b := p.batch
	p.batch = batch{}
	messages := 0
	for _, buf := range b.bufs {
		for len(buf) > 0 {
			kind, n, err := wire.CheckHeader(buf, false)
			if err != nil {
				m.Fatal(err)
			}
			if kind == wire.TypeUpdate {
				m.hear(p, buf[wire.HeaderLen:n])
			}
			buf = buf[n:]
			messages++
		}
	}
	if messages != b.messages {
		m.Errorf("%d messages, said to be %d", messages, b.messages)
	}
	return b.octets > 0
}

func (m *model) hear(p *modelPeer, body []byte) {
	if v := p.reader.Parse(body, p.options); v.Action != wire.OK {
		m.Fatalf("peer %s: %s: %x", p.source.want.Name, v, body)
	}
	if p.reader.EndOfRIB != 0 {
		p.eor++
	}
	for _, n := range p.reader.Withdrawn {
		for prefix := range n.All() {
			delete(p.holds, prefix)
		}
	}
	for _, a := range p.reader.Announced {
		attrs, err := wire.ParseAttributes(a.Attributes)
		if err != nil {
			m.Fatal(err)
		}
		for prefix := range a.NLRI.All() {
			p.holds[prefix] = pathOf(attrs)
		}
	}
}

// quiet lets everybody read to the end and compares.
func (m *model) quiet() {
	m.Helper()
	m.rib.pack()
	for _, p := range m.peers {
		for m.read(p) {
		}
		if p.member == nil {
			continue
		}
		want := m.wanted(p)
		if !maps.EqualFunc(p.holds, want, bgp.Path.Equal) {
			m.Fatalf("peer %s holds\n%v\nwant\n%v", p.source.want.Name, p.holds, want)
		}
		if p.eor != 1 {
			m.Errorf("peer %s got %d End-of-RIB", p.source.want.Name, p.eor)
		}
		if n := p.member.group.advertised(p.source.id); n != len(want) {
			m.Errorf("peer %s is said to hold %d routes, not %d", p.source.want.Name, n, len(want))
		}
	}
	got, want := m.rib.drain(), m.ref.Drain(m.accept())
	if !slices.EqualFunc(got, want, func(a, b bgp.PathSet) bool {
		return a.Prefix == b.Prefix && slices.EqualFunc(a.Paths, b.Paths, bgp.Path.Equal)
	}) {
		m.Fatalf("told\n%v\nwant\n%v", got, want)
	}
}

func (m *model) accept() bgptest.Accept {
	policy := bgp.ImportPolicy{Pools: m.pools, ASN: modelAS, RouterID: modelLocal}
	return func(p bgp.Path) (bgp.Path, bgp.Refusal) { return policy.Import(m.session(p.Peer), p) }
}

func (m *model) session(a netip.Addr) bgp.Session {
	n := slices.IndexFunc(m.peers, func(p *modelPeer) bool { return p.source.want.Peer == a })
	return m.peers[n].source.want
}

// wanted is what p is to hold, as it hears it.
func (m *model) wanted(p *modelPeer) map[netip.Prefix]bgp.Path {
	export := bgp.ExportPolicy{Pools: m.pools}
	want := make(map[netip.Prefix]bgp.Path)
	for n := range 40 {
		prefix := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}), 32)
		if export.Own(prefix) != "" {
			continue
		}
		if a, ok := m.own[prefix]; ok {
			path := a.Path(netip.Prefix{})
			path.NextHop = modelLocal
			want[prefix] = heard(p.source.want, path, true)
			continue
		}
		best := m.ref.Best(prefix, m.accept())
		if len(best) == 0 || !export.Learned(prefix, m.session(best[0].Peer), p.source.want) {
			continue
		}
		path := best[0]
		if slices.Contains(path.Communities, bgp.NoAdvertise) || slices.Contains(path.Communities, bgp.NoExport) && !p.source.want.Internal() {
			continue
		}
		if path.Internal {
			if !path.OriginatorID.IsValid() {
				path.OriginatorID = path.PeerID
			}
			path.ClusterList = append([]netip.Addr{modelCluster}, path.ClusterList...)
		}
		want[prefix] = heard(p.source.want, path, false)
	}
	return want
}

// heard is path as attributes alone say it at the other end of s.
func heard(s bgp.Session, path bgp.Path, own bool) bgp.Path {
	path.Prefix, path.Peer, path.PeerAS, path.PeerID, path.Internal = netip.Prefix{}, netip.Addr{}, 0, netip.Addr{}, false
	if !s.Internal() {
		path.ASPath = append([]uint32{s.LocalAS}, path.ASPath...)
		path.ASPathLen++
		path.LocalPref, path.OriginatorID, path.ClusterList = bgp.DefaultLocalPref, netip.Addr{}, nil
		if !own {
			path.MED = 0
		}
	}
	return path
}

// end removes everything, and looks for what is left.
func (m *model) end() {
	for p := range m.own {
		m.rib.originate(p, 0)
	}
	for _, p := range m.peers {
		m.rib.drop(p.source.id, false)
	}
	m.rib.pack()
	m.rib.drain()
	for _, p := range m.peers {
		for m.read(p) {
		}
		if p.member != nil && len(p.holds) > 0 {
			m.Errorf("peer %s still holds %v", p.source.want.Name, p.holds)
		}
	}
	m.rib.free()
	if n := m.rib.routes.len(); n != 0 {
		m.Errorf("%d routes are left, dead %v, told %v", n, m.rib.dead, m.rib.told)
	}
	if n := len(m.rib.sets.byRaw); n != 0 {
		m.Errorf("%d sets of attributes are left", n)
	}
}
