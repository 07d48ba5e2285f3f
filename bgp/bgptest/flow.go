package bgptest

import (
	"net/netip"

	"github.com/projectvrouter/vrouter/bgp"
)

// flow brings the other end up to date and reports whether it was not.
func (s *session) flow() bool {
	send := s.exports()
	moved := false
	for p := range s.sent {
		if _, ok := send[p]; !ok {
			s.other.gone(p)
			moved = true
		}
	}
	for p, path := range send {
		if old, ok := s.sent[p]; !ok || !old.Equal(path) {
			s.other.hear(path)
			moved = true
		}
	}
	s.sent = send
	return moved
}

// exports is what s may send now, as the other end hears it.
func (s *session) exports() map[netip.Prefix]bgp.Path {
	f := s.owner
	export := f.export()
	send := make(map[netip.Prefix]bgp.Path)
	for p, a := range f.own {
		if s.want.Carried().Has(bgp.FamilyOf(p.Addr())) && export.Own(p) == "" {
			path := a.Path(p)
			if !path.NextHop.IsValid() {
				path.NextHop = s.local()
			}
			send[p] = s.outgoing(path)
		}
	}
	if !s.want.ClusterID.IsValid() {
		return send
	}
	from := make(map[netip.Addr]*session)
	for _, o := range f.sessions {
		from[o.want.Peer] = o
	}
	accept := f.accept()
	for _, e := range f.rib.Entries(bgp.Query{Family: bgp.FamilyOf(s.want.Peer)}, nil, export, accept) {
		if _, own := send[e.Prefix]; own || !e.Best || f.rib.Best(e.Prefix, accept)[0].Peer != e.Peer {
			continue
		}
		if source := from[e.Peer]; source != nil && source != s && export.Learned(e.Prefix, source.want, s.want) {
			path := e.Path
			if path.Internal && s.want.Internal() {
				if !path.OriginatorID.IsValid() {
					path.OriginatorID = path.PeerID
				}
				path.ClusterList = append([]netip.Addr{s.want.ClusterID}, path.ClusterList...)
			}
			if !s.want.Internal() {
				path.MED = 0
			}
			send[e.Prefix] = s.outgoing(path)
		}
	}
	return send
}

// outgoing is path as the other end hears it.
func (s *session) outgoing(path bgp.Path) bgp.Path {
	path.Peer = s.other.want.Peer
	path.PeerAS = s.want.LocalAS
	path.PeerID = s.owner.settings.RouterID
	path.Internal = s.want.Internal()
	path.Stale = false
	if !path.Internal {
		path.ASPath = append([]uint32{s.want.LocalAS}, path.ASPath...)
		path.ASPathLen++
		path.LocalPref, path.OriginatorID, path.ClusterList = bgp.DefaultLocalPref, netip.Addr{}, nil
	}
	return path
}
