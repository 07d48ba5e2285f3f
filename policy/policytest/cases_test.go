package policytest

import (
	"testing"

	"github.com/projectvrouter/vrouter/policy"
)

// TestCases holds the reference to the verdicts that were worked out by hand.
func TestCases(t *testing.T) {
	cases, err := Cases()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			r := NewReference(c.Objects...)
			r.Interfaces = uplinks()
			for _, p := range c.Probes {
				list, err := flights(c.Objects, p)
				if err != nil {
					t.Error(err)
				}
				for _, f := range list {
					if passes, stage := r.verdict(f); passes != (p.Expect == "allow") {
						t.Errorf("%s: %+v: passes: %t; stage %s", p, f.journeys[0].Packet, passes, stage)
					}
				}
			}
		})
	}
}

var _ policy.Dataplane = NewMemory()
