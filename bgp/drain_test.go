package bgp

import (
	"net/netip"
	"testing"
)

func TestDrained(t *testing.T) {
	policy := &Policy{Options: Options{Blackhole: true}}
	before := []Session{
		{Name: "a", Peer: netip.MustParseAddr("10.0.0.1"), Policy: policy},
		{Name: "b", Peer: netip.MustParseAddr("10.0.0.2"), Policy: policy},
		{Name: "c", Peer: netip.MustParseAddr("10.0.0.3"), Shutdown: true, ShutdownMessage: "for long"},
	}
	for _, s := range Drained(before, false, "away") {
		if !s.Policy.GracefulShutdown || s.Policy.Blackhole != (s.Name != "c") || s.Shutdown != (s.Name == "c") {
			t.Errorf("asked: %+v with %+v", s, s.Policy)
		}
	}
	if policy.GracefulShutdown {
		t.Error("the policy of others was changed")
	}
	closed := Drained(before, true, "away")
	if !closed[0].Shutdown || closed[0].ShutdownMessage != "away" || closed[2].ShutdownMessage != "for long" {
		t.Errorf("closed: %+v", closed)
	}
	if asked := Drained(before, false, ""); asked[0].Policy != asked[1].Policy || !before[0].SameAs(asked[0]) {
		t.Error("asking resets sessions, or tears apart what is one")
	}
}
