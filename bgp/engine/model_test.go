package engine

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/wire"
)

// TestModel announces, withdraws, joins, leaves, refreshes, changes policies and
// roles and reads at random, with limits so small that peers fall off the log all the
// time. At quiet points what each peer holds by its stream of bytes is what a
// naive reference says, and so is what Drain told.
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
	rand     *rand.Rand
	rib      *rib
	peers    []*modelPeer
	policies []*bgp.Policy

	pools   bgp.Pools
	own     map[netip.Prefix]bgp.Attributes
	paths   map[modelPath]bgp.Path // as they were told
	told    map[netip.Prefix][]bgp.Path
	reached map[netip.Addr]bool // nil: all are
}

// modelPath is a path in the reference.
type modelPath struct {
	prefix netip.Prefix
	peer   *modelPeer
	id     uint32
}

// modelPeer is a session and the router at its other end.
type modelPeer struct {
	fills   *member // batch
	batch   batch
	source  *source
	member  *member // nil: down
	holds   map[modelPath]bgp.Path
	reader  wire.Update
	options wire.Options
	many    bool // it gives several paths
	eor     int
}

func newModel(t *testing.T, seed uint64) *model {
	m := &model{
		T: t, rand: rand.New(rand.NewPCG(seed, 1)), rib: newRIB(), policies: modelPolicies(),
		own: make(map[netip.Prefix]bgp.Attributes), told: make(map[netip.Prefix][]bgp.Path), paths: make(map[modelPath]bgp.Path),
	}
	m.rib.limits = limits{log: 400, batch: 150, step: 3}
	m.setPools(0)
	m.rib.setPolicy(bgp.ImportPolicy{ASN: modelAS, RouterID: modelLocal})
	if seed%3 == 2 {
		m.reached = make(map[netip.Addr]bool)
		m.rib.trackHops(true)
	}
	peers := 9
	if seed%5 == 4 {
		peers = 30
	}
	for n := range peers {
		s := bgp.Session{
			Name: fmt.Sprint(n), Peer: netip.AddrFrom4([4]byte{192, 0, 2, byte(n + 1)}),
			LocalAS: modelAS, PeerAS: modelAS, ClusterID: modelCluster, ReflectorClient: n%9 < 4,
		}
		switch n % 9 {
		case 8:
			s.ClusterID = netip.Addr{} // no reflection to this one
		case 7, 6:
			s.PeerAS = 65000 + uint32(n)
		}
		if seed%4 == 3 { // a host: it reflects to none
			s.ClusterID, s.ReflectorClient = netip.Addr{}, false
		}
		if seed%2 == 1 {
			s.AddPathSend = []int{0, 0, 2, bgp.AllPaths}[n%4]
		}
		p := &modelPeer{source: m.rib.addSource(s), many: seed%2 == 1 && n%3 == 0}
		p.source.routerID = s.Peer
		p.options = wire.Options{FourByteAS: true, Families: bgp.FamiliesOf(bgp.IPv4Unicast), External: !s.Internal()}
		if s.AddPathSend != 0 {
			p.options.AddPath = p.options.Families
		}
		m.peers = append(m.peers, p)
	}
	return m
}

// modelPolicies are those that the sessions of a model have, one at a time.
func modelPolicies() []*bgp.Policy {
	rule := func(prefix string, match bgp.PrefixMatch, o *bgp.Operations) *bgp.FilterRule {
		p := netip.MustParsePrefix(prefix)
		return &bgp.FilterRule{Family: bgp.IPv4Unicast, Prefix: p, Match: match, MinLength: uint8(p.Bits()), MaxLength: 32, Change: o}
	}
	reject := rule("10.0.0.0/29", bgp.In, nil)
	reject.Reject = true
	remote := rule("10.0.0.0/27", bgp.In, &bgp.Operations{Prepend: []uint32{65200, 65201}})
	remote.RemotePeers, remote.PeerType = true, bgp.ExternalPeer
	better := &bgp.Operations{AddCommunities: []bgp.Community{7, bgp.NoExport}, Priority: 1, HasPriority: true}
	mark := &bgp.Operations{AddLarge: []bgp.LargeCommunity{{Global: 1, Local1: 2, Local2: 3}}}
	one := &bgp.Filter{Import: []*bgp.FilterRule{reject, rule("172.16.0.0/12", bgp.In, better)}, Export: []*bgp.FilterRule{remote}}
	all := &bgp.Filter{Import: []*bgp.FilterRule{rule("0.0.0.0/0", bgp.In, nil)}, Export: []*bgp.FilterRule{reject, rule("0.0.0.0/0", bgp.In, mark)}}
	again := &bgp.Filter{Export: []*bgp.FilterRule{{Family: bgp.IPv4Unicast, Interface: "v*", Change: &bgp.Operations{AddCommunities: []bgp.Community{8}}}}}
	return []*bgp.Policy{
		nil,
		{Filters: []*bgp.Filter{one}},
		{Filters: []*bgp.Filter{all}, Options: bgp.Options{AllowOwnAS: 1}},
		{Filters: []*bgp.Filter{again, one}, Options: bgp.Options{NextHop: bgp.NextHopSelf}},
		{Filters: []*bgp.Filter{all}, Options: bgp.Options{NextHop: bgp.NextHopKeep, AnyFirstAS: true}},
		{Options: bgp.Options{ReflectForeign: true, Blackhole: true}},
		{Filters: []*bgp.Filter{all}, Options: bgp.Options{ReflectForeign: true, GracefulShutdown: true}},
	}
}

