package agent

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/internal/resource"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// peersEvery is how often a watch of peers looks at them: what is counted
// changes all the time, so that there is no signal that would say when.
const peersEvery = time.Second

// WatchPeers sends all peers, and then those that change.
func (a *Agent) WatchPeers(ctx context.Context, send func(*vrouterv1.WatchPeersResponse) error) error {
	ticker := time.NewTicker(peersEvery)
	defer ticker.Stop()
	told := make(map[string]*vrouterv1.Peer)
	for first := true; ; first = false {
		if err := a.tellPeers(told, send); err != nil {
			return err
		}
		if first {
			synced := &vrouterv1.WatchPeersResponse_Synced_{Synced: &vrouterv1.WatchPeersResponse_Synced{}}
			if err := send(&vrouterv1.WatchPeersResponse{Event: synced}); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
	}
}

// tellPeers sends what differs from told. That messages were counted is no
// news: keepalives always are.
func (a *Agent) tellPeers(told map[string]*vrouterv1.Peer, send func(*vrouterv1.WatchPeersResponse) error) error {
	wanted := make(map[string]bool)
	for _, p := range a.opts.Speaker.Peers() {
		m := peerMessage(p)
		wanted[m.GetName()] = true
		quiet := proto.CloneOf(m)
		quiet.Statistics.In, quiet.Statistics.Out = nil, nil
		if old := told[m.GetName()]; old != nil && proto.Equal(old, quiet) {
			continue
		}
		told[m.GetName()] = quiet
		if err := send(&vrouterv1.WatchPeersResponse{Event: &vrouterv1.WatchPeersResponse_Put{Put: m}}); err != nil {
			return err
		}
	}
	for name := range told {
		if wanted[name] {
			continue
		}
		delete(told, name)
		if err := send(&vrouterv1.WatchPeersResponse{Event: &vrouterv1.WatchPeersResponse_Delete{Delete: name}}); err != nil {
			return err
		}
	}
	return nil
}

// Paths yields what BGP knows and f chooses.
func (a *Agent) Paths(ctx context.Context, f *vrouterv1.RouteFilter, yield func([]*vrouterv1.Route) error) error {
	q, err := a.query(f)
	if err != nil {
		return err
	}
	var portion []*vrouterv1.Route
	var state bgp.RouteState
	flush := func() error {
		if r := routeMessage(state, f); r != nil {
			portion = append(portion, r)
		}
		if len(portion) < routesPortion {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		full := portion
		portion = nil
		return yield(full)
	}
	for e := range a.opts.Speaker.Routes(q) {
		if e.Prefix != state.Prefix {
			if err := flush(); err != nil {
				return err
			}
			state = bgp.RouteState{Prefix: e.Prefix}
		}
		state.Entries = append(state.Entries, e)
	}
	if err := flush(); err != nil || len(portion) == 0 {
		return err
	}
	return yield(portion)
}

// WatchRoutes sends what BGP knows and f chooses, and then what changes.
func (a *Agent) WatchRoutes(ctx context.Context, f *vrouterv1.RouteFilter, send func(*vrouterv1.WatchRoutesResponse) error) error {
	q, err := a.query(f)
	if err != nil {
		return err
	}
	w := a.opts.Speaker.WatchRoutes(q)
	defer w.Close()
	shown := make(map[netip.Prefix]bool)
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-w.Changed():
		}
		states, synced, reset := w.Next(routesPortion)
		if reset {
			clear(shown)
			event := &vrouterv1.WatchRoutesResponse_Reset_{Reset_: &vrouterv1.WatchRoutesResponse_Reset{}}
			if err := send(&vrouterv1.WatchRoutesResponse{Event: event}); err != nil {
				return err
			}
		}
		for _, s := range states {
			if err := tellRoute(s, f, shown, send); err != nil {
				return err
			}
		}
		if synced {
			event := &vrouterv1.WatchRoutesResponse_Synced_{Synced: &vrouterv1.WatchRoutesResponse_Synced{}}
			if err := send(&vrouterv1.WatchRoutesResponse{Event: event}); err != nil {
				return err
			}
		}
	}
}

// tellRoute sends the state of a prefix, or that it is gone to one who was
// shown it.
func tellRoute(s bgp.RouteState, f *vrouterv1.RouteFilter, shown map[netip.Prefix]bool,
	send func(*vrouterv1.WatchRoutesResponse) error) error {
	r := routeMessage(s, f)
	switch {
	case r != nil:
		shown[s.Prefix] = true
		return send(&vrouterv1.WatchRoutesResponse{Event: &vrouterv1.WatchRoutesResponse_Put{Put: r}})
	case shown[s.Prefix]:
		delete(shown, s.Prefix)
		return send(&vrouterv1.WatchRoutesResponse{Event: &vrouterv1.WatchRoutesResponse_Delete{Delete: s.Prefix.String()}})
	}
	return nil
}

