package gobgp

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	api "github.com/osrg/gobgp/v3/api"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/bgp"
)

// Names of GoBGP's policies and sets.
const (
	importName   = "vrouter-import"
	exportName   = "vrouter-export"
	ownASName    = "own-as"
	externalName = "external-peers"
)

// assignPolicies puts the policies in force. Both end in a statement that says
// what happens to the rest: GoBGP's own default of rejecting imports would drop
// our originations, too.
func (s *Speaker) assignPolicies(ctx context.Context) error {
	if err := s.setPolicies(ctx); err != nil {
		return err
	}
	for name, direction := range map[string]api.PolicyDirection{
		importName: api.PolicyDirection_IMPORT,
		exportName: api.PolicyDirection_EXPORT,
	} {
		err := s.server.SetPolicyAssignment(ctx, &api.SetPolicyAssignmentRequest{Assignment: &api.PolicyAssignment{
			Name:          "global",
			Direction:     direction,
			Policies:      []*api.Policy{{Name: name}},
			DefaultAction: api.RouteAction_REJECT,
		}})
		if err != nil {
			return fmt.Errorf("assign policy %s: %w", name, err)
		}
	}
	return nil
}

// refreshPolicies brings GoBGP's policies up to date. On a reflector, what was
// received goes through them again.
func (s *Speaker) refreshPolicies() error {
	before := s.policy
	if err := s.setPolicies(context.Background()); err != nil {
		return err
	}
	s.mu.Lock()
	reflector := s.reflector()
	s.mu.Unlock()
	if !reflector || s.policy == before {
		return nil
	}
	err := s.server.ResetPeer(context.Background(), &api.ResetPeerRequest{
		Address: "all", Soft: true, Direction: api.ResetPeerRequest_IN,
	})
	if err != nil {
		return fmt.Errorf("run what was received through the policies: %w", err)
	}
	return nil
}

func (s *Speaker) setPolicies(ctx context.Context) error {
	s.mu.Lock()
	request := s.policies()
	s.mu.Unlock()
	if proto.Equal(s.policy, request) {
		return nil
	}
	if err := s.server.SetPolicies(ctx, request); err != nil {
		return fmt.Errorf("set policies: %w", err)
	}
	s.policy = request
	return nil
}

// reflector reports whether this speaker reflects.
func (s *Speaker) reflector() bool {
	for _, e := range s.sessions {
		if e.want.ClusterID.IsValid() {
			return true
		}
	}
	return false
}

func (s *Speaker) policies() *api.SetPoliciesRequest {
	reflector := s.reflector()
	sets := []*api.DefinedSet{{DefinedType: api.DefinedType_AS_PATH, Name: ownASName, List: s.ownAS()}}
	in := []*api.Statement{
		statement("import-own", &api.Conditions{RouteType: api.Conditions_ROUTE_TYPE_LOCAL}, accept()),
		statement("import-own-as", &api.Conditions{AsPathSet: &api.MatchSet{Name: ownASName}}, reject()),
		// LOCAL_PREF of an external peer is ignored (RFC 4271 §5.1.5).
		statement("import-external", &api.Conditions{RouteType: api.Conditions_ROUTE_TYPE_EXTERNAL},
			&api.Actions{LocalPref: &api.LocalPrefAction{Value: bgp.DefaultLocalPref}}),
	}
	out := []*api.Statement{
		statement("export-own", &api.Conditions{RouteType: api.Conditions_ROUTE_TYPE_LOCAL}, accept()),
	}
	if !reflector {
		in = append(in, statement("import-all", &api.Conditions{}, accept()))
	} else {
		for _, set := range poolSets(s.pools) {
			sets = append(sets, set)
			in = append(in, statement("import-"+set.Name, &api.Conditions{PrefixSet: &api.MatchSet{Name: set.Name}}, accept()))
		}
		// An empty neighbour set would match every peer.
		if external := s.externalPeers(); len(external) > 0 {
			sets = append(sets, &api.DefinedSet{DefinedType: api.DefinedType_NEIGHBOR, Name: externalName, List: external})
			out = append(out, statement("export-transit", &api.Conditions{
				RouteType:   api.Conditions_ROUTE_TYPE_EXTERNAL,
				NeighborSet: &api.MatchSet{Name: externalName},
			}, reject()))
		}
		out = append(out, statement("export-reflected", &api.Conditions{}, &api.Actions{
			RouteAction: api.RouteAction_ACCEPT,
			Nexthop:     &api.NexthopAction{Unchanged: true},
		}))
	}
	return &api.SetPoliciesRequest{
		DefinedSets: sets,
		Policies:    []*api.Policy{{Name: importName, Statements: in}, {Name: exportName, Statements: out}},
	}
}

// poolSets is the exported pools as one prefix set per family, because GoBGP
// allows no mixture.
func poolSets(pools bgp.Pools) []*api.DefinedSet {
	v4 := &api.DefinedSet{DefinedType: api.DefinedType_PREFIX, Name: "pools-ipv4"}
	v6 := &api.DefinedSet{DefinedType: api.DefinedType_PREFIX, Name: "pools-ipv6"}
	for _, p := range pools.All() {
		if p.DisableExport {
			continue
		}
		set := v4
		if p.Prefix.Addr().Is6() {
			set = v6
		}
		set.Prefixes = append(set.Prefixes, &api.Prefix{
			IpPrefix:      p.Prefix.String(),
			MaskLengthMin: uint32(p.Prefix.Bits()),
			MaskLengthMax: uint32(p.Prefix.Addr().BitLen()),
		})
	}
	return slices.DeleteFunc([]*api.DefinedSet{v4, v6}, func(d *api.DefinedSet) bool { return len(d.Prefixes) == 0 })
}

func (s *Speaker) ownAS() []string {
	list := []string{fmt.Sprintf("_%d_", s.settings.ASN)}
	for _, e := range s.sessions {
		list = append(list, fmt.Sprintf("_%d_", e.want.LocalAS))
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func (s *Speaker) externalPeers() []string {
	var list []string
	for _, e := range s.sessions {
		if !e.want.Internal() {
			list = append(list, netip.PrefixFrom(e.want.Peer, e.want.Peer.BitLen()).String())
		}
	}
	slices.Sort(list)
	return list
}

func statement(name string, c *api.Conditions, a *api.Actions) *api.Statement {
	return &api.Statement{Name: name, Conditions: c, Actions: a}
}

func accept() *api.Actions { return &api.Actions{RouteAction: api.RouteAction_ACCEPT} }
func reject() *api.Actions { return &api.Actions{RouteAction: api.RouteAction_REJECT} }