func (m *model) setPools(n int) {
	m.pools = bgp.NewPools(modelPools[n])
	m.rib.setPools(m.pools)
}

func modelPrefix(n int) netip.Prefix {
	switch {
	case n >= 44:
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{169, 254, 0, 1}), 32)
	case n >= 40:
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 16, 0, byte(n)}), 32)
	}
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}), 32)
}

const modelPrefixes = 45

func (m *model) step() {
	p := m.peers[m.rand.IntN(len(m.peers))]
	prefix := modelPrefix(m.rand.IntN(modelPrefixes))
	switch n := m.rand.IntN(100); {
	case n < 30:
		m.announce(p, prefix)
	case n < 50:
		id := m.id(p)
		m.rib.withdraw(p.source.id, prefix, id)
		delete(m.paths, modelPath{prefix, p, id})
	case n < 55:
		a := bgp.Attributes{MED: uint32(m.rand.IntN(2)), LocalPref: uint32(m.rand.IntN(2)), Interface: []string{"", "veth1", "tap1"}[m.rand.IntN(3)]}
		m.own[prefix] = a
		attrs := wire.Originated(a)
		set, err := m.rib.sets.intern(attrs.Append(nil))
		if err != nil {
			m.Fatal(err)
		}
		m.rib.originate(prefix, set)
		m.rib.leadsTo(prefix, a.Interface)
	case n < 60:
		delete(m.own, prefix)
		m.rib.originate(prefix, 0)
		m.rib.leadsTo(prefix, "")
	case n < 64:
		m.toggle(p)
	case n < 66 && p.member != nil:
		p.member.refresh(n == 64)
	case n < 67:
		m.setPools(m.rand.IntN(len(modelPools)))
	case n < 69:
		m.setPolicies()
	case n < 70:
		m.setRoles()
	case n < 71 && m.reached != nil:
		m.ask(true)
	case n < 78:
		m.rib.pack()
	default:
		m.read(p)
	}
}

func (m *model) id(p *modelPeer) uint32 {
	if p.many {
		return uint32(m.rand.IntN(3))
	}
	return 0
}

// ask answers what the rib wants to know of next hops, and with change otherwise
// than before.
func (m *model) ask(change bool) {
	if m.reached == nil {
		return
	}
	if change {
		m.reached[netip.AddrFrom4([4]byte{198, 51, 100, byte(m.rand.IntN(3))})] = m.rand.IntN(3) > 0
		m.rib.sets.hops.askAgain()
	}
	list := m.rib.sets.hops.asked()
	answers := make([]answer, len(list))
	for n, h := range list {
		answers[n].cost, answers[n].reached = m.Cost(h.addr)
	}
	m.rib.answered(list, answers)
}

// Cost implements bgp.Costs.
func (m *model) Cost(a netip.Addr) (uint32, bool) {
	up, known := m.reached[a]
	return uint32(a.As4()[3] % 2), m.reached == nil || up || !known
}

// setPolicies gives some sessions, or all, another policy.
func (m *model) setPolicies() {
	policy := m.policies[m.rand.IntN(len(m.policies))]
	to := newRetreat()
	every := 1 + m.rand.IntN(3)
	for n, p := range m.peers {
		if n%every != 0 && every != 1 {
			continue
		}
		p.source.want.Policy, p.source.filters = policy, importRules(policy)
		to.judged = append(to.judged, p.source)
		if p.member != nil {
			t := p.member.group.treatment
			t.policy = m.rib.exportOf(policy)
			to.members[p.member] = t
		}
	}
	m.rib.retreat(to)
}

