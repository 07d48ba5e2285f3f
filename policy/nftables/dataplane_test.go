package nftables

import (
	"testing"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/policy"
)

func (s *site) sync(t *testing.T, u *policy.Update) {
	t.Helper()
	if err := s.plane.Sync(t.Context(), u); err != nil {
		t.Fatal(err)
	}
}

func (s *site) apply(t *testing.T, u *policy.Update) {
	t.Helper()
	if err := s.plane.Apply(t.Context(), u); err != nil {
		t.Fatal(err)
	}
}

// pings tells whether workload a reaches workload b, in both families alike.
func (s *site) pings(t *testing.T, a, b int) bool {
	t.Helper()
	v4, v6 := workloadAddr(b)
	got4, got6 := s.workloads[a-1].Ping(v4) == nil, s.workloads[a-1].Ping(v6) == nil
	if got4 != got6 {
		t.Errorf("workload %d reaches %d: IPv4 %t, IPv6 %t", a, b, got4, got6)
	}
	return got4
}

func TestAllowAndDeny(t *testing.T) {
	s := newSite(t, 2)
	if !s.pings(t, 1, 2) {
		t.Fatal("no ping without policy")
	}
	u := baseUpdate(2)
	s.sync(t, u)
	if s.pings(t, 1, 2) {
		t.Error("an endpoint without profile is reached")
	}
	v4, v6 := workloadAddr(1)
	change := ingress("open", "from-1", policy.Rule{
		Action: policy.Allow, Source: policy.Side{Nets: prefixes(v4.String()+"/32", v6.String()+"/128")},
	})
	e := *u.Endpoints[endpointID(2)]
	e.Ingress = "open"
	change.Endpoints = map[resource.EndpointID]*policy.Endpoint{e.ID: &e}
	s.apply(t, change)
	if !s.pings(t, 1, 2) {
		t.Error("an allowed source does not get through")
	}
	if s.pings(t, 2, 1) {
		t.Error("what one endpoint allows lets into another")
	}
}

func TestCounters(t *testing.T) {
	s := newSite(t, 2)
	s.sync(t, baseUpdate(2))
	s.pings(t, 1, 2)
	got, err := s.plane.Counters(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].Policy != policyID("send") || got[0].Direction != policy.Egress ||
		got[0].Rule != 0 || got[0].Packets != 2 {
		t.Errorf("after two requests: %+v", got)
	}
}
