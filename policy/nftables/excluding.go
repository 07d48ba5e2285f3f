package nftables

import (
	"slices"

	"github.com/projectvrouter/vrouter/policy"
)

// mostExpressions is NFT_RULE_MAXEXPRS: a rule with more has the kernel refuse
// all that is written with it.
const mostExpressions = 128

func tooLong(alternatives [][]clause, tail []clause) bool {
	return slices.ContainsFunc(alternatives, func(match []clause) bool {
		return expressions(match)+expressions(tail) > mostExpressions
	})
}

func expressions(clauses []clause) int {
	n := 0
	for _, c := range clauses {
		n += len(c.exprs)
	}
	return n
}

// excluding renders a rule in a chain of its own, which begins by leaving it
// for members of the sets that the rule does not hold for. One with many
// lengths of prefixes would be too long otherwise.
func (s *state) excluding(r *policy.Rule) (first []rule, alternatives [][]clause) {
	rest := *r
	for _, e := range []end{source, destination} {
		side := sideOf(&rest, e)
		for _, f := range []*family{ipv4, ipv6} {
			for _, id := range side.NotSets {
				for _, bits := range s.lengths(id, f) {
					first = append(first, newRule(matchFamily(f), matchSet(e, f, bits, id), leave()))
				}
			}
			for _, id := range side.NotPortSets {
				if len(s.lengths(id, f)) > 0 {
					first = append(first, newRule(matchFamily(f), matchPortSet(e, f, id, false), leave()))
				}
			}
		}
		side.NotSets, side.NotPortSets = nil, nil
	}
	return first, s.alternatives(&rest)
}

// callExcluding jumps to the chain of such a rule. What passes there, or would
// be decided by a staged policy, returns with a bit of the mark.
func (s *state) callExcluding(p *policy.Policy, r *policy.Rule, chain string) []rule {
	var bit uint32
	switch {
	case p.Staged && r.Action != policy.Log:
		bit = s.stagedBit()
	case r.Action == policy.Pass:
		bit = s.passBit()
	default:
		return []rule{newRule(jumpTo(chain))}
	}
	return []rule{newRule(setMark(bit, false), jumpTo(chain)), newRule(matchMark(bit), leave())}
}
