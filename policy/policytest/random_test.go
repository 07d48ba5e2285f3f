package policytest

import (
	"slices"
	"testing"
)

// TestSeed makes clusters and packets twice. A seed that a failure names must
// give them again.
func TestSeed(t *testing.T) {
	site, err := objects(nil)
	if err != nil {
		t.Fatal(err)
	}
	make := func(seed uint64) []Journey {
		r := newRandom(seed)
		r.objects(site)
		return r.journeys(100)
	}
	for seed := range uint64(20) {
		if !slices.Equal(make(seed), make(seed)) {
			t.Errorf("seed %d makes other packets the second time", seed)
		}
	}
}