// setRoles makes us a reflector to some sessions, or to none, and their peers
// clients or not.
func (m *model) setRoles() {
	to := newRetreat()
	reflects := m.rand.IntN(4) > 0
	for _, p := range m.peers {
		s := p.source
		w := &s.want
		if m.rand.IntN(3) == 0 {
			continue
		}
		if w.ClusterID, w.ReflectorClient = (netip.Addr{}), false; reflects && m.rand.IntN(5) > 0 {
			w.ClusterID, w.ReflectorClient = modelCluster, w.Internal() && m.rand.IntN(2) == 0
		}
		if role := roleOf(*w); role != s.role {
			to.roles[s] = role
		}
		to.judged = append(to.judged, s)
		if p.member != nil {
			t := p.member.group.treatment
			t.role, t.cluster = roleOf(*w), w.ClusterID
			to.members[p.member] = t
		}
	}
	m.rib.retreat(to)
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
		if pick(8) {
			a.ASPath[0].AS[m.rand.IntN(2)] = modelAS
		}
	}
	if pick(6) {
		a.Communities = []bgp.Community{[]bgp.Community{bgp.NoExport, bgp.NoAdvertise, bgp.GracefulShutdown, bgp.Blackhole}[m.rand.IntN(4)]}
	}
	set, err := m.rib.sets.intern(a.Append(nil))
	if err != nil {
		m.Fatal(err)
	}
	id := m.id(p)
	m.rib.announce(p.source.id, prefix, id, set, m.rib.judge(p.source, set))
	path := m.rib.sets.sets[set].path
	m.rib.sets.release(set)
	s := p.source.want
	path.Prefix, path.Peer, path.PeerAS, path.PeerID, path.Internal = prefix, s.Peer, s.PeerAS, p.source.routerID, s.Internal()
	path.PathID = id
	m.paths[modelPath{prefix, p, id}] = path
}

// toggle brings a session up, or down with its paths.
func (m *model) toggle(p *modelPeer) {
	s := p.source.want
	if p.member == nil {
		p.member, p.holds, p.eor = newMember(p.source.id, make(chan struct{}, 1)), make(map[modelPath]bgp.Path), 0
		m.rib.join(treatment{
			family: s.Carried().All()[0], role: p.source.role, localAS: s.LocalAS, local: modelLocal, cluster: s.ClusterID,
			form: wire.Form{AddPath: p.options.AddPath}, paths: s.AddPathSend, policy: m.rib.exportOf(s.Policy),
		}, p.member)
		p.member.start()
		return
	}
	m.rib.leave(p.member)
	p.member = nil
	down := m.rand.IntN(3)
	switch down {
	case 0:
		m.rib.outdate(p.source.id, stale)
	case 1:
		m.rib.outdate(p.source.id, stale|longLived)
	case 2:
		m.rib.drop(p.source.id, false)
	}
	for k, path := range m.paths {
		switch {
		case k.peer != p:
		case down == 2:
			delete(m.paths, k)
		default:
			path.Stale, path.LongLived = true, path.LongLived || down == 1
			m.paths[k] = path
		}
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
		for prefix, id := range n.All() {
			delete(p.holds, modelPath{prefix: prefix, id: id})
		}
	}
	for _, a := range p.reader.Announced {
		attrs, err := wire.ParseAttributes(a.Attributes)
		if err != nil {
			m.Fatal(err)
		}
		for prefix, id := range a.NLRI.All() {
			p.holds[modelPath{prefix: prefix, id: id}] = attrs.Path(netip.Prefix{})
		}
	}
}

// quiet lets everybody read to the end and compares.
func (m *model) quiet() {
	m.Helper()
	m.ask(false)
	m.rib.pack()
	for _, p := range m.peers {
		for m.read(p) {
		}
		if p.member == nil {
			continue
		}
		got, want := text(p.holds), m.wanted(p)
		if !slices.Equal(got, want) {
			m.Fatalf("peer %s %+v holds\n%s\nwant\n%s", p.source.want.Name, p.member.group.treatment, diff(got, want), diff(want, got))
		}
		if p.eor != 1 {
			m.Errorf("peer %s got %d End-of-RIB", p.source.want.Name, p.eor)
		}
		if n := p.member.group.advertised(p.source.id); n != len(want) {
			m.Errorf("peer %s is said to hold %d paths, not %d", p.source.want.Name, n, len(want))
		}
	}
	m.drained()
	m.counted()
}

// end removes everything, and looks for what is left.
func (m *model) end() {
	for p := range m.own {
		m.rib.originate(p, 0)
		m.rib.leadsTo(p, "")
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
	if n := len(m.rib.originals) + len(m.rib.sets.changed) + len(m.rib.sets.hops.byAddr) + len(m.rib.interfaces); n != 0 {
		m.Errorf("originals %v, changes %v, next hops %v, interfaces %v are left",
			m.rib.originals, m.rib.sets.changed, m.rib.sets.hops.byAddr, m.rib.interfaces)
	}
}
