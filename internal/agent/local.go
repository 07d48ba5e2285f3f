package agent

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/fib"
	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/version"
	"github.com/projectvrouter/vrouter/internal/view"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// Status returns identity, problems and peers of this node.
func (a *Agent) Status(context.Context) (*vrouterv1.GetStatusResponse, error) {
	guid, _ := a.feed.Identity()
	f := a.sessions.fabric()
	r := &vrouterv1.GetStatusResponse{
		Node: a.opts.Identity.Name, Role: a.opts.Identity.Role, Version: version.String(),
		Started: timestamppb.New(a.started), ClusterGuid: guid, StoreRevision: a.view.Revision(),
		Policy: a.opts.Policing.name(), LocalEndpoints: int64(len(a.view.Endpoints())),
	}
	own := f.Node(a.opts.Identity.Name)
	if own != nil {
		r.AsNumber, r.RouterId = asNumber(f, own), a.routerIDOf(own).String()
	}
	detected, changed := detectionMessages(a.detections(), own)
	r.Detections = detected
	r.Problems = append(a.problems(), changed...)
	r.Drain = a.sessions.Drain()
	ready, conditions := a.opts.Health.Ready()
	r.Ready = ready
	for _, c := range conditions {
		r.Conditions = append(r.Conditions, &vrouterv1.Condition{Name: c.Name, Ok: c.Ready, Reason: c.Reason})
	}
	for _, p := range a.opts.Speaker.Peers() {
		m := peerMessage(p)
		if a.sessions.retire.Keeps(p.Session.Endpoint()) {
			m.Type += ", retiring"
		}
		r.Peers = append(r.Peers, m)
	}
	return r, nil
}

// shownProblems is how many undecodable objects a status names: a newer version
// may have stored any number of a kind that this one does not know.
const shownProblems = 20

// problems says what is wrong with the fabric and with what is stored.
func (a *Agent) problems() []string {
	_, found := a.sessions.Wanted()
	all := append(slices.Clone(found), a.sessions.retire.Problems()...)
	all = append(all, a.blockProblems()...)
	all = append(all, a.policyProblems()...)
	if locked := a.view.Locked(); locked != nil {
		all = append(all, locked.Error())
	}
	n := 0
	for key, err := range a.view.Problems() {
		if n++; n <= shownProblems {
			all = append(all, fmt.Sprintf("%s: its last good form stays in force: %v", key, err))
		}
	}
	if n > shownProblems {
		all = append(all, fmt.Sprintf("and %d more objects that cannot be used", n-shownProblems))
	}
	return all
}

// Adopt accepts a foreign store.
func (a *Agent) Adopt(ctx context.Context) (*vrouterv1.AdoptClusterResponse, error) {
	guid, adopted, err := a.feed.Adopt(ctx)
	if err != nil {
		return nil, err
	}
	return &vrouterv1.AdoptClusterResponse{ClusterGuid: guid, Adopted: adopted}, nil
}

// SetLogLevel sets the level of a subsystem, or of all when it is empty.
func (a *Agent) SetLogLevel(subsystem, level string) error {
	if err := a.opts.Levels.Set(subsystem, level); err != nil {
		return &resource.Invalid{Problems: []resource.Problem{{Path: "subsystem", Reason: err.Error()}}}
	}
	return nil
}

// WaitStage returns once the endpoint has reached stage for that revision.
func (a *Agent) WaitStage(ctx context.Context, id resource.EndpointID, revision int64,
	stage vrouterv1.Stage) (vrouterv1.Stage, []string, error) {
	p, err := a.stages.wait(ctx, id, revision, stage)
	return p.Stage(), p.Problems, err
}

// routesPortion is how many routes are handed over at once.
const routesPortion = 500

// Routes yields RIB and FIB side by side, inside prefix when it is valid.
func (a *Agent) Routes(ctx context.Context, within netip.Prefix, yield func([]*vrouterv1.Route) error) error {
	routes := make(map[netip.Prefix]*vrouterv1.Route)
	at := func(p netip.Prefix) *vrouterv1.Route {
		r := routes[p]
		if r == nil {
			r = &vrouterv1.Route{Prefix: p.String()}
			routes[p] = r
		}
		return r
	}
	for e := range a.opts.Speaker.Routes(bgp.Query{Within: within}) {
		r := at(e.Prefix)
		if e.Own {
			r.Advertised = e.Best
			continue
		}
		r.Paths = append(r.Paths, pathMessage(e))
	}
	if a.opts.Table != nil {
		for _, s := range a.opts.Table.States() {
			if (bgp.Query{Within: within}).Match(s.Prefix, netip.Addr{}) {
				a.fillRoute(at(s.Prefix), s)
			}
		}
		for _, ep := range a.view.Endpoints() {
			for _, addr := range ep.Addresses {
				if r := routes[netip.PrefixFrom(addr, addr.BitLen())]; r != nil {
					r.Endpoint = ep.Endpoint.String()
				}
			}
		}
	}
	order := slices.SortedFunc(maps.Keys(routes), bgp.ComparePrefix)
	for portion := range slices.Chunk(order, routesPortion) {
		if err := ctx.Err(); err != nil {
			return err
		}
		message := make([]*vrouterv1.Route, 0, len(portion))
		for _, p := range portion {
			r := routes[p]
			if r.Reason = explain(r); a.workloads != nil {
				r.Reason += a.blockReason(p, r)
			}
			message = append(message, r)
		}
		if err := yield(message); err != nil {
			return err
		}
	}
	return nil
}

