package iptables

import (
	"slices"
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/policy"
)

// TestFamilies: where there are pools of IPv4 only, a change is written to IPv4
// only, until a set has a member of IPv6: that is let through at once.
func TestFamilies(t *testing.T) {
	inFlavours(t, func(t *testing.T, s *site) {
		four, six := members("10.65.0.1/32"), members("fd00:65::1/128")
		start := func() *policy.Update {
			u := update()
			u.Sets["a"].Add = four
			u.Sets[policy.PoolSet] = &policy.SetChange{Kind: policy.Networks, New: true, Add: members("10.65.0.0/16")}
			return u
		}
		s.sync(t, start())
		wrote := s.writes.count()
		get := start().Policies[policyID("get")]
		get.Ingress[1].NotProtocol = policy.ProtocolTCP
		s.apply(t, &policy.Update{Policies: map[resource.ID]*policy.Policy{get.ID: get}})
		if n := s.writes.count() - wrote; n != 1 {
			t.Errorf("%d tables were written, want that of IPv4", n)
		}
		set := setName(ipv6, networksLetter, "a")
		change := func(c policy.SetChange, tables int, has bool) {
			t.Helper()
			wrote := s.writes.count()
			c.Kind = policy.Networks
			s.apply(t, &policy.Update{Sets: map[policy.SetID]*policy.SetChange{"a": &c}})
			if n := s.writes.count() - wrote; n != tables {
				t.Errorf("%+v: %d tables were written, want %d", c, n, tables)
			}
			if got := strings.Contains(s.save(), set); got != has {
				t.Errorf("%+v: a rule asks for %s: %t", c, set, got)
			}
		}
		if err := s.workloads[0].Ping(s.workloads[1].Addr(false)); err == nil {
			t.Error("IPv6 passes, and no set has a member")
		}
		change(policy.SetChange{Add: six}, 1, true)
		s.requirePings(t, true, "with a member of each family")
		change(policy.SetChange{Remove: four}, 0, true)
		change(policy.SetChange{Add: four}, 0, true)
		change(policy.SetChange{Remove: six}, 1, false)
		s.apply(t, &policy.Update{}) // what nft still held goes
		change(policy.SetChange{Add: six}, 1, true)
		s.requirePings(t, true, "with the member back")
		change(policy.SetChange{Remove: six}, 1, false)

		pools := &policy.SetChange{Kind: policy.Networks, Add: members("fd00:65::/64")}
		s.apply(t, &policy.Update{Sets: map[policy.SetID]*policy.SetChange{policy.PoolSet: pools}})
		change(policy.SetChange{Add: six}, 0, true)
		s.requirePings(t, true, "with pools of both families")
		pools.Add, pools.Remove = nil, pools.Add
		s.apply(t, &policy.Update{Sets: map[policy.SetID]*policy.SetChange{policy.PoolSet: pools}})
		s.requirePings(t, true, "with a member outside of any pool")
		n := s.writes.count()
		all := start()
		all.Policies[get.ID], all.Sets["a"].Add = get, slices.Concat(six, four)
		if s.sync(t, all); s.writes.count() != n {
			t.Error("a read-back writes what is in force")
		}
	})
}
