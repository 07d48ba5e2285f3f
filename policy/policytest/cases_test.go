package policytest

import "testing"

// TestCases holds the reference, and what is resolved for the host under test,
// to the verdicts that were worked out by hand.
func TestCases(t *testing.T) {
	cases, err := Cases()
	if err != nil {
		t.Fatal(err)
	}
	if len(cases) < 150 {
		t.Errorf("%d cases", len(cases))
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			d := newDiffer(t)
			d.store(c.Objects)
			for _, p := range c.Probes {
				list, err := flights(c.Objects, p)
				if err != nil {
					t.Error(err)
				}
				for _, f := range list {
					if passes, stage := d.reference.verdict(f); passes != (p.Expect == "allow") {
						t.Errorf("%s: %+v: passes: %t; stage %s", p, f.journeys[0].Packet, passes, stage)
					}
					if j := f.journey(); j != nil {
						d.compare(*j)
					}
				}
			}
		})
	}
}
