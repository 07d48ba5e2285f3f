package controller

import (
	"cmp"
	"slices"

	"github.com/projectvrouter/vrouter/bgp"
)

// Candidate is a node that may be elected.
type Candidate struct {
	Node     string
	Topology string // value of the label that reflectors are spread over; empty: none
	// Busy says that the node reflects for another group, which counts where
	// there is a choice.
	Busy bool
}

// Choose elects count of the candidates, or all where there are fewer, for the
// group of that name. They are spread over the topology as evenly as its values
// have candidates; as many of the present ones as that allows stay; the rest is
// chosen by a hash, so that groups choose differently. The answer is in order
// of nodes, and does not depend on the order of what is given.
func Choose(group string, count int, candidates []Candidate, present []string) []string {
	domains := make(map[string][]Candidate)
	for _, c := range candidates {
		domains[c.Topology] = append(domains[c.Topology], c)
	}
	stays := make(map[string]int) // topology → present candidates
	for topology, all := range domains {
		slices.SortFunc(all, func(a, b Candidate) int {
			return cmp.Or(
				first(slices.Contains(present, a.Node), slices.Contains(present, b.Node)),
				first(b.Busy, a.Busy),
				cmp.Compare(bgp.Rendezvous(group, b.Node), bgp.Rendezvous(group, a.Node)),
				cmp.Compare(a.Node, b.Node))
		})
		for _, c := range all {
			if slices.Contains(present, c.Node) {
				stays[topology]++
			}
		}
	}
	var chosen []string
	for topology, n := range shares(group, count, domains, stays) {
		for _, c := range domains[topology][:n] {
			chosen = append(chosen, c.Node)
		}
	}
	slices.Sort(chosen)
	return chosen
}

// shares is how many are chosen of each topology. One after the other goes to
// where there are fewest yet; of those, to where a present one could stay, and
// else to where the hash says. What it comes to is as even as can be, and of the
// ways to be so it keeps most: a present one is passed over only for a value
// that has fewer.
func shares(group string, count int, domains map[string][]Candidate, stays map[string]int) map[string]int {
	share := make(map[string]int)
	for range count {
		best, found := "", false
		for topology, all := range domains {
			if share[topology] == len(all) {
				continue
			}
			if !found || before(group, topology, best, share, stays) {
				best, found = topology, true
			}
		}
		if !found {
			break
		}
		share[best]++
	}
	return share
}

// before reports whether the next one is better of topology a than of b.
func before(group, a, b string, share, stays map[string]int) bool {
	return cmp.Or(
		cmp.Compare(share[a], share[b]),
		first(share[a] < stays[a], share[b] < stays[b]),
		cmp.Compare(bgp.Rendezvous(group, b), bgp.Rendezvous(group, a)),
		cmp.Compare(a, b)) < 0
}

// first orders what holds before what does not.
func first(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}
