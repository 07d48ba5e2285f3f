package policy_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/policy"
)

func member(text string) policy.Member { return policy.Member{Prefix: netip.MustParsePrefix(text)} }

func id(name string) resource.ID { return resource.ID{Kind: "GlobalNetworkPolicy", Name: name} }

// decisions is a state with one pipeline of two tiers and a profile.
func decisions(t *testing.T) *policy.State {
	t.Helper()
	u := everything()
	u.Sets["web"] = &policy.SetChange{Kind: policy.Networks, New: true, Add: []policy.Member{
		member("10.0.0.1/32"), member("10.1.0.0/16"), member("fd00::/64"),
	}}
	u.Sets["https"] = &policy.SetChange{Kind: policy.Ports, New: true, Add: []policy.Member{
		{Prefix: netip.MustParsePrefix("10.0.0.9/32"), Protocol: policy.ProtocolTCP, Port: 8443},
	}}
	web := policy.Side{Sets: []policy.SetID{"web"}}
	u.Policies = map[resource.ID]*policy.Policy{
		id("staged"): {ID: id("staged"), Staged: true, Ingress: []policy.Rule{{Action: policy.Deny}}},
		id("first"): {ID: id("first"), Ingress: []policy.Rule{
			{Index: 0, Action: policy.Log, Source: web},
			{Index: 1, Action: policy.Pass, Source: web},
			{Index: 3, Action: policy.Deny, Protocol: policy.ProtocolUDP},
		}},
		id("second"): {ID: id("second"), Ingress: []policy.Rule{
			{Index: 0, Action: policy.Allow, Protocol: policy.ProtocolTCP, Destination: policy.Side{
				Ports: []policy.PortRange{{First: 80, Last: 81}}, PortSets: []policy.SetID{"https"},
			}},
			{Index: 1, Action: policy.Allow, Protocol: policy.ProtocolICMP, ICMP: &policy.ICMP{Type: 8}},
			{Index: 2, Action: policy.Allow, Protocol: policy.ProtocolUDP, Destination: policy.Side{
				NotPorts: []policy.PortRange{{First: 53, Last: 53}}, NotNets: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")},
			}},
			{Index: 3, Action: policy.Pass, Source: policy.Side{Nets: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}},
		}},
		id("profile"): {ID: id("profile"), Ingress: []policy.Rule{{Action: policy.Allow, Protocol: 47}}},
	}
	u.Pipelines["in"] = &policy.Pipeline{
		ID: "in", Direction: policy.Ingress, End: policy.Deny, Profiles: []resource.ID{id("profile")},
		Tiers: []policy.Tier{
			{Name: "security", End: policy.Pass, Policies: []policy.Ref{{ID: id("staged"), Staged: true}, {ID: id("first")}}},
			{Name: "default", End: policy.Deny, Policies: []policy.Ref{{ID: id("second")}}},
		},
	}
	e := endpoint("a", 1)
	u.Endpoints[e.ID] = e
	s := new(policy.State)
	if err := s.Apply(u); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDecide(t *testing.T) {
	s := decisions(t)
	web, other := netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("192.0.2.1")
	to, elsewhere := netip.MustParseAddr("10.0.0.9"), netip.MustParseAddr("10.5.0.9")
	tests := map[string]struct {
		packet policy.Packet
		want   policy.Hit
		logged int
	}{
		"passed to the next tier": {
			policy.Packet{Source: web, Destination: to, Protocol: 6, DestinationPort: 80},
			policy.Hit{Tier: "default", Policy: id("second"), Rule: 0, Action: policy.Allow}, 1,
		},
		"named port": {
			policy.Packet{Source: other, Destination: to, Protocol: 6, DestinationPort: 8443},
			policy.Hit{Tier: "default", Policy: id("second"), Rule: 0, Action: policy.Allow}, 0,
		},
		"named port of another address": {
			policy.Packet{Source: other, Destination: elsewhere, Protocol: 6, DestinationPort: 8443},
			policy.Hit{Tier: "default", Rule: -1, Action: policy.Deny}, 0,
		},
		"denied by a rule": {
			policy.Packet{Source: other, Destination: to, Protocol: 17, DestinationPort: 1},
			policy.Hit{Tier: "security", Policy: id("first"), Rule: 3, Action: policy.Deny}, 0,
		},
		"type of ICMP": {
			policy.Packet{Source: web, Destination: to, Protocol: 1, ICMPType: 8},
			policy.Hit{Tier: "default", Policy: id("second"), Rule: 1, Action: policy.Allow}, 1,
		},
		"not these networks": {
			policy.Packet{Source: web, Destination: to, Protocol: 17, DestinationPort: 99},
			policy.Hit{Rule: -1, Action: policy.Deny}, 1,
		},
		"not these ports": {
			policy.Packet{Source: web, Destination: elsewhere, Protocol: 17, DestinationPort: 53},
			policy.Hit{Rule: -1, Action: policy.Deny}, 1,
		},
		"neither": {
			policy.Packet{Source: web, Destination: elsewhere, Protocol: 17, DestinationPort: 54},
			policy.Hit{Tier: "default", Policy: id("second"), Rule: 2, Action: policy.Allow}, 1,
		},
		"passed to the profile": {
			policy.Packet{Source: web, Destination: to, Protocol: 47},
			policy.Hit{Policy: id("profile"), Rule: 0, Action: policy.Allow}, 1,
		},
		"other family": {
			policy.Packet{Source: netip.MustParseAddr("fd00::1"), Destination: netip.MustParseAddr("fd00::2"), Protocol: 47},
			policy.Hit{Tier: "default", Rule: -1, Action: policy.Deny}, 1,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := s.Decide("in", tt.packet)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got.Hit); diff != "" {
				t.Errorf("decided by (-want +got):\n%s", diff)
			}
			if got.Action != tt.want.Action {
				t.Errorf("action %s, want %s", got.Action, tt.want.Action)
			}
			if len(got.Logged) != tt.logged {
				t.Errorf("logged %v, want %d", got.Logged, tt.logged)
			}
			if len(got.Staged) != 1 || got.Staged[0].Action != policy.Deny {
				t.Errorf("staged %v, want one Deny", got.Staged)
			}
		})
	}
	if _, err := s.Decide("elsewhere", policy.Packet{}); err == nil {
		t.Error("an unknown pipeline decides")
	}
}

