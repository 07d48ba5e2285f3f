package engine

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/bgptest"
)

// drained compares what Drain told, now and before, with what is best.
func (m *model) drained() {
	m.Helper()
	for _, set := range m.rib.drain() {
		if slices.EqualFunc(set.Paths, m.told[set.Prefix], bgp.Path.Equal) {
			m.Errorf("told %s again", set.Prefix)
		}
		if m.told[set.Prefix] = set.Paths; len(set.Paths) == 0 {
			delete(m.told, set.Prefix)
		}
	}
	for n := range modelPrefixes {
		prefix := modelPrefix(n)
		if got, want := m.told[prefix], bgptest.Best(m.usable(prefix, false)); !slices.EqualFunc(got, want, bgp.Path.Equal) {
			m.Fatalf("told of %s\n%+v\nwant\n%+v", prefix, got, want)
		}
	}
}

// counted compares the counts of sources with the paths there are.
func (m *model) counted() {
	m.Helper()
	want := make(map[*modelPeer]counts)
	for k, path := range m.paths {
		c := want[k.peer]
		c.received++
		if path.Stale {
			c.stale++
		}
		if _, why := m.imported(k, path); why == "" {
			c.accepted++
		}
		want[k.peer] = c
	}
	for _, p := range m.peers {
		if p.source.counts != want[p] {
			m.Errorf("peer %s is said to give %+v, not %+v", p.source.want.Name, p.source.counts, want[p])
		}
	}
}

func text(paths map[modelPath]bgp.Path) (lines []string) {
	for k, path := range paths {
		lines = append(lines, fmt.Sprintf("%s %+v", k.prefix, path))
	}
	slices.Sort(lines)
	return lines
}

// diff is the lines of a that b lacks.
func diff(a, b []string) (lines string) {
	for _, l := range a {
		if !slices.Contains(b, l) {
			lines += l + "\n"
		}
	}
	return lines
}

// imported is a path as it is used.
func (m *model) imported(k modelPath, path bgp.Path) (bgp.Path, bgp.Refusal) {
	policy := bgp.ImportPolicy{Pools: m.pools, ASN: modelAS, RouterID: modelLocal}
	return policy.Import(k.peer.source.want, path)
}

// usable is the paths to prefix that may be used and whose next hop is reached,
// with those from outside the pools or not.
func (m *model) usable(prefix netip.Prefix, foreign bool) (list []bgp.Path) {
	for k, path := range m.paths {
		if k.prefix != prefix {
			continue
		}
		path, why := m.imported(k, path)
		cost, reached := m.Cost(path.NextHop)
		if reached && (why == "" || foreign && why == bgp.NotInPool) {
			if m.reached != nil {
				path.Cost = cost
			}
			list = append(list, path)
		}
	}
	return list
}

func (m *model) session(a netip.Addr) bgp.Session {
	n := slices.IndexFunc(m.peers, func(p *modelPeer) bool { return p.source.want.Peer == a })
	return m.peers[n].source.want
}

// wanted is what p is to hold, as it hears it.
func (m *model) wanted(p *modelPeer) (lines []string) {
	s := p.source.want
	for n := range modelPrefixes {
		prefix := modelPrefix(n)
		var offered []bgp.Path
		if a, ok := m.own[prefix]; ok {
			if path, ok := m.exported(a.Path(prefix), s); ok {
				offered = append(offered, path)
			}
			if s.AddPathSend == 0 {
				lines = append(lines, m.lines(prefix, p, offered)...)
				continue
			}
		}
		left := m.usable(prefix, s.Policied().ReflectForeign)
		room := max(s.AddPathSend, 1) - len(offered)
		for ; len(left) > 0 && (room > 0 || s.AddPathSend == bgp.AllPaths); room-- {
			best := bgptest.Best(left)[0]
			left = slices.DeleteFunc(left, func(o bgp.Path) bool { return o.Peer == best.Peer && o.PathID == best.PathID })
			if path, ok := m.exported(best, s); ok && best.Peer != s.Peer {
				offered = append(offered, path)
			}
		}
		lines = append(lines, m.lines(prefix, p, offered)...)
	}
	slices.Sort(lines)
	return lines
}

func (m *model) lines(prefix netip.Prefix, p *modelPeer, paths []bgp.Path) (lines []string) {
	for _, path := range paths {
		lines = append(lines, fmt.Sprintf("%s %+v", prefix, heard(p.source.want, path)))
	}
	return lines
}

// exported is path as it goes to s, if it does.
func (m *model) exported(path bgp.Path, s bgp.Session) (bgp.Path, bool) {
	own, o := !path.Peer.IsValid(), s.Policied()
	if m.pools.Martian(path.Prefix) || path.Discard {
		return path, false
	}
	if !own && (slices.Contains(path.Communities, bgp.NoAdvertise) || slices.Contains(path.Communities, bgp.NoExport) && !s.Internal()) {
		return path, false
	}
	verdict, change := s.Policy.Export(&path, &s)
	why := bgp.ExportPolicy{Pools: m.pools}.Own(path.Prefix)
	allowed := why == "" || !own && why == bgp.NotInPool && o.ReflectForeign
	if !own {
		from := m.session(path.Peer)
		reflects := bgp.ExportPolicy{}.Reflects(from, s)
		allowed = allowed && reflects
		if verdict == bgp.Accepted && !reflects && from.Internal() && s.Internal() {
			return path, false
		}
	}
	if verdict == bgp.Rejected || verdict == bgp.NoMatch && !allowed {
		return path, false
	}
	switch {
	case own, o.NextHop == bgp.NextHopSelf, o.NextHop == bgp.NextHopAuto && !s.Internal() && !s.ClusterID.IsValid():
		path.NextHop = modelLocal
	}
	path = change.Apply(path)
	if o.GracefulShutdown {
		path = (&bgp.Operations{AddCommunities: []bgp.Community{bgp.GracefulShutdown}}).Apply(path)
		path.LocalPref = 0
	}
	return path, true
}

// heard is path as attributes alone say it at the other end of s.
func heard(s bgp.Session, path bgp.Path) bgp.Path {
	own := !path.Peer.IsValid()
	if !own && path.Internal && s.Internal() {
		if !path.OriginatorID.IsValid() {
			path.OriginatorID = path.PeerID
		}
		path.ClusterList = append([]netip.Addr{modelCluster}, path.ClusterList...)
	}
	path.Prefix, path.Peer, path.PeerAS, path.PeerID, path.Internal = netip.Prefix{}, netip.Addr{}, 0, netip.Addr{}, false
	path.PathID, path.Stale, path.LongLived, path.Cost, path.Interface = 0, false, false, 0, ""
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
