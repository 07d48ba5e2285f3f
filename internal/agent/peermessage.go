package agent

import (
	"net/netip"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/projectvrouter/vrouter/bgp"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

func peerMessage(p bgp.PeerState) *vrouterv1.Peer {
	s := p.Session
	m := &vrouterv1.Peer{
		Name: s.Name, Address: s.Peer.String(), Type: peerType(p), AsNumber: s.PeerAS, LocalAsNumber: s.LocalAS,
		State: p.State.String(), Since: timestamppb.New(p.Since), Family: familyName(bgp.FamilyOf(s.Peer)),
		PrefixesReceived: int64(p.Received), PrefixesAccepted: int64(p.Accepted), PrefixesAdvertised: int64(p.Advertised),
		LastError: p.LastError, HoldTime: durationpb.New(p.Hold), KeepaliveTime: durationpb.New(p.Keepalive),
		Capabilities: p.Capabilities, EndOfRib: p.EndOfRIB == s.Carried(), ReflectorClient: s.ReflectorClient, Node: s.PeerNode,
		RouterId: addressText(p.RouterID), LocalAddress: addressText(p.Local), LastUpdate: timeMessage(p.LastUpdate),
		Established: int64(p.Established), Restart: restartMessage(p.GracefulRestart), Options: optionsMessage(s),
		Statistics: statisticsMessage(p),
	}
	for _, f := range p.Families {
		m.Families = append(m.Families, &vrouterv1.PeerFamily{
			Family: familyName(f.Family), Up: f.Up, EndOfRib: f.EndOfRIB, Received: int64(f.Received),
			Accepted: int64(f.Accepted), Advertised: int64(f.Advertised), Stale: int64(f.Stale),
		})
	}
	return m
}

func restartMessage(r bgp.GracefulRestart) *vrouterv1.PeerRestart {
	m := &vrouterv1.PeerRestart{
		Negotiated: r.Negotiated, Restarting: r.Restarting, RestartTime: durationpb.New(r.RestartTime), Stale: int64(r.Stale),
	}
	for _, f := range r.Forwarding.All() {
		m.Forwarding = append(m.Forwarding, familyName(f))
	}
	return m
}

func optionsMessage(s bgp.Session) *vrouterv1.PeerOptions {
	m := &vrouterv1.PeerOptions{
		AddPathSend: int32(s.AddPathSend), AddPathReceive: s.AddPathReceive, LongLivedTime: durationpb.New(s.LongLived),
		Passive: s.Passive, Multihop: uint32(s.Multihop), TtlSecurity: uint32(s.TTLSecurity), Role: s.Role.String(),
		MaxPrefixes: int64(s.Policied().MaxPrefix.Limit), Shutdown: s.Shutdown, Password: s.Password != "",
	}
	for _, f := range s.Policied().Filters {
		m.Filters = append(m.Filters, f.Name)
	}
	return m
}

func statisticsMessage(p bgp.PeerState) *vrouterv1.PeerStatistics {
	m := &vrouterv1.PeerStatistics{
		In: trafficMessage(p.Stats.In), Out: trafficMessage(p.Stats.Out), Walks: int64(p.Stats.Walks),
		TreatedAsWithdraw:   int64(p.Stats.TreatedAsWithdraw),
		AttributesDiscarded: int64(p.Stats.AttributesDiscarded),
		SessionResets:       int64(p.Stats.SessionResets),
	}
	if len(p.Stats.Refused) > 0 {
		m.Refused = make(map[string]int64, len(p.Stats.Refused))
		for why, n := range p.Stats.Refused {
			m.Refused[string(why)] = int64(n)
		}
	}
	for _, at := range p.Stats.Members {
		m.Members = append(m.Members, memberMessage(p.Session.Name, p.Session.Peer, at))
	}
	return m
}

func trafficMessage(t bgp.Traffic) *vrouterv1.PeerTraffic {
	return &vrouterv1.PeerTraffic{
		Opens: int64(t.Opens), Updates: int64(t.Updates), Keepalives: int64(t.Keepalives),
		Notifications: int64(t.Notifications), Refreshes: int64(t.Refreshes), Octets: int64(t.Octets),
	}
}

func memberMessage(name string, peer netip.Addr, m bgp.MemberState) *vrouterv1.GroupMember {
	return &vrouterv1.GroupMember{
		Peer: name, Address: peer.String(), Group: int32(m.Group), Family: familyName(m.Family), Waiting: m.Waiting,
		Walking: m.Walking, Walked: int64(m.Walked), LagEntries: int64(m.LagEntries), LagOctets: int64(m.LagOctets),
	}
}

func groupMessage(g bgp.GroupState) *vrouterv1.UpdateGroup {
	m := &vrouterv1.UpdateGroup{
		Id: int32(g.ID), Family: familyName(g.Family), Kind: string(g.Kind), LocalAsNumber: g.LocalAS,
		NextHop: addressText(g.NextHop), ClusterId: addressText(g.ClusterID), Routes: int64(g.Routes), Walks: int64(g.Walks),
		LogEntries: int64(g.LogEntries), LogOctets: int64(g.LogOctets), Messages: int64(g.Messages), Octets: int64(g.Octets),
		StateOctets: int64(g.StateOctets),
	}
	for _, at := range g.Members {
		m.Members = append(m.Members, memberMessage(at.Name, at.Peer, at.MemberState))
	}
	return m
}

func stationMessage(s bgp.StationState) *vrouterv1.MonitoringStation {
	return &vrouterv1.MonitoringStation{
		Address: s.Address, Connected: s.Connected, Since: timeMessage(s.Since), Messages: int64(s.Messages),
		Octets: int64(s.Octets), Connections: int64(s.Connections), LastError: s.LastError,
	}
}

// timeMessage is t, or nothing for the zero time.
func timeMessage(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// addressText is a, or nothing for the zero address.
func addressText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// peerType is the kind of a session, in Calico's words where it has them.
func peerType(p bgp.PeerState) string {
	if p.Range.IsValid() {
		return "dynamic"
	}
	switch p.Session.Kind {
	case bgp.Mesh:
		return "node-to-node mesh"
	case bgp.Global:
		return "global"
	case bgp.Node:
		return "node specific"
	case bgp.Reflection:
		return "reflector group"
	}
	return "config file"
}

func familyName(f bgp.Family) string {
	if f == bgp.IPv6Unicast {
		return "IPv6"
	}
	return "IPv4"
}
