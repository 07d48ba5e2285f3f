package iptables

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/policy"
)

// A chain becomes any other by commands of which each says which rule it is
// for; what both have is not touched.
func TestEdit(t *testing.T) {
	inFlavours(t, func(t *testing.T, s *site) {
		const name = chainPrefix + "edited"
		at := place{ipv4, filterTable}
		random := rand.New(rand.NewPCG(1, 2))
		for range 60 {
			c := newChain(name)
			for range random.IntN(8) {
				c.add(fmt.Sprintf("-p 6 -m multiport --dports %d", 1+random.IntN(6)), "-j RETURN")
			}
			before, err := s.plane.tools.read(t.Context(), ipv4)
			if err != nil {
				t.Fatal(err)
			}
			x := before[filterTable].compare(at, map[string]*chain{name: c}, true)
			if err := s.plane.tools.restore(t.Context(), x); err != nil {
				t.Fatalf("%v:\n%s", err, x.text)
			}
			after, err := s.plane.tools.read(t.Context(), ipv4)
			if err != nil {
				t.Fatal(err)
			}
			if y := after[filterTable].compare(at, map[string]*chain{name: c}, true); y.text != "" {
				t.Fatalf("after\n%sthis is left to do:\n%s", x.text, y.text)
			}
		}
	})
}

// Rules that a change does not mention go on counting.
func TestCountersStay(t *testing.T) {
	inFlavours(t, func(t *testing.T, s *site) {
		s.sync(t, update())
		s.requirePings(t, true, "before the change")
		count := func() map[int]uint64 {
			all, err := s.plane.Counters(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			out := map[int]uint64{}
			for _, c := range all {
				if c.Policy == policyID("get") {
					out[c.Rule] = c.Packets
				}
			}
			return out
		}
		before := count()
		if before[1] == 0 {
			t.Fatal("the rule that lets a ping through has counted nothing")
		}
		get := update().Policies[policyID("get")]
		get.Ingress[0].Protocol = policy.ProtocolTCP
		get.Ingress = append(get.Ingress, policy.Rule{Index: 2, Action: policy.Deny})
		s.apply(t, &policy.Update{Policies: map[resource.ID]*policy.Policy{get.ID: get}})
		if after := count(); after[1] != before[1] || len(after) != 3 {
			t.Errorf("counts were %v and are %v", before, after)
		}
	})
}
