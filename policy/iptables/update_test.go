package iptables

import (
	"testing"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/policy"
)

// The interface of an endpoint that goes is none of a workload any more,
// whatever else goes with it.
func TestOddInterfaceGoes(t *testing.T) {
	s := newState(false)
	put := func(id resource.EndpointID, e *policy.Endpoint) {
		s.merge(&policy.Update{Endpoints: map[resource.EndpointID]*policy.Endpoint{id: e}})
	}
	s.merge(&policy.Update{Settings: &policy.Settings{WorkloadPrefixes: []string{"cali"}}})
	put(endpointID(1), &policy.Endpoint{ID: endpointID(1), Interface: "eth9", Spoofs: update().Policies[policyID("get")].Ingress[0].Source.Nets})
	if got := s.workloads(iif); len(got) != 2 {
		t.Fatalf("workloads are matched by %q", got)
	}
	put(endpointID(1), nil)
	if got := s.workloads(iif); len(got) != 1 {
		t.Errorf("workloads are matched by %q, and none is on eth9", got)
	}
}