func TestStateRefuses(t *testing.T) {
	tests := map[string]struct {
		update policy.Update
		want   string
	}{
		"member twice": {
			policy.Update{Sets: map[policy.SetID]*policy.SetChange{"web": {Kind: policy.Networks, Add: []policy.Member{member("10.0.0.1/32")}}}},
			"is added, and is a member",
		},
		"no member": {
			policy.Update{Sets: map[policy.SetID]*policy.SetChange{"web": {Kind: policy.Networks, Remove: []policy.Member{member("10.0.0.2/32")}}}},
			"was no member",
		},
		"other kind": {
			policy.Update{Sets: map[policy.SetID]*policy.SetChange{"web": {Kind: policy.Addresses}}},
			"its kind was networks and is now addresses",
		},
		"host bits": {
			policy.Update{Sets: map[policy.SetID]*policy.SetChange{"web": {Kind: policy.Networks, Add: []policy.Member{member("10.0.0.1/8")}}}},
			"is no network",
		},
		"unknown set": {
			policy.Update{Sets: map[policy.SetID]*policy.SetChange{"x": {Kind: policy.Networks}}},
			"changed, and was never there",
		},
		"gone twice": {
			policy.Update{Pipelines: map[string]*policy.Pipeline{"x": nil}},
			"pipeline x is gone, and was never there",
		},
		"still needed": {
			policy.Update{Policies: map[resource.ID]*policy.Policy{id("second"): nil}},
			"policy GlobalNetworkPolicy/second is not there",
		},
		"set still needed": {
			policy.Update{Sets: map[policy.SetID]*policy.SetChange{"https": {Gone: true}}},
			"set https is not there",
		},
		"left over": {
			policy.Update{Sets: map[policy.SetID]*policy.SetChange{"x": {Kind: policy.Addresses, New: true}}},
			"are referred to: set",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := decisions(t)
			err := s.Apply(&tt.update)
			if err == nil {
				err = s.Check()
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
