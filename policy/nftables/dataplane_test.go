package nftables

import (
	"slices"
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

func TestAllowAndDeny(t *testing.T) {
	s := newSite(t, 2)
	s.check(t, "w1 > w2 ping")
	u := baseUpdate(2)
	s.sync(t, u)
	s.host.MustRun("conntrack", "-F")
	s.check(t, "w1 !> w2 ping")
	v4, v6 := workloadAddr(1)
	change := ingress("open", "from-1", policy.Rule{
		Action: policy.Allow, Source: policy.Side{Nets: prefixes(v4.String()+"/32", v6.String()+"/128")},
	})
	e := *u.Endpoints[endpointID(2)]
	e.Ingress = "open"
	change.Endpoints = map[resource.EndpointID]*policy.Endpoint{e.ID: &e}
	s.apply(t, change)
	s.check(t, "w1 > w2 ping")
	s.check(t, "w2 !> w1 ping")
}

func TestCounters(t *testing.T) {
	s := newSite(t, 2)
	u := baseUpdate(2)
	rules(policy.Rule{Action: policy.Allow})(u)
	s.sync(t, u)
	s.check(t, "w1 > w2 ping 4")
	got, err := s.plane.Counters(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n := s.pings[s.workloads[0].Host]
	want := []policy.Counter{
		{Policy: policyID("send"), Direction: policy.Egress, Packets: n, Bytes: got[0].Bytes},
		{Policy: policyID("tier-a"), Direction: policy.Ingress, Packets: n, Bytes: got[0].Bytes},
	}
	if !slices.Equal(got, want) {
		t.Errorf("after %d connections: %+v", n, got)
	}
}