// KernelRoutes yields what the kernel holds, or should, for a source, inside
// prefix when it is valid.
func (a *Agent) KernelRoutes(ctx context.Context, source string, within netip.Prefix, yield func([]*vrouterv1.Route) error) error {
	if a.opts.Table == nil {
		return nil
	}
	endpoints := make(map[netip.Prefix]string)
	if source == fib.Workload.String() {
		for _, ep := range a.view.Endpoints() {
			for _, addr := range ep.Addresses {
				endpoints[netip.PrefixFrom(addr, addr.BitLen())] = ep.Endpoint.String()
			}
		}
	}
	var chosen []fib.State
	for _, s := range a.opts.Table.States() {
		if s.Source.String() == source && (bgp.Query{Within: within}).Match(s.Prefix, netip.Addr{}) {
			chosen = append(chosen, s)
		}
	}
	slices.SortFunc(chosen, func(s, t fib.State) int { return bgp.ComparePrefix(s.Prefix, t.Prefix) })
	for portion := range slices.Chunk(chosen, routesPortion) {
		if err := ctx.Err(); err != nil {
			return err
		}
		message := make([]*vrouterv1.Route, 0, len(portion))
		for _, s := range portion {
			r := &vrouterv1.Route{Prefix: s.Prefix.String(), Endpoint: endpoints[s.Prefix]}
			a.fillRoute(r, s)
			r.Reason = explain(r)
			message = append(message, r)
		}
		if err := yield(message); err != nil {
			return err
		}
	}
	return nil
}

// explain says in words why a route is there, or is not.
func explain(r *vrouterv1.Route) string {
	switch {
	case r.Problem != "":
		return r.Problem
	case r.Endpoint != "":
		return "local endpoint"
	case r.Source == fib.Workload.String():
		return "left by an earlier run: its endpoint is not known yet"
	case r.Source == fib.Blackhole.String():
		return "free addresses of a block of this host"
	case r.Source == fib.BGP.String() && len(r.Paths) == 0:
		return "left by an earlier run: no peer has told it again yet"
	case r.Source == fib.BGP.String():
		return fmt.Sprintf("best of %d paths", len(r.Paths))
	case r.Source != "":
		return r.Source
	case len(r.Paths) > 0:
		return "no path is usable here"
	}
	return ""
}

// blockReason adds what blocks have to do with a route.
func (a *Agent) blockReason(p netip.Prefix, r *vrouterv1.Route) string {
	switch {
	case r.Source == fib.Blackhole.String() && !a.ownsBlock(p):
		return ", left by an earlier run: not known to be owned yet"
	case r.Endpoint != "" && !r.Advertised:
		if b := a.workloads.blocks.coverOf(p.Addr()); b.IsValid() {
			return ", advertised by its block " + b.String()
		}
	}
	return ""
}

func (a *Agent) ownsBlock(p netip.Prefix) bool {
	return slices.ContainsFunc(a.blocks.Owned(), func(b view.OwnBlock) bool { return b.CIDR == p })
}

// blockProblems says which claims to blocks cannot be used, and which blocks of
// this host the kernel does not hold.
func (a *Agent) blockProblems() []string {
	if a.blocks == nil {
		return nil
	}
	all := a.blocks.Problems()
	for _, b := range a.blocks.Owned() {
		if s := a.opts.Table.Get(b.CIDR); s.Err != nil {
			all = append(all, fmt.Sprintf("block %s: %v", b.CIDR, s.Err))
		}
	}
	return all
}

func (a *Agent) fillRoute(r *vrouterv1.Route, s fib.State) {
	r.Source, r.Programmed = s.Source.String(), s.Programmed
	if s.Err != nil {
		r.Problem = s.Err.Error()
	}
	chosen := s.Routes[s.Source]
	if chosen == nil {
		return
	}
	hops := chosen.NextHops
	if chosen.Group != "" {
		hops = a.learned.nextHopsOf(s.Prefix)
	}
	for _, h := range hops {
		hop := &vrouterv1.RouteNextHop{Interface: h.Interface, Onlink: h.Onlink}
		if h.Gateway.IsValid() {
			hop.Gateway = h.Gateway.String()
		}
		r.NextHops = append(r.NextHops, hop)
	}
}

func pathMessage(e bgp.Entry) *vrouterv1.BGPPath {
	m := &vrouterv1.BGPPath{
		Peer: e.Peer.String(), NextHop: e.NextHop.String(), AsPath: e.ASPath, LocalPref: e.LocalPref,
		Med: e.MED, Best: e.Best, Stale: e.Stale, LongLived: e.LongLived, Refused: string(e.Refused),
		PeerName: e.Session, PathId: e.PathID, Origin: originName(e.Origin),
	}
	for _, c := range e.Communities {
		m.Communities = append(m.Communities, fmt.Sprintf("%d:%d", c>>16, c&0xffff))
	}
	for _, c := range e.LargeCommunities {
		m.Communities = append(m.Communities, fmt.Sprintf("%d:%d:%d", c.Global, c.Local1, c.Local2))
	}
	if e.OriginatorID.IsValid() {
		m.OriginatorId = e.OriginatorID.String()
	}
	for _, id := range e.ClusterList {
		m.ClusterList = append(m.ClusterList, id.String())
	}
	return m
}

func originName(o bgp.Origin) string {
	switch o {
	case bgp.OriginIGP:
		return "IGP"
	case bgp.OriginEGP:
		return "EGP"
	}
	return "incomplete"
}
