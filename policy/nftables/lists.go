package nftables

import (
	"net/netip"

	"github.com/projectvrouter/vrouter/policy"
)

// Up to how many alternatives lists of networks and ports become, and
// comparisons when they are negated, which all stand in one rule; beyond it a
// list is an anonymous set. To name one the kernel goes through all sets of a
// table, so that many take the square of their number: 10,000 had a start last
// 11 s, where comparisons take 1.5 s.
const (
	mostOfList    = 16
	mostOfNegated = 4
)

// netList compares an address with prefixes of one family: one by one, or as a
// set when there are more than most. Of the clauses one must hold, or all when
// they are negated.
func netList(e end, nets []netip.Prefix, negated bool, most int) []clause {
	return oneByOne(widest(nets), most, func(nets []netip.Prefix) clause { return matchNets(e, nets, negated) })
}

// portList is netList for ports.
func portList(e end, ranges []policy.PortRange, negated bool, most int) []clause {
	return oneByOne(joined(ranges), most, func(ranges []policy.PortRange) clause { return matchPorts(e, ranges, negated) })
}

func oneByOne[T any](list []T, most int, match func([]T) clause) []clause {
	if len(list) > most && len(list) > 1 {
		return []clause{match(list)}
	}
	out := make([]clause, len(list))
	for i := range list {
		out[i] = match(list[i : i+1])
	}
	return out
}