// query is f in the words of the speaker, as far as it has them.
func (a *Agent) query(f *vrouterv1.RouteFilter) (bgp.Query, error) {
	var q bgp.Query
	switch f.GetFamily() {
	case "IPv4":
		q.Family = bgp.IPv4Unicast
	case "IPv6":
		q.Family = bgp.IPv6Unicast
	}
	if f.GetPrefix() != "" {
		prefix, err := netip.ParsePrefix(f.GetPrefix())
		if err != nil {
			return q, refusedFilter("filter.prefix", err.Error())
		}
		q.Within = prefix
	}
	if f.GetPeer() == "" {
		return q, nil
	}
	if addr, err := netip.ParseAddr(f.GetPeer()); err == nil {
		q.Peer = addr
		return q, nil
	}
	for _, p := range a.opts.Speaker.Peers() {
		if f.GetPeer() == p.Session.Name || f.GetPeer() == p.Session.PeerNode {
			q.Peer = p.Session.Peer
			return q, nil
		}
	}
	return q, refusedFilter("filter.peer", fmt.Sprintf("there is no peer %q", f.GetPeer()))
}

func refusedFilter(path, why string) error {
	return &resource.Invalid{Problems: []resource.Problem{{Path: path, Reason: why}}}
}

// routeMessage is a prefix with the paths that f chooses; nil: it chooses none.
func routeMessage(s bgp.RouteState, f *vrouterv1.RouteFilter) *vrouterv1.Route {
	r := &vrouterv1.Route{}
	chosen := false
	for _, e := range s.Entries {
		if f.GetBest() && !e.Best || f.GetRefused() && e.Refused == "" {
			continue
		}
		chosen = true
		if e.Own {
			r.Originated, r.Advertised, r.Reason = true, e.Best, string(e.Refused)
			continue
		}
		r.Paths = append(r.Paths, pathMessage(e))
	}
	if !chosen {
		return nil
	}
	r.Prefix = s.Prefix.String()
	return r
}

// Dump writes the table as a file of MRT.
func (a *Agent) Dump(_ context.Context, w io.Writer) error {
	if a.opts.Dump == nil {
		return refusedFilter("node", "this node cannot dump its table")
	}
	f, name := a.sessions.fabric(), a.opts.Identity.Name
	own := f.Node(name)
	if own == nil {
		return refusedFilter("node", "this node has no address yet")
	}
	return a.opts.Dump(w, name, asNumber(f, own), a.routerIDOf(own))
}

// Reflector returns what the speaker is doing.
func (a *Agent) Reflector(context.Context) (*vrouterv1.GetReflectorResponse, error) {
	f := a.sessions.fabric()
	r := &vrouterv1.GetReflectorResponse{
		Node: a.opts.Identity.Name, Role: a.opts.Identity.Role, Started: timestamppb.New(a.started),
	}
	if own := f.Node(a.opts.Identity.Name); own != nil {
		r.AsNumber, r.RouterId = asNumber(f, own), a.routerIDOf(own).String()
		grouping := bgp.NewGrouping(f.ReflectorGroups, f.Memberships, f.Nodes)
		r.ClusterId = addressText(grouping.ClusterID(own))
		for _, g := range f.ReflectorGroups {
			members := grouping.Members(g.Name)
			r.Placements = append(r.Placements, &vrouterv1.ReflectorPlacement{
				Group: g.Name, Members: members, Hosts: int32(len(grouping.Hosts(g.Name))),
				Member: slices.Contains(members, own.Name), Host: grouping.HostOf(own.Name) == g.Name,
			})
		}
	}
	for _, p := range a.opts.Speaker.Peers() {
		r.Peers++
		if p.State == bgp.Established {
			r.Established++
		}
		if p.Session.ReflectorClient {
			r.Clients++
		}
	}
	s := a.opts.Speaker.Statistics()
	r.Table = &vrouterv1.RouteTable{
		Routes: int64(s.Table.Routes), Paths: int64(s.Table.Paths), Own: int64(s.Table.Own),
		AttributeSets: int64(s.Table.AttributeSets), Octets: int64(s.Table.Octets),
	}
	for _, g := range s.Groups {
		r.Groups = append(r.Groups, groupMessage(g))
	}
	if a.opts.Stations != nil {
		for _, s := range a.opts.Stations() {
			r.Stations = append(r.Stations, stationMessage(s))
		}
	}
	return r, nil
}
